from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from iacorch.errors import RuntimeFailed
from iacorch.kit.clock import SystemClock
from iacorch.kit.tasks import Tasks, failure_of, keep_running


async def forever() -> None:
    await asyncio.Event().wait()


async def test_leaving_the_block_ends_the_children() -> None:
    async with Tasks("t") as tasks:
        child = tasks.spawn(forever())
        await asyncio.sleep(0)
    assert child.cancelled()


async def test_a_failing_child_ends_the_block_with_its_error() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def own() -> None:
        async with Tasks("t") as tasks:
            tasks.spawn(fail())
            await forever()

    with pytest.raises(ValueError, match="broken"):
        await own()


async def test_cancelling_the_owner_is_not_swallowed() -> None:
    async def own() -> None:
        async with Tasks("t") as tasks:
            tasks.spawn(forever())
            await forever()

    task = asyncio.get_running_loop().create_task(own())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_child_that_fails_while_it_is_ended_is_told_and_the_others_are_ended_too() -> None:
    others: list[asyncio.Task[None]] = []

    async def fail_at_the_end() -> None:
        try:
            await forever()
        finally:
            raise ValueError("broken at the end")

    async def slow_to_end() -> None:
        try:
            await forever()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)

    async def own() -> None:
        async with Tasks("t") as tasks:
            others.extend([tasks.spawn(slow_to_end()), tasks.spawn(fail_at_the_end()), tasks.spawn(slow_to_end())])
            await asyncio.sleep(0)

    with pytest.raises(ValueError, match="broken at the end"):
        await own()
    assert all(task.done() for task in others)


async def test_a_cancelled_owner_waits_for_its_children_to_end() -> None:
    ended = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await forever()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.set()

    async def own() -> None:
        async with Tasks("t") as tasks:
            tasks.spawn(slow_to_end())
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(own())
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_error_that_was_foreseen_is_one_line_of_the_log() -> None:
    foreseen = RuntimeFailed("Docker does not answer", operation="list", subject="containers")

    async def fail(error: Exception) -> None:
        raise error

    with capture_logs() as logs:
        assert await failure_of(fail(foreseen), name="w") is foreseen
        await failure_of(fail(ValueError("a mistake")), name="w")
    assert [("exc_info" in line, line["error"]) for line in logs] == [
        (False, "Docker does not answer"),
        (True, "ValueError('a mistake')"),
    ]


async def test_keep_running_starts_again_after_an_error() -> None:
    runs = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()
            await forever()
        raise ValueError("again")

    async with Tasks("t") as tasks:
        tasks.spawn(keep_running(work, name="w", clock=SystemClock(), start_seconds=0.001))
        await asyncio.wait_for(enough.wait(), 5)
    assert runs == 3
