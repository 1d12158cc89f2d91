"""Starts the program and waits for it.

In: a project, where the monitor listens, the configuration. Out: nothing, or ProgramFailed with what the program said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import orjson

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import child
from iacorch.infra.engine.builtin.project import Project
from iacorch.infra.engine.errors import ProgramFailed, ProjectInvalid, Unsupported

_REFUSED: Final = re.compile(r"The Pulumi CLI does not support (.+?)\. Please update the Pulumi CLI")
_MAIN: Final = Path(__file__).with_name("program_main.py")


async def start(
    project: Project, *, stack: str, monitor: str, parallel: int, preview: bool, config: Mapping[str, str],
    secret_keys: frozenset[str], environment: Mapping[str, str],
) -> child.Child:  # fmt: skip
    """Start the program in its folder with its configuration in the environment, as Pulumi's language host does."""
    python = _python(project)
    folder = project.main if project.main.is_dir() else project.main.parent
    argv = [
        python, str(_MAIN), str(project.main), project.name, stack, monitor, str(parallel),
        "true" if preview else "false", str(project.root),
    ]  # fmt: skip
    own = {
        "PULUMI_CONFIG": orjson.dumps(dict(config)).decode(),
        "PULUMI_CONFIG_SECRET_KEYS": orjson.dumps(sorted(secret_keys)).decode(),
        "PYTHONUNBUFFERED": "1",
    }
    hidden = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
    passed = {key: value for key, value in environment.items() if key not in hidden}
    return await child.start(argv, name="program", cwd=folder, environment=passed | own)


def failed(said: str) -> EngineError:
    """The error of a program that ended badly.

    The SDK refuses what the engine does not announce, in words that are wrong here: the CLI would do it.
    """
    if (refused := _REFUSED.search(said)) is not None:
        return Unsupported(refused.group(1))
    return ProgramFailed(f"the program failed: {said}")


def _python(project: Project) -> str:
    if not project.virtualenv:
        return sys.executable
    python = project.root / project.virtualenv / "bin" / "python"
    if not python.exists():
        raise ProjectInvalid(
            f"Pulumi.yaml names the virtual environment {project.virtualenv}, and {python} does not exist",
            hint="make it, or remove `runtime.options.virtualenv`",
        )
    return str(python)


def ignore_line(listen: Callable[[str], None]) -> Callable[[str], None]:
    """A listener for the program's output lines that skips empty ones."""
    return lambda line: listen(line) if line.strip() else None
