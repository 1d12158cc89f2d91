"""Which certificates of nodes are good: those that were given out for a name and not withdrawn since.

In: what `join` signs, which nodes are removed. Out: a yes or no for each request of an agent, without I/O; the list
that `iacorch certs` shows. A record for each name that ever joined lies in the store beside the objects and is read
once, at the start. Removing a Node withdraws its certificates before the object goes, so that a crash in between leaves
a node that has to join again, and never a removed one that is still let in.

A name without a record (a certificate that an administrator made by hand) is not looked at. One server holds the
records in memory; a second one would have to watch them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from iacorch.errors import Conflict, KeyExists, RevisionMismatch
from iacorch.kit.clock import parse_rfc3339, rfc3339
from iacorch.store.contract import Store

PREFIX: Final = b"/.certificates/nodes/"
"""No API group begins with a dot."""
_ATTEMPTS: Final = 8
_KEPT: Final = 2
"""The one that a node renews with stays good: its answer may be lost on the way."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate. `serial` in hexadecimal without leading zeros, `authority` is the CA's common name."""

    serial: str
    ends_at: datetime
    authority: str


class NodeCertificates:
    """Make one for each store; `load` before anything is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: dict[str, tuple[Issued, ...]] = {}
        self.on_withdrawn: Callable[[str], None] = lambda name: None
        """Called with the node's name: its open connections are to end."""

    async def load(self, now: datetime, life: timedelta) -> None:
        """Read the records. Those of nodes that left longer than a certificate lives ago are forgotten."""
        for entry in (await self._store.range(PREFIX)).entries:
            found = orjson.loads(entry.value)
            if not found["issued"] and parse_rfc3339(found["at"]) + life < now:
                await self._store.delete(entry.key, expected=entry.revision)
                continue
            self._records[entry.key.removeprefix(PREFIX).decode()] = tuple(map(_read, found["issued"]))

    def is_good(self, name: str, serial: str) -> bool:
        record = self._records.get(name)
        return record is None or any(issued.serial == serial for issued in record)

    def all(self) -> Mapping[str, tuple[Issued, ...]]:
        """By name, oldest first; nothing for a node that was removed."""
        return self._records

    async def add(self, name: str, issued: Issued, *, renews: str, now: datetime) -> None:
        """`renews` is the serial of the certificate it is asked with; all others of this name are withdrawn."""
        kept = tuple(found for found in self._records.get(name, ()) if found.serial == renews)
        await self._write(name, (*kept, issued)[-_KEPT:], now)

    async def withdraw(self, name: str, now: datetime) -> None:
        """A name that never joined is left alone."""
        if self._records.get(name):
            await self._write(name, (), now)
            self.on_withdrawn(name)

    async def _write(self, name: str, record: tuple[Issued, ...], now: datetime) -> None:
        key, value = PREFIX + name.encode(), orjson.dumps({"at": rfc3339(now), "issued": list(map(_words, record))})
        for _ in range(_ATTEMPTS):
            entry = await self._store.get(key)
            try:
                if entry is None:
                    await self._store.create(key, value)
                else:
                    await self._store.update(key, value, expected=entry.revision)
            except (KeyExists, RevisionMismatch):
                continue
            self._records[name] = record
            return
        raise Conflict(f'the certificates of node "{name}" are being changed by others: try again')


def _words(issued: Issued) -> dict[str, Any]:
    return {"serial": issued.serial, "ends": rfc3339(issued.ends_at), "authority": issued.authority}


def _read(found: Mapping[str, Any]) -> Issued:
    return Issued(found["serial"], parse_rfc3339(found["ends"]), found["authority"])
