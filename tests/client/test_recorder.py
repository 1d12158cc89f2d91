"""Events as they are left behind in the API."""

from __future__ import annotations

from iacorch.api.catalogue import EVENT, NODE
from iacorch.client.recorder import NORMAL, Recorder
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks
from tests.controllers.world import World, in_world


async def told(world: World, *messages: str, recorder: Recorder) -> dict[str, int]:
    """Message -> count of the Events, after these were recorded about a node."""
    about = await world.client.get(NODE, "", "n1")
    for message in messages:
        recorder.record(about, NORMAL, "Scaled", message)
    while not recorder.idle:
        await world.clock.sleep(0.01)
    return {event["message"]: event["count"] for event in await world.every(EVENT) if event["reason"] == "Scaled"}


def test_the_same_news_is_one_event_with_a_count() -> None:
    async def body(world: World) -> dict[str, int]:
        async with Tasks("recorder") as tasks:
            recorder = Recorder(world.client, component="test", clock=world.clock)
            tasks.spawn(recorder.run())
            return await told(world, "up", "up", "down", recorder=recorder)

    assert in_world(body) == {"up": 2, "down": 1}


def test_many_different_news_become_one_event_with_the_newest_message() -> None:
    async def body(world: World) -> dict[str, int]:
        async with Tasks("recorder") as tasks:
            recorder = Recorder(world.client, component="test", clock=world.clock)
            tasks.spawn(recorder.run())
            numbers = range(limits.EVENT_SIMILAR + 2)
            return await told(world, *(f"to {number}" for number in numbers), recorder=recorder)

    last = limits.EVENT_SIMILAR + 1
    singles = {f"to {number}": 1 for number in range(limits.EVENT_SIMILAR)}
    assert in_world(body) == {**singles, f"(combined from similar events): to {last}": 2}


def test_news_of_long_ago_do_not_count_as_similar() -> None:
    async def body(world: World) -> dict[str, int]:
        async with Tasks("recorder") as tasks:
            recorder = Recorder(world.client, component="test", clock=world.clock)
            tasks.spawn(recorder.run())
            await told(world, *(f"to {number}" for number in range(limits.EVENT_SIMILAR)), recorder=recorder)
            await world.clock.sleep(limits.EVENT_SIMILAR_SECONDS + 1)
            return await told(world, "later", recorder=recorder)

    assert in_world(body)["later"] == 1
