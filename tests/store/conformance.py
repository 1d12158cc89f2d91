"""What every store keeps: one sentence of the contract a test. `test_conformance` runs them on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from iacorch.errors import Compacted, FutureRevision, KeyExists, RevisionMismatch, StoreBroken, WatchTooSlow
from iacorch.store.contract import Batch, Change, Revision, Store


async def take(batches: AsyncIterator[Batch], count: int) -> list[Change]:
    """The next `count` changes, however they are grouped."""
    found: list[Change] = []
    while len(found) < count:
        found += (await anext(batches)).changes
    assert len(found) == count
    return found


class StoreConformance:
    """Subclasses bring a fixture `store` with a history of 8 changes and watch queues of 4 batches."""

    async def test_an_empty_store_is_at_one(self, store: Store) -> None:
        assert store.revision == 1
        assert (await store.range(b"")).entries == ()

    async def test_each_write_raises_the_revision_by_one(self, store: Store) -> None:
        first = await store.create(b"/a", b"1")
        second = await store.update(b"/a", b"2", expected=first)
        assert (first, second, await store.delete(b"/a", expected=second)) == (2, 3, 4)
        assert store.revision == 4

    async def test_a_write_is_read_back_with_its_revisions(self, store: Store) -> None:
        created = await store.create(b"/a", b"1")
        updated = await store.update(b"/a", b"2", expected=created)
        entry = await store.get(b"/a")
        assert entry is not None
        assert (entry.value, entry.revision, entry.created) == (b"2", updated, created)

    async def test_a_key_is_created_once(self, store: Store) -> None:
        at = await store.create(b"/a", b"1")
        with pytest.raises(KeyExists) as caught:
            await store.create(b"/a", b"2")
        assert caught.value.actual == at

    async def test_a_key_made_again_is_new(self, store: Store) -> None:
        first = await store.create(b"/a", b"1")
        await store.delete(b"/a", expected=first)
        again = await store.create(b"/a", b"2")
        entry = await store.get(b"/a")
        assert entry is not None
        assert entry.created == again

    @pytest.mark.parametrize("verb", ["update", "delete"])
    async def test_a_write_based_on_the_past_is_refused(self, store: Store, verb: str) -> None:
        first = await store.create(b"/a", b"1")
        second = await store.update(b"/a", b"2", expected=first)
        with pytest.raises(RevisionMismatch) as caught:
            await (
                store.update(b"/a", b"3", expected=first) if verb == "update" else store.delete(b"/a", expected=first)
            )
        assert (caught.value.expected, caught.value.actual) == (first, second)
        assert store.revision == second

    async def test_a_write_to_nothing_says_zero(self, store: Store) -> None:
        with pytest.raises(RevisionMismatch) as caught:
            await store.update(b"/a", b"1", expected=Revision(1))
        assert caught.value.actual == 0

    async def test_ranges_are_in_key_order_under_their_prefix(self, store: Store) -> None:
        for key in (b"/b/2", b"/a/9", b"/b/1", b"/c/0", b"/b/10"):
            await store.create(key, key)
        assert [entry.key for entry in (await store.range(b"/b/")).entries] == [b"/b/1", b"/b/10", b"/b/2"]

    async def test_pages_of_one_revision_agree_whatever_happens_in_between(self, store: Store) -> None:
        at = {number: await store.create(b"/%d" % number, b"old") for number in range(4)}
        first = await store.range(b"/", limit=2)
        assert first.more
        await store.delete(b"/2", expected=at[2])
        await store.update(b"/3", b"new", expected=at[3])
        await store.create(b"/4", b"new")
        rest = await store.range(b"/", after=first.entries[-1].key, at=first.revision)
        assert [(entry.key, entry.value) for entry in rest.entries] == [(b"/2", b"old"), (b"/3", b"old")]
        assert not rest.more
        assert rest.revision == first.revision

    async def test_the_future_cannot_be_read(self, store: Store) -> None:
        with pytest.raises(FutureRevision):
            await store.range(b"/", at=Revision(store.revision + 1))
        with pytest.raises(FutureRevision):
            async with store.watch(b"/", since=Revision(store.revision + 1)):
                pass

    async def test_the_history_is_bounded(self, store: Store) -> None:
        at = await store.create(b"/a", b"0")
        for number in range(20):
            at = await store.update(b"/a", b"%d" % number, expected=at)
        with pytest.raises(Compacted) as caught:
            await store.range(b"/", at=Revision(2))
        assert caught.value.oldest == at - 8

    async def test_compaction_forgets_the_past_and_keeps_the_present(self, store: Store) -> None:
        first = await store.create(b"/a", b"1")
        second = await store.update(b"/a", b"2", expected=first)
        await store.compact(second)
        with pytest.raises(Compacted):
            async with store.watch(b"/", since=first):
                pass
        assert (await store.range(b"/", at=second)).entries[0].value == b"2"

    async def test_a_watch_sees_what_was_missed_and_what_comes(self, store: Store) -> None:
        since = store.revision
        first = await store.create(b"/w/a", b"1")
        await store.create(b"/other", b"1")
        async with store.watch(b"/w/", since=since) as batches:
            second = await store.update(b"/w/a", b"2", expected=first)
            third = await store.delete(b"/w/a", expected=second)
            assert await take(batches, 3) == [
                Change(b"/w/a", b"1", None, first),
                Change(b"/w/a", b"2", b"1", second),
                Change(b"/w/a", None, b"2", third),
            ]

    async def test_a_quiet_watcher_hears_how_far_the_store_has_come(self, store: Store) -> None:
        async with store.watch(b"/w/", since=store.revision) as batches:
            await store.create(b"/other", b"1")
            store.request_progress()
            assert await anext(batches) == Batch(store.revision, ())

    async def test_a_slow_watcher_is_cut_off_and_never_shown_a_gap(self, store: Store) -> None:
        async with store.watch(b"/", since=store.revision) as batches:
            for number in range(6):
                await store.create(b"/%d" % number, b"")
            with pytest.raises(WatchTooSlow):
                await anext(batches)

    async def test_a_transient_write_reaches_live_watchers_and_no_later_ones(self, store: Store) -> None:
        since = await store.create(b"/lease", b"1")
        async with store.watch(b"/", since=since) as batches:
            at = await store.update(b"/lease", b"2", expected=since, transient=True)
            assert await take(batches, 1) == [Change(b"/lease", b"2", b"1", at)]
        async with store.watch(b"/", since=since) as batches:
            last = await store.create(b"/x", b"")
            assert [change.revision for change in await take(batches, 1)] == [last]

    async def test_watches_end_when_the_store_closes(self, store: Store) -> None:
        async with store.watch(b"/", since=store.revision) as batches:
            await store.close()
            with pytest.raises(StopAsyncIteration):
                await anext(batches)
        with pytest.raises(StoreBroken):
            await store.get(b"/a")
