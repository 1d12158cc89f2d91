"""What was begun and may not be finished, on disk: one small file for each machine that may exist.

In: orders, before anything is asked for. Out: the same after a crash. A claim that still exists goes on by itself; what
the journal knows and the API does not is removed. Called by `operations` and by the daemon when it starts.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import structlog

from iacorch.provision.machines.contract import Order, order_of_record

log = structlog.get_logger(__name__)


class Journal:
    """Writes are atomic and on disk when they return."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: dict[str, bytes] = {}

    def read(self) -> list[Order]:
        """Every order on record, in the order of their UIDs. What cannot be read is put aside and said."""
        found = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                content = file.read_bytes()
                found.append(order_of_record(orjson.loads(content)))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("a journal entry cannot be read and is put aside", file=str(file), error=repr(error))
                file.rename(file.with_suffix(".broken"))
                continue
            self._written[file.stem] = content
        return found

    def put(self, order: Order) -> None:
        content = orjson.dumps(order.record())
        if self._written.get(order.uid) == content:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._folder / f"{order.uid}.json"
        fresh = file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
        self._written[order.uid] = content

    def remove(self, uid: str) -> None:
        (self._folder / f"{uid}.json").unlink(missing_ok=True)
        self._written.pop(uid, None)
