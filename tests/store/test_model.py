"""The memory store and SQLite under the same random operations: same reads, revisions, errors and watch batches."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from iacorch.errors import StoreError
from iacorch.store.contract import Batch, Change, Revision, Store
from iacorch.store.memory import MemoryStore
from iacorch.store.sqlite import SqliteStore

keys = st.sampled_from([b"/a", b"/a/1", b"/a/2", b"/b/1", b"/b/10", b"/b/2", b"/c"])
prefixes = st.sampled_from([b"", b"/", b"/a", b"/a/", b"/b/", b"/nothing"])
values = st.binary(max_size=4)
steps_back = st.integers(-1, 12)
HISTORY, QUEUE = 6, 1_000


class Watch:
    """One watch on one store: what it has said so far, ungrouped."""

    def __init__(self, batches: AsyncIterator[Batch]) -> None:
        self.batches = batches
        self.changes: list[Change] = []
        self.revisions: list[int] = []

    async def drain(self, ask_progress: Callable[[], None]) -> None:
        """Take what is there: a progress batch is given only to a watcher for whom nothing waits."""
        ask_progress()
        while (batch := await anext(self.batches)).changes:
            self.changes += batch.changes
            self.revisions.append(batch.revision)
            ask_progress()


class Stores(RuleBasedStateMachine):
    """Runs its own loop, as hypothesis is synchronous."""

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.open_watches: list[tuple[Watch, Watch]] = []
        self.stack = AsyncExitStack()

        async def make() -> tuple[Store, Store]:
            sqlite = await SqliteStore.open(Path(self.folder.name) / "store.db", history=HISTORY, queue_batches=QUEUE)
            return MemoryStore(history=HISTORY, queue_batches=QUEUE), sqlite

        self.memory, self.sqlite = self.loop.run_until_complete(make())

    def both(self, work: Callable[[Store], Awaitable[Any]]) -> Any:
        """Do the same on both; compare what is returned or raised."""

        async def outcome(store: Store) -> Any:
            try:
                return await work(store)
            except StoreError as error:
                return type(error), vars(error)

        expected = self.loop.run_until_complete(outcome(self.memory))
        assert self.loop.run_until_complete(outcome(self.sqlite)) == expected
        return expected

    @rule(key=keys, value=values)
    def create(self, key: bytes, value: bytes) -> None:
        self.both(lambda store: store.create(key, value))

    @rule(key=keys, value=values, right=st.booleans(), transient=st.booleans())
    def update(self, key: bytes, value: bytes, right: bool, transient: bool) -> None:
        expected = self.at(key) if right else Revision(self.memory.revision - 1)
        self.both(lambda store: store.update(key, value, expected=expected, transient=transient))

    @rule(key=keys, right=st.booleans())
    def delete(self, key: bytes, right: bool) -> None:
        expected = self.at(key) if right else Revision(self.memory.revision - 1)
        self.both(lambda store: store.delete(key, expected=expected))

    @rule(writes=st.lists(st.tuples(keys, values), min_size=2, max_size=6))
    def together(self, writes: list[tuple[bytes, bytes]]) -> None:
        """Creates at the same time: SQLite decides them as one group, memory one by one in the same order."""

        async def all_at_once(store: Store) -> list[Any]:
            found = await asyncio.gather(*(store.create(*write) for write in writes), return_exceptions=True)
            return [(type(one), vars(one)) if isinstance(one, StoreError) else one for one in found]

        self.both(all_at_once)

    @rule(prefix=prefixes, after=st.one_of(st.just(b""), keys), limit=st.integers(0, 3), back=st.none() | steps_back)
    def read(self, prefix: bytes, after: bytes, limit: int, back: int | None) -> None:
        at = None if back is None else Revision(self.memory.revision - back)
        self.both(lambda store: store.range(prefix, after=after, limit=limit, at=at))

    @rule(back=steps_back)
    def compact(self, back: int) -> None:
        self.both(lambda store: store.compact(Revision(self.memory.revision - back)))

    @rule(prefix=prefixes, back=steps_back)
    def watch(self, prefix: bytes, back: int) -> None:
        since = Revision(self.memory.revision - back)

        async def enter(store: Store) -> None:
            watches.append(Watch(await self.stack.enter_async_context(store.watch(prefix, since=since))))

        watches: list[Watch] = []
        self.both(enter)
        if watches:
            self.open_watches.append((watches[0], watches[1]))

    @rule()
    def reopen_is_the_same(self) -> None:
        """Closing and opening the file loses nothing, transient writes included; only the history is forgotten."""
        if self.open_watches:
            return

        async def again() -> Store:
            await self.sqlite.close()
            return await SqliteStore.open(Path(self.folder.name) / "store.db", history=HISTORY, queue_batches=QUEUE)

        self.sqlite = self.loop.run_until_complete(again())
        self.loop.run_until_complete(self.memory.compact(self.memory.revision))

    @invariant()
    def revisions_agree(self) -> None:
        if hasattr(self, "loop"):
            assert self.memory.revision == self.sqlite.revision

    def ask_progress(self) -> None:
        self.memory.request_progress()
        self.sqlite.request_progress()

    def at(self, key: bytes) -> Revision:
        entry = self.loop.run_until_complete(self.memory.get(key))
        return entry.revision if entry else Revision(0)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def compare_and_close() -> None:
            for expected, found in self.open_watches:
                for watch in (expected, found):
                    await watch.drain(self.ask_progress)
                assert found.changes == expected.changes
                assert found.revisions == sorted(found.revisions)
            await self.stack.aclose()
            await self.memory.close()
            await self.sqlite.close()

        self.loop.run_until_complete(compare_and_close())
        self.loop.close()
        self.folder.cleanup()


Stores.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestStores = Stores.TestCase
