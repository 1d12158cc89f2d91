"""Writing a file so that after a crash it is the old or the new one, whole.

In: a path and bytes. Out: the file on disk, or OSError with the old one as it was. Called by whoever keeps promises in
files; each says at its own door what a disk that refuses means there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, durably: bool = True) -> None:
    """Replace `path` by `data`: temporary file, fsync, rename, fsync of the folder (made if need be, 0700).

    Not `durably`, it is whole after the death of a process but perhaps not after that of the machine, and costs no wait
    for the disk: for what is written often, and read by somebody who asks elsewhere when it is not there.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        os.fchmod(descriptor, mode)  # also where an earlier one was left
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durably:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if not durably:
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
