"""What Python makes of the sources before it runs them, made here once instead of on each machine.

In: a folder of sources and the version of the machines' Python. Out: compiled files beside them, if this side has that
version; else nothing, and the machine compiles when the bundle is unpacked. Called by `bundle`. The files are taken as
they are ("unchecked"), so that a date that was lost on the way does not make a machine compile all of it again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from iacorch.kit import limits


def compile_folder(folder: Path, version: tuple[int, int]) -> None:
    """Compile what can be compiled under `folder`; the rest is left to the machines."""
    python = interpreter(version)
    if python is None:
        return
    command = [python, "-I", "-m", "compileall", "-q", "-j", str(len(os.sched_getaffinity(0)))]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(folder), str(folder)]
    try:
        # Some packages carry files for other versions: what does not compile is not imported either.
        subprocess.run(command, capture_output=True, timeout=limits.BUNDLE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return


def compiled(code: Sequence[tuple[str, bytes]], version: tuple[int, int], scratch: Path) -> list[tuple[str, bytes]]:
    """`code` (path and content), and what was compiled of it. `scratch` is an empty folder to work in."""
    for name, data in code:
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    compile_folder(scratch, version)
    made = [(path.relative_to(scratch).as_posix(), path.read_bytes()) for path in sorted(scratch.rglob("*.pyc"))]
    return [*code, *made]


def interpreter(version: tuple[int, int]) -> str | None:
    """A Python of that version on this side."""
    if sys.version_info[:2] == version:
        return sys.executable
    return shutil.which("python{}.{}".format(*version))
