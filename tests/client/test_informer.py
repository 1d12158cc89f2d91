"""The informer against a scripted server: lists, watches that end, watches that are too old, what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from iacorch.api.catalogue import Kind, kind
from iacorch.api.objects import Object
from iacorch.client.contract import ObjectList, WatchEvent, WatchType
from iacorch.client.informer import Informer
from iacorch.errors import Gone, Unavailable
from iacorch.kit.clock import LoopClock
from iacorch.kit.tasks import Tasks

PODS = kind("Pod")


def pod(name: str, revision: int, **labels: str) -> Object:
    return {"metadata": {"namespace": "default", "name": name, "resourceVersion": str(revision), "labels": labels}}


class Script:
    """A server that answers lists and watches from a script and records what it was asked."""

    def __init__(self, lists: list[ObjectList | Exception], watches: list[list[WatchEvent] | Exception]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []
        self.exhausted = asyncio.Event()

    async def list(self, kind: Kind, namespace: str = "", **selectors: str) -> ObjectList:
        self.asked.append("list")
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def watch(
        self, kind: Kind, namespace: str = "", *, revision: str, **selectors: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        self.asked.append(f"watch since {revision}")
        if not self.watches:
            self.exhausted.set()
            await asyncio.Event().wait()
        answer = self.watches.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield _stream(answer)


async def _stream(events: list[WatchEvent]) -> AsyncIterator[WatchEvent]:
    for event in events:
        yield event


class Pauses(LoopClock):
    """Notes how long it was asked to sleep, and does not."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 1, 1, tzinfo=UTC))
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def run(
    script: Script, changes: list[tuple[str | None, str | None]] | None = None, clock: LoopClock | None = None
) -> Informer:
    """Run an informer until the script is used up."""
    client: Any = script
    informer = Informer(client, PODS, clock=clock or LoopClock(datetime(2026, 1, 1, tzinfo=UTC)))
    informer.add_index("app", lambda obj: [obj["metadata"]["labels"].get("app", "")])
    if changes is not None:
        informer.on_change(lambda old, new: changes.append((named(old), named(new))))
    async with Tasks("test") as tasks:
        tasks.spawn(informer.run())
        await asyncio.wait_for(script.exhausted.wait(), 30)
    return informer


def named(obj: Object | None) -> str | None:
    return None if obj is None else f"{obj['metadata']['name']}@{obj['metadata']['resourceVersion']}"


async def test_a_watch_that_ends_is_resumed_from_the_last_revision_seen() -> None:
    script = Script(
        [ObjectList([pod("a", 3)], "5")],
        [
            [WatchEvent(WatchType.ADDED, pod("b", 7))],
            [WatchEvent(WatchType.BOOKMARK, {"metadata": {"resourceVersion": "9"}})],
        ],
    )
    informer = await run(script)
    assert script.asked == ["list", "watch since 5", "watch since 7", "watch since 9"]
    assert {named(obj) for obj in informer.items()} == {"a@3", "b@7"}


async def test_what_disappeared_while_the_watch_was_too_old_is_reported_as_deleted() -> None:
    changes: list[tuple[str | None, str | None]] = []
    script = Script(
        [ObjectList([pod("a", 3), pod("b", 4)], "5"), ObjectList([pod("b", 8), pod("c", 9)], "20")],
        [Gone("too old")],
    )
    informer = await run(script, changes)
    assert changes == [(None, "a@3"), (None, "b@4"), ("a@3", None), ("b@4", "b@8"), (None, "c@9")]
    assert informer.revision == 20


async def test_an_unreachable_server_is_waited_for_and_nothing_is_forgotten() -> None:
    script = Script([Unavailable("down"), ObjectList([pod("a", 3)], "5")], [Unavailable("down")])
    informer = await run(script)
    assert script.asked == ["list", "list", "watch since 5", "watch since 5"]
    assert len(informer) == 1


async def test_what_gets_nowhere_is_tried_again_after_pauses_that_double() -> None:
    clock = Pauses()
    lists: list[ObjectList | Exception] = [ObjectList([], "5") for _ in range(4)]
    await run(Script(lists, [Gone("too old") for _ in range(3)]), clock=clock)
    assert clock.slept == [0.2, 0.4, 0.8]
    clock = Pauses()
    await run(Script([ObjectList([], "5")], [[], [], [WatchEvent(WatchType.ADDED, pod("a", 7))], []]), clock=clock)
    assert clock.slept == [0.2, 0.4, 0.2]


async def test_the_index_follows_changes_and_deletes() -> None:
    script = Script(
        [ObjectList([pod("a", 3, app="x"), pod("b", 4, app="x")], "5")],
        [[WatchEvent(WatchType.MODIFIED, pod("a", 6, app="y")), WatchEvent(WatchType.DELETED, pod("b", 7, app="x"))]],
    )
    informer = await run(script)
    assert informer.by_index("app", "x") == []
    assert [named(obj) for obj in informer.by_index("app", "y")] == ["a@6"]


async def test_a_repeated_event_changes_nothing() -> None:
    changes: list[tuple[str | None, str | None]] = []
    script = Script([ObjectList([pod("a", 3)], "5")], [[WatchEvent(WatchType.MODIFIED, pod("a", 3))]])
    await run(script, changes)
    assert changes == [(None, "a@3")]


async def test_a_reader_waits_for_its_own_write() -> None:
    script = Script([ObjectList([], "5")], [[WatchEvent(WatchType.ADDED, pod("a", 7))]])
    informer = await run(script)
    assert await informer.reached(7)
    assert not await informer.reached(8, timeout_seconds=0.001)
