"""The store in memory: the specification in code, and what tests and the simulation run on.

In: writes. Out: revisions, reads, batches. Every write is visible when it returns; nothing outlives the process. Every
other store has to agree with this one under the same operations (tests/store/test_model.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.errors import StoreBroken
from iacorch.kit import limits
from iacorch.store.contract import Entry, Page, Revision
from iacorch.store.keyspace import Keyspace, Watcher, Write


class MemoryStore:
    """Implements `contract.Store`."""

    def __init__(
        self,
        *,
        history: int = limits.STORE_HISTORY_REVISIONS,
        queue_batches: int = limits.STORE_WATCH_QUEUE_BATCHES,
        entries: Iterable[Entry] = (),
        revision: Revision = Revision(1),  # noqa: B008 - an integer under a NewType, immutable
    ) -> None:
        """`entries` and `revision` are what a store that ended has left behind."""
        self._space = Keyspace(history=history, queue_batches=queue_batches, revision=revision)
        self._space.load(entries)
        self._closed = False

    @property
    def revision(self) -> Revision:
        return self._space.revision

    async def get(self, key: bytes) -> Entry | None:
        return self._open().get(key)

    async def range(self, prefix: bytes, *, after: bytes = b"", limit: int = 0, at: Revision | None = None) -> Page:
        return self._open().range(prefix, after=after, limit=limit, at=at)

    async def create(self, key: bytes, value: bytes) -> Revision:
        return self._write(Write(key, value, None))

    async def update(self, key: bytes, value: bytes, *, expected: Revision, transient: bool = False) -> Revision:
        return self._write(Write(key, value, expected, transient))

    async def delete(self, key: bytes, *, expected: Revision) -> Revision:
        return self._write(Write(key, None, expected))

    def watch(self, prefix: bytes, *, since: Revision) -> Watcher:
        return self._open().watch(prefix, since)

    def request_progress(self) -> None:
        self._open().request_progress()

    async def compact(self, before: Revision) -> None:
        self._open().compact(before)

    async def close(self) -> None:
        self._closed = True
        self._space.end_watches()

    def _write(self, write: Write) -> Revision:
        space = self._open()
        stage = space.stage()
        revision = stage.add(write)
        space.commit(stage)
        return revision

    def _open(self) -> Keyspace:
        if self._closed:
            raise StoreBroken("the store is closed")
        return self._space
