"""The store of a simulated control plane: it dies with its process, and what it left on disk is read again.

In: writes of a registry. Out: the same, each shown to the checkers before it is acknowledged. `Disk` outlives the
process; a `CheckedStore` is one life of it. As the store's contract allows, the next life has lost the transient
writes, the history and the watches, and goes on with higher revisions. Watches are checked as they are given out: every
write of the prefix, once, in order, without a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import orjson

from iacorch.sim.checks import LEASES, Violation, Write
from iacorch.sim.link import WRITER
from iacorch.store.contract import Batch, Entry, Page, Revision
from iacorch.store.memory import MemoryStore

#: Revisions that a crash skips, as a store does that reserves them ahead.
SKIPPED: Final = 1_000
FIRST: Final = Revision(1)


@dataclass(slots=True)
class Disk:
    """What is durable, and the log that watches are compared with."""

    entries: dict[bytes, Entry] = field(default_factory=dict)
    revision: Revision = FIRST
    deleted: dict[bytes, int] = field(default_factory=dict)
    #: collection -> (revision, key, transient) of every write, in order
    log: dict[bytes, list[tuple[int, bytes, bool]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, key: bytes, revision: Revision, entry: Entry | None, *, transient: bool) -> None:
        self.revision = revision
        self.log[_collection(key)].append((revision, key, transient))
        if transient:
            return
        if entry is None:
            self.entries.pop(key, None)
            self.deleted[key] = revision
        else:
            self.entries[key] = entry


class CheckedStore:
    """Implements `store.contract.Store` for one life of a control plane."""

    def __init__(
        self, disk: Disk, on_write: Callable[[Write], None], on_violation: Callable[[Violation], None]
    ) -> None:
        self._disk, self._on_write, self._on_violation = disk, on_write, on_violation
        first = Revision(disk.revision + SKIPPED) if disk.entries else disk.revision
        self._inner = MemoryStore(entries=disk.entries.values(), revision=first)

    @property
    def revision(self) -> Revision:
        return self._inner.revision

    async def get(self, key: bytes) -> Entry | None:
        return await self._inner.get(key)

    async def range(self, prefix: bytes, *, after: bytes = b"", limit: int = 0, at: Revision | None = None) -> Page:
        return await self._inner.range(prefix, after=after, limit=limit, at=at)

    async def create(self, key: bytes, value: bytes) -> Revision:
        return await self._done(key, await self._inner.create(key, value), None)

    async def update(self, key: bytes, value: bytes, *, expected: Revision, transient: bool = False) -> Revision:
        old = await self._inner.get(key)
        revision = await self._inner.update(key, value, expected=expected, transient=transient)
        return await self._done(key, revision, old, transient=transient)

    async def delete(self, key: bytes, *, expected: Revision) -> Revision:
        old = await self._inner.get(key)
        return await self._done(key, await self._inner.delete(key, expected=expected), old)

    @asynccontextmanager
    async def watch(self, prefix: bytes, *, since: Revision) -> AsyncIterator[AsyncIterator[Batch]]:
        live_from = self._inner.revision
        async with self._inner.watch(prefix, since=since) as batches:
            yield self._in_order(prefix, since, live_from, batches)

    def request_progress(self) -> None:
        self._inner.request_progress()

    async def compact(self, before: Revision) -> None:
        await self._inner.compact(before)

    async def close(self) -> None:
        await self._inner.close()

    async def there(self) -> dict[bytes, int]:
        """Every key's revision, read back."""
        return {entry.key: entry.revision for entry in (await self._inner.range(b"/")).entries}

    async def _done(self, key: bytes, revision: Revision, old: Entry | None, *, transient: bool = False) -> Revision:
        new = await self._inner.get(key)
        self._disk.note(key, revision, new, transient=transient)
        if new is not None and new.revision != revision:
            self._on_violation(Violation(f"kept: {key.decode()} was written at {revision} and is at {new.revision}"))
        if not (key.startswith(LEASES) and old is not None):
            # Renewals are nine writes in ten, and `one writer` already holds for the lease's creation.
            self._on_write(
                Write(
                    WRITER.get(),
                    key.decode(),
                    revision,
                    orjson.loads(old.value) if old is not None else None,
                    orjson.loads(new.value) if new is not None else None,
                )
            )
        return revision

    async def _in_order(
        self, prefix: bytes, since: Revision, live_from: Revision, batches: AsyncIterator[Batch]
    ) -> AsyncIterator[Batch]:
        """Past transient writes are not shown to a watch; everything else is, once and in order."""
        log = self._disk.log[_collection(prefix)]
        at = bisect_right(log, since, key=lambda written: Revision(written[0]))
        async for batch in batches:
            expected = []
            while at < len(log) and log[at][0] <= batch.revision:
                revision, key, transient = log[at]
                if key.startswith(prefix) and not (transient and revision <= live_from):
                    expected.append(revision)
                at += 1
            given = [change.revision for change in batch.changes]
            if given != expected:
                said = f"in order: a watch of {prefix.decode()} got {given} up to {batch.revision}, not {expected}"
                self._on_violation(Violation(said))
            yield batch


def _collection(key: bytes) -> bytes:
    """`/group/plural` of a key or a prefix."""
    return b"/".join(key.split(b"/")[:3])
