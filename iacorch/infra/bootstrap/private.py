"""A folder for keys and tokens that goes with the process that made it, however that ends.

Out: `folder`, a frame with a new directory that only this user may enter. Leaving the frame removes it. A process that
was killed cannot, so each directory holds a lock that dies with its process, and whoever makes one next removes those
that nobody holds. Called by `ssh` and `runner`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOM: Final = Path("/tmp")
"""A control socket's path may have 107 bytes: the directory is short and out of long TMPDIRs."""
_NEW: Final = "iac_"
"""Not locked yet, and still empty."""
_HELD: Final = "iac-"
_LOCK: Final = "lock"


@contextmanager
def folder(room: Path = ROOM) -> Iterator[Path]:
    """An empty private directory, but for the lock in it."""
    _sweep(room)
    fresh = Path(tempfile.mkdtemp(prefix=_NEW, dir=room))
    with (fresh / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under this name it may be swept, so it has the lock before the name.
        directory = fresh.rename(room / f"{_HELD}{fresh.name.removeprefix(_NEW)}")
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _sweep(room: Path) -> None:
    for directory in room.glob(f"{_HELD}*"):
        try:
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                continue
            with (directory / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue  # in use, or not one of ours
