from __future__ import annotations

import asyncio

from iacorch.kit.clock import SystemClock
from iacorch.kit.queue import WorkQueue


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock())
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_a_key_added_while_in_work_comes_again_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock())
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_the_earlier_timer_stands() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock())
    queue.add_after("a", 0.001)
    queue.add_after("a", 3600)
    assert await asyncio.wait_for(queue.get(), 5) == "a"
    queue.close()


async def test_backoff_doubles_to_its_cap_and_is_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(SystemClock(), backoff_start_seconds=1, backoff_max_seconds=3)
    assert [queue.retry("a"), queue.retry("a"), queue.retry("a")] == [1, 2, 3]
    queue.forget("a")
    assert queue.retry("a") == 1
    queue.close()
