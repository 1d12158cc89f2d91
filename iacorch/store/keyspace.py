"""The state that every embedded store keeps in memory: values in key order, a bounded history, the live watchers.

In: writes, staged one after the other and committed together. Out: reads now or in the past, and batches to watchers.
Synchronous and without I/O. `memory` commits each stage at once; `sqlite` puts a stage on disk between staging and
committing, which is why the two steps are apart. Values are shared, never copied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from sortedcontainers import SortedDict

from iacorch.errors import Compacted, FutureRevision, KeyExists, RevisionMismatch, WatchTooSlow
from iacorch.kit import limits
from iacorch.store.contract import Batch, Change, Entry, Page, Revision


class Write(NamedTuple):
    """One wanted write. `expected` is None for a create; `value` is None for a delete."""

    key: bytes
    value: bytes | None
    expected: Revision | None
    transient: bool = False


class Step(NamedTuple):
    """One write that was decided: what the key was and what it becomes."""

    change: Change
    before: Entry | None
    after: Entry | None
    transient: bool

    @property
    def kept_bytes(self) -> int:
        """What it holds on to for as long as it is in the history."""
        return len(self.change.previous or b"") + len(self.change.value or b"")


@dataclass(slots=True)
class Stage:
    """Writes decided against the keyspace and against each other, not visible until committed."""

    space: Keyspace
    revision: Revision
    steps: list[Step] = field(default_factory=list)
    _overlay: dict[bytes, Entry | None] = field(default_factory=dict)

    def add(self, write: Write) -> Revision:
        """Decide one write. Raises KeyExists or RevisionMismatch and then leaves the stage as it was."""
        key = write.key
        before = self._overlay[key] if key in self._overlay else self.space.get(key)
        if write.expected is None:
            if before is not None:
                raise KeyExists(key, actual=before.revision)
        elif before is None or before.revision != write.expected:
            raise RevisionMismatch(key, expected=write.expected, actual=before.revision if before else 0)
        revision = Revision(self.revision + 1)
        after = None
        if write.value is not None:
            after = Entry(key, write.value, revision, before.created if before else revision)
        change = Change(key, write.value, before.value if before else None, revision)
        self.steps.append(Step(change, before, after, write.transient))
        self._overlay[key] = after
        self.revision = revision
        return revision


class Watcher:
    """One live watch: an iterator over batches with a bounded queue. Ends when the store closes."""

    def __init__(self, space: Keyspace, prefix: bytes, queue_batches: int) -> None:
        self.prefix = prefix
        self._space = space
        self._limit = queue_batches
        self._batches: deque[Batch] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._slow = False

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> Batch:
        while not self._batches:
            if self._slow:
                raise WatchTooSlow(f"a watcher of {self.prefix!r} fell more than {self._limit} batches behind")
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._batches.popleft()

    async def __aenter__(self) -> Watcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._space.forget_watcher(self)
        self.end()

    @property
    def idle(self) -> bool:
        return not self._batches

    def offer(self, batch: Batch) -> None:
        """Queue a batch, or cut the watcher off: what it has not taken is dropped, so it cannot mistake a gap."""
        if self._slow or self._ended:
            return
        if len(self._batches) >= self._limit:
            self._batches.clear()
            self._slow = True
            self._space.forget_watcher(self)
        else:
            self._batches.append(batch)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Keyspace:
    """See the module docstring. `history` and `history_bytes` bound the changes kept; transient ones never are."""

    def __init__(
        self,
        *,
        history: int = limits.STORE_HISTORY_REVISIONS,
        history_bytes: int = limits.STORE_HISTORY_BYTES,
        queue_batches: int = limits.STORE_WATCH_QUEUE_BATCHES,
        revision: Revision = Revision(1),  # noqa: B008 - an integer under a NewType, immutable
    ) -> None:
        self.revision = revision
        self._oldest = revision
        self._history_limit, self._history_bytes_limit = history, history_bytes
        self._history_bytes = 0
        self._queue_batches = queue_batches
        self._entries: SortedDict[bytes, Entry] = SortedDict()
        self._history: deque[Step] = deque()
        self._watchers: dict[bytes, list[Watcher]] = {}
        self._prefix_lengths: tuple[int, ...] = ()

    def load(self, entries: Iterable[Entry]) -> None:
        """Fill an empty keyspace with what was found on disk."""
        self._entries.update((entry.key, entry) for entry in entries)

    def get(self, key: bytes) -> Entry | None:
        entry: Entry | None = self._entries.get(key)
        return entry

    def range(self, prefix: bytes, *, after: bytes, limit: int, at: Revision | None) -> Page:
        revision = self.revision
        undone: dict[bytes, Entry | None] = {}
        if at is not None:
            self._check_kept(at)
            undone = self._undone(prefix, at)
            revision = at
        found: list[Entry] = []
        for entry in self._walk(prefix, after, undone):
            if limit and len(found) == limit:
                return Page(tuple(found), revision, more=True)
            found.append(entry)
        return Page(tuple(found), revision, more=False)

    def stage(self) -> Stage:
        return Stage(self, self.revision)

    def commit(self, stage: Stage) -> None:
        """Make a stage visible: values, history, watchers, in this order and without a pause in between."""
        for step in stage.steps:
            if step.after is None:
                self._entries.pop(step.change.key, None)
            else:
                self._entries[step.change.key] = step.after
            if not step.transient:
                self._history.append(step)
                self._history_bytes += step.kept_bytes
        self.revision = stage.revision
        while len(self._history) > self._history_limit or self._history_bytes > self._history_bytes_limit:
            self._oldest = self._forget_oldest()
        self._publish([step.change for step in stage.steps])

    def _forget_oldest(self) -> Revision:
        step = self._history.popleft()
        self._history_bytes -= step.kept_bytes
        return step.change.revision

    def watch(self, prefix: bytes, since: Revision) -> Watcher:
        self._check_kept(since)
        watcher = Watcher(self, prefix, self._queue_batches)
        missed = tuple(step.change for step in self._history_after(since) if step.change.key.startswith(prefix))
        if missed:
            watcher.offer(Batch(self.revision, missed))
        self._watchers.setdefault(prefix, []).append(watcher)
        self._note_prefixes()
        return watcher

    def forget_watcher(self, watcher: Watcher) -> None:
        watchers = self._watchers.get(watcher.prefix, [])
        if watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[watcher.prefix]
                self._note_prefixes()

    def request_progress(self) -> None:
        batch = Batch(self.revision, ())
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                if watcher.idle:
                    watcher.offer(batch)

    def compact(self, before: Revision) -> None:
        if before > self.revision:
            raise FutureRevision(asked=before, current=self.revision)
        while self._history and self._history[0].change.revision <= before:
            self._forget_oldest()
        self._oldest = max(self._oldest, before)

    def end_watches(self) -> None:
        for watchers in list(self._watchers.values()):
            for watcher in watchers:
                watcher.end()
        self._watchers.clear()
        self._note_prefixes()

    def _check_kept(self, asked: Revision) -> None:
        if asked < self._oldest:
            raise Compacted(asked=asked, oldest=self._oldest)
        if asked > self.revision:
            raise FutureRevision(asked=asked, current=self.revision)

    def _history_after(self, revision: Revision) -> Iterator[Step]:
        newer = takewhile(lambda step: step.change.revision > revision, reversed(self._history))
        return reversed(list(newer))

    def _undone(self, prefix: bytes, at: Revision) -> dict[bytes, Entry | None]:
        """For each key changed after `at`: what it was then. The first change after `at` knows."""
        undone: dict[bytes, Entry | None] = {}
        for step in self._history_after(at):
            if step.change.key.startswith(prefix):
                undone.setdefault(step.change.key, step.before)
        return undone

    def _walk(self, prefix: bytes, after: bytes, undone: dict[bytes, Entry | None]) -> Iterator[Entry]:
        entries = self._entries
        low = max(prefix, after)
        keys: Iterable[bytes] = entries.irange(low, None, inclusive=(low != after or not after, True))
        if undone:
            gone = {key for key, entry in undone.items() if entry is not None and key not in entries}
            present = (key for key in entries.irange(prefix, None) if key.startswith(prefix))
            keys = (key for key in sorted(gone.union(_while_prefixed(present, prefix))) if key > after or not after)
        for key in _while_prefixed(keys, prefix):
            entry = undone[key] if key in undone else entries[key]
            if entry is not None:
                yield entry

    def _publish(self, changes: list[Change]) -> None:
        if not self._watchers or not changes:
            return
        for_watchers: dict[bytes, list[Change]] = {}
        for change in changes:
            for length in self._prefix_lengths:
                prefix = change.key[:length]
                if prefix in self._watchers:
                    for_watchers.setdefault(prefix, []).append(change)
        for prefix, wanted in for_watchers.items():
            batch = Batch(self.revision, tuple(wanted))
            for watcher in list(self._watchers.get(prefix, ())):
                watcher.offer(batch)

    def _note_prefixes(self) -> None:
        self._prefix_lengths = tuple(sorted({len(prefix) for prefix in self._watchers}))


def _while_prefixed(keys: Iterable[bytes], prefix: bytes) -> Iterator[bytes]:
    for key in keys:
        if not key.startswith(prefix):
            return
        yield key
