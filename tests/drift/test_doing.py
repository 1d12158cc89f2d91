"""Whoever waits for a check hears what it is at."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from iacorch.drift.doing import Doing
from iacorch.kit.clock import LoopClock
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual


def test_what_goes_on_is_said_every_few_seconds_and_what_is_over_is_not() -> None:
    said: list[str] = []

    async def check() -> None:
        doing, clock = Doing(), LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        async with Tasks("check") as tasks:
            tasks.spawn(doing.tell(clock, said.append))
            await asyncio.gather(
                doing.of("the API", clock.sleep(1)),
                doing.of("3 machines over SSH", clock.sleep(12)),
                doing.of("a refresh preview of local", clock.sleep(7)),
            )
            await clock.sleep(60)

    run_virtual(check())
    assert said == [
        "    5 s  looking: 3 machines over SSH; a refresh preview of local",
        "   10 s  looking: 3 machines over SSH",
    ]
