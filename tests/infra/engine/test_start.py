"""What processes leave out when they start: engines the SDK around the stubs, programs what they hardly ever need."""

import subprocess
import sys
from pathlib import Path

from pulumi.runtime.proto import provider_pb2 as theirs

from iacorch.infra import protocol
from iacorch.infra.protocol import provider_pb2 as ours

MAIN = Path(protocol.__file__).parents[1] / "engine" / "builtin" / "program" / "main.py"


def run(code: str) -> None:
    """In a process of its own, as what is imported here is imported already."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_stubs_come_without_the_sdk() -> None:
    run(
        "import sys\n"
        "import iacorch.infra.engine.builtin.run\n"
        "assert 'iacorch.infra.protocol.resource_pb2' in sys.modules\n"
        "assert 'pulumi' not in sys.modules\n"
    )


def test_their_messages_are_the_sdks_own() -> None:
    assert ours.CheckRequest is theirs.CheckRequest


def test_a_program_has_the_automation_api_once_it_looks() -> None:
    run(
        "import runpy, sys\n"
        f"sys.meta_path.insert(0, runpy.run_path({str(MAIN)!r})['Postponed'])\n"
        "import pulumi\n"
        "assert 'pulumi.automation._stack' not in sys.modules\n"
        "assert pulumi.automation.Stack.__name__ == 'Stack'\n"
        "from pulumi.automation import errors\n"
        "assert errors.StackNotFoundError\n"
    )


def test_a_program_registers_without_its_stack() -> None:
    run(
        "import runpy\n"
        f"main = runpy.run_path({str(MAIN)!r})\n"
        "from pulumi.runtime import resource\n"
        "getattr(resource, main['TRACES'])\n"  # the name that this SDK has for it
        "main['without_stack_traces']()\n"
        "trace = getattr(resource, main['TRACES'])()\n"
        "assert not trace.frames and resource._get_source_position(trace) is None\n"
    )
