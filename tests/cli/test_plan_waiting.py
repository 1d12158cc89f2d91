"""Who waits for a plan hears what it is at, not every step of it."""

from __future__ import annotations

from datetime import UTC, datetime

from iacorch.cli.commands.plan import Waiting
from iacorch.kit import limits
from iacorch.kit.clock import LoopClock
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual


def test_what_it_is_at_is_told_now_and_then_and_once() -> None:
    told: list[str] = []

    async def work() -> None:
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        waiting = Waiting(clock, told.append)
        async with Tasks("plan") as tasks:
            tasks.spawn(waiting.tell())
            waiting.say("looking")
            await clock.sleep(limits.PLAN_TELLS_SECONDS / 2)
            assert told == [], "a quick plan says nothing"
            for done in range(10):
                waiting.say(f"previewing, {done} done")
            await clock.sleep(limits.PLAN_TELLS_SECONDS * 3)

    run_virtual(work())
    assert told == ["  previewing, 9 done ..."]
