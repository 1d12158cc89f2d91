"""One of several provisioners decides: never two, never nobody for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.client.contract import Client
from iacorch.errors import Unavailable
from iacorch.kit import limits
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.virtual import run_virtual
from iacorch.provision.leadership import Leadership, Sight, may_take, seen
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM
from iacorch.store.memory import MemoryStore

LASTS = limits.LEADER_LEASE_SECONDS
THEIRS = Sight("they", "t1", since=100.0)


@pytest.mark.parametrize(
    ("sight", "now", "taken"),
    [
        pytest.param(None, 0.0, True, id="there is none"),
        pytest.param(Sight("", "t1", since=100.0), 100.0, True, id="given back"),
        pytest.param(Sight("me", "t1", since=100.0), 100.0, True, id="mine, of an earlier run"),
        pytest.param(THEIRS, 100.0, False, id="theirs"),
        pytest.param(THEIRS, 100.0 + LASTS - 0.1, False, id="theirs, almost over"),
        pytest.param(THEIRS, 100.0 + LASTS, True, id="theirs, over"),
    ],
)
def test_who_may_take_it(sight: Sight | None, now: float, taken: bool) -> None:
    assert may_take(sight, "me", now=now) is taken


def test_the_time_stands_still_while_nothing_changes() -> None:
    lease = {"spec": {"holderIdentity": "they", "renewTime": "t1"}}
    assert seen(THEIRS, lease, now=110.0) is THEIRS
    assert seen(THEIRS, {"spec": {"holderIdentity": "they", "renewTime": "t2"}}, now=110.0).since == 110.0
    assert seen(None, lease, now=5.0).since == 5.0


class Line:
    """A client that can be cut off."""

    def __init__(self, inner: Client) -> None:
        self._inner, self.is_cut = inner, False

    def __getattr__(self, name: str) -> Any:
        async def called(*arguments: Any, **named: Any) -> Any:
            if self.is_cut:
                raise Unavailable("cut off")
            return await getattr(self._inner, name)(*arguments, **named)

        return called


async def both(story: Callable[[LoopClock, list[Line], list[Leadership]], Awaitable[None]]) -> None:
    """Two of them, started one after the other, watched every tenth of a second."""
    clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
    registry = Registry(MemoryStore(), clock=clock, ids=SeededIds(1))
    await bootstrapping.fill(registry)
    lines = [Line(LocalClient(registry, SYSTEM)) for _ in range(2)]
    leaders = [Leadership(line, clock, f"provisioner-{n}") for n, line in enumerate(lines)]

    async def watch() -> None:
        while True:
            assert not all(leader.leads for leader in leaders)
            await clock.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch())]
        for leader in leaders:
            tasks.append(group.create_task(leader.run()))
            await clock.sleep(0.5)
        await story(clock, lines, leaders)
        for task in tasks:
            task.cancel()


def test_the_first_one_leads_until_it_cannot_renew() -> None:
    async def story(clock: LoopClock, lines: list[Line], leaders: list[Leadership]) -> None:
        await clock.sleep(10 * LASTS)
        assert [leader.leads for leader in leaders] == [True, False]
        lines[0].is_cut = True
        await clock.sleep(LASTS + 2 * limits.LEADER_RENEW_SECONDS)
        assert [leader.leads for leader in leaders] == [False, True]
        lines[0].is_cut = False
        await clock.sleep(10 * LASTS)
        assert [leader.leads for leader in leaders] == [False, True], "who comes back waits"

    run_virtual(both(story))


def test_who_resigns_lets_the_other_begin_at_its_next_look() -> None:
    began: list[str] = []

    async def story(clock: LoopClock, lines: list[Line], leaders: list[Leadership]) -> None:
        leaders[1].changed = lambda: began.append("second")
        await leaders[0].resign()
        lines[0].is_cut = True  # its process has ended
        await clock.sleep(limits.LEADER_RENEW_SECONDS + 1)
        assert [leader.leads for leader in leaders] == [False, True]
        assert began == ["second"]

    run_virtual(both(story))
