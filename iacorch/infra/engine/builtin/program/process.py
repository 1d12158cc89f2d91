"""Starts the program and waits for it.

In: a project, where the monitor listens, the configuration. Out: nothing, or ProgramFailed with what the program said.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import child
from iacorch.infra.engine.builtin.stack.project import Project
from iacorch.infra.engine.errors import ProgramFailed, ProjectInvalid, Unsupported

_REFUSED: Final = re.compile(r"The Pulumi CLI does not support (.+?)\. Please update the Pulumi CLI")
#: The package of dynamic providers.
DYNAMIC: Final = "pulumi-python"
#: What `main` exits with once all that the program registered is done.
DONE: Final = 33
_MAIN: Final = Path(__file__).with_name("main.py")


class Program:
    """The process of a program. It starts at once, imports the SDK, and waits for its order on a pipe.

    So the slowest part of its start runs beside opening the stack, and secrets of the configuration are in no process's
    environment.
    """

    def __init__(self, process: child.Child, project: Project, pipe: int) -> None:
        self._process, self._project = process, project
        self._pipe = pipe

    async def run(
        self, *, stack: str, monitor: str, parallel: int, preview: bool, config: Mapping[str, str],
        secret_keys: frozenset[str],
    ) -> child.Child:  # fmt: skip
        """Give the order: where the monitor listens, and the configuration."""
        order = {
            "program": str(self._project.main),
            "project": self._project.name,
            "root": str(self._project.root),
            "stack": stack,
            "monitor": monitor,
            "parallel": parallel,
            "dry_run": preview,
            "config": dict(config),
            "secret_keys": sorted(secret_keys),
        }
        pipe, self._pipe = self._pipe, -1
        with os.fdopen(pipe, "wb") as file, suppress(BrokenPipeError):
            # A pipe holds little; a big configuration is written while the program reads, so not on the loop.
            await asyncio.to_thread(file.write, orjson.dumps(order) + b"\n")
            await asyncio.to_thread(file.flush)
        return self._process

    async def stop(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        await self._process.stop()


async def start(project: Project, environment: Mapping[str, str], held: Sequence[int]) -> Program:
    """Start the process of a program, in the program's folder; it inherits the descriptors `held`."""
    folder = project.main if project.main.is_dir() else project.main.parent
    passed = {**environment, "PYTHONUNBUFFERED": "1"}
    python = python_of(project)
    reading, writing = os.pipe()
    try:
        argv = [python, str(_MAIN), str(project.main), str(reading)]
        process = await child.start(argv, name="program", cwd=folder, environment=passed, pass_fds=(reading, *held))
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Program(process, project, writing)


def failed(said: str, exit_code: int | None) -> EngineError:
    """The error of a program that did not run to its end.

    One that ended itself with 0 is no success: it may have registered nothing yet, and all would be deleted. The SDK
    refuses what the engine does not announce, in words that are wrong here: the CLI would do it.
    """
    if (refused := _REFUSED.search(said)) is not None:
        return Unsupported(refused.group(1))
    if exit_code == 0:
        return ProgramFailed(
            "the program ended itself (exit code 0) before all that it registers was done; nothing is deleted for it",
            hint="let it run to its end, without sys.exit() or os._exit(); an empty program deletes everything",
        )
    return ProgramFailed(f"the program failed: {said or f'exit code {exit_code}'}")


def python_of(project: Project) -> str:
    """The Python that the project runs with: its virtual environment's, or ours."""
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
