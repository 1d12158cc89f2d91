"""What the daemons import is what bootstrap carries to machines: a library that only developers have is found here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
_IMPORTED = "import json, sys; import {module}; print(json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"


@pytest.mark.parametrize(
    ("module", "file"), [("iacorch.daemons.controlplane", "node.txt"), ("iacorch.daemons.agent", "agent.txt")]
)
def test_a_daemon_finds_its_libraries_on_a_machine(module: str, file: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _IMPORTED.format(module=module)], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout)) - set(sys.stdlib_module_names)
    brought = metadata.packages_distributions()
    wanted = {_plain(names[0]) for name in loaded if (names := brought.get(name)) and names[0] != "iacorch"}
    carried = {
        _plain(line.partition("==")[0]) for line in (REQUIREMENTS / file).read_text().splitlines() if "==" in line
    }
    assert wanted <= carried, f"{file} lacks {sorted(wanted - carried)}"


def _plain(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
