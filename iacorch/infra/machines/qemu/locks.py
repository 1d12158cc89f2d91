"""Locks between operators, processes included: one for the folder of all machines, one for each machine.

The folder's is held while a name, a port and an address are given out, which takes milliseconds; a machine's own while
its disk is made, while it starts, stops or is removed, so that many machines are made at once. Called by `driver`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TextIO

from iacorch.infra.machines.errors import CloudUnavailable
from iacorch.kit import limits
from iacorch.kit.clock import Clock

LOCK: Final = ".lock"


@asynccontextmanager
async def locked(folder: Path, clock: Clock, *, operation: str) -> AsyncIterator[None]:
    """Raises CloudUnavailable for `operation` when another holds `folder` for too long. The folder is made."""
    deadline = clock.monotonic() + limits.CLOUD_CALL_SECONDS
    while True:
        with _opened(folder) as lock:
            if _taken(lock):
                yield
                return
        if clock.monotonic() >= deadline:
            raise CloudUnavailable(operation, f"another process holds {folder / LOCK}")
        await clock.sleep(limits.QMP_POLL_SECONDS)


def _opened(folder: Path) -> TextIO:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return (folder / LOCK).open("w")


def _taken(lock: TextIO) -> bool:
    """A file that is no longer the folder's was removed with its machine: a lock on it keeps nobody out."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
    except (BlockingIOError, FileNotFoundError):
        return False
