"""Writing a file so that after a crash it is the old or the new one, whole.

In: a path and bytes. Out: the file on disk, or `StateUnwritable` with the old one as it was. The backend, the locks and
the stack's configuration write through this.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from iacorch.infra.engine.errors import StateUnwritable

_HINTS: Final = {
    errno.ENOSPC: "make room on that disk and run the same command again: it looks first at what is there",
    errno.EDQUOT: "make room in your quota and run the same command again: it looks first at what is there",
    errno.EROFS: "the file system is read-only; choose another place with --backend, or mount it for writing",
    errno.EACCES: "you may not write there; change the permissions, or choose another place with --backend",
    errno.EPERM: "you may not write there; change the permissions, or choose another place with --backend",
}


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`, durably: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StateUnwritable(
            f"{path} cannot be written: {error.strerror}; what was there before is as it was",
            hint=_HINTS.get(error.errno or 0, ""),
        ) from error
