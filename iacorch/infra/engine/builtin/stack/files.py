"""Writing a file so that after a crash it is the old or the new one, whole.

In: a path and bytes. Out: the file on disk, or `StateUnwritable`, which says which of the two is there. The
backend, the locks and the stack's configuration write through this.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from iacorch.infra.engine.errors import StateUnwritable

#: The ending of temporary files.
_NEW: Final = ".new"
_HINTS: Final = {
    errno.ENOSPC: "make room on that disk and run the same command again: it looks first at what is there",
    errno.EDQUOT: "make room in your quota and run the same command again: it looks first at what is there",
    errno.EROFS: "the file system is read-only; choose another place with --backend, or mount it for writing",
    errno.EACCES: "you may not write there; change the permissions, or choose another place with --backend",
    errno.EPERM: "you may not write there; change the permissions, or choose another place with --backend",
}


def write(path: Path, data: bytes, *, mode: int = 0o600, by: Path | None = None) -> None:
    """Replace `path` by `data`, durably: temporary file, fsync, rename, fsync of the folder.

    `by`: another folder of the same file system for the temporary file, where one that a crash leaves means nothing.
    """
    temporary = (by or path.parent) / f".{path.name}.{os.getpid()}{_NEW}"
    replaced = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)  # what can fail is done before the rename
        try:
            _fill(temporary, data, mode)
            os.replace(temporary, path)
            replaced = True
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        there = (
            "it has its new contents, which a power cut may undo" if replaced else "what was there before is as it was"
        )
        raise StateUnwritable(
            f"{path} cannot be written: {error.strerror}; {there}", hint=_HINTS.get(error.errno or 0, "")
        ) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateUnwritable(
            f"{path} cannot be removed: {error.strerror}", hint=_HINTS.get(error.errno or 0, "")
        ) from error


def _fill(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sweep(path: Path) -> None:
    """Remove what writers of `path` left that were killed. For those alone who know that nobody else writes it now."""
    for left in path.parent.glob(f".{path.name}.*{_NEW}"):
        left.unlink(missing_ok=True)
