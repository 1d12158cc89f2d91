"""The store's contract: bytes in, bytes out, one number for order.

Who calls it: `server.registry`, and nothing else. Every write raises the store's revision by one. Writes are
compare-and-swap on one key. A watch gives batches in revision order, without gap or repeat, starting after `since`;
after `request_progress` an empty batch says how far the store has come, so that a quiet watcher can bookmark.

Durable writes are on disk before they return. Transient writes (leases, heartbeats) get a revision and reach every
live watcher, but leave no history and may be lost in a crash: the key then shows an earlier value, never a wrong one.
A read of the past and a watch from the past do not see them either: the key shows its latest value. No revision is ever
given out twice, not even one that was lost in a crash.

No clock, no IDs, no retries inside. What is made for each write is a tuple: a frozen dataclass sets every field by a
call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, NewType, Protocol

Revision = NewType("Revision", int)


class Entry(NamedTuple):
    """One key as it stands: `revision` is its last write, `created` its first since it last did not exist."""

    key: bytes
    value: bytes
    revision: Revision
    created: Revision


class Change(NamedTuple):
    """One write. `value` is None for a delete; `previous` is the value before, None for a create."""

    key: bytes
    value: bytes | None
    previous: bytes | None
    revision: Revision


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes up to and including `revision`, in order; none means progress."""

    revision: Revision
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order as of `revision`; `more` says that entries after the last one exist."""

    entries: tuple[Entry, ...]
    revision: Revision
    more: bool


class Store(Protocol):
    """See the module docstring. Every method may raise StoreBroken."""

    @property
    def revision(self) -> Revision:
        """The last revision given out and readable. An empty store is at 1."""
        ...

    async def get(self, key: bytes) -> Entry | None:
        """The key as it stands, or None."""
        ...

    async def range(self, prefix: bytes, *, after: bytes = b"", limit: int = 0, at: Revision | None = None) -> Page:
        """Entries whose key starts with `prefix` and is greater than `after`, at most `limit` (0: all).

        With `at`, as of that revision, so that pages of one list agree. Raises Compacted, FutureRevision.
        """
        ...

    async def create(self, key: bytes, value: bytes) -> Revision:
        """Raises KeyExists."""
        ...

    async def update(self, key: bytes, value: bytes, *, expected: Revision, transient: bool = False) -> Revision:
        """Replace the value if the key is at `expected`. Raises RevisionMismatch."""
        ...

    async def delete(self, key: bytes, *, expected: Revision) -> Revision:
        """Remove the key if it is at `expected`. Raises RevisionMismatch."""
        ...

    def watch(self, prefix: bytes, *, since: Revision) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """Batches of changes under `prefix` after `since`.

        Raises Compacted or FutureRevision on entering, WatchTooSlow from the iterator when the bounded queue is full.
        """
        ...

    def request_progress(self) -> None:
        """Give every watcher that has nothing waiting an empty batch with the current revision."""
        ...

    async def compact(self, before: Revision) -> None:
        """Forget history up to `before`: the past can be read, and watched from, at `before` and later. Values stay."""
        ...

    async def close(self) -> None:
        """Finish what was acknowledged and release the file. Watches end."""
        ...
