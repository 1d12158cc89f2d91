from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from iacorch.kit.clock import LoopClock
from iacorch.kit.virtual import Deadlock, run_virtual

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_year_passes_at_once() -> None:
    async def wait() -> datetime:
        clock = LoopClock(START)
        await clock.sleep(365 * 86_400)
        return clock.now()

    assert run_virtual(wait()) == START + timedelta(days=365)


def test_timers_fire_in_their_order() -> None:
    async def race() -> list[int]:
        clock = LoopClock(START)
        order: list[int] = []

        async def after(seconds: int) -> None:
            await clock.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(*(after(seconds) for seconds in (3, 1, 2)))
        return order

    assert run_virtual(race()) == [1, 2, 3]


def test_timeouts_follow_virtual_time() -> None:
    async def patient() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(patient()) == pytest.approx(60)


def test_waiting_for_nothing_is_a_deadlock_that_names_the_task() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="waiting: Task"):
        run_virtual(hang())
