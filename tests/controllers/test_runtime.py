"""The frame of controllers: an error that nobody thought of is one key's alone."""

from __future__ import annotations

from iacorch.api.catalogue import CONFIG_MAP
from iacorch.client.recorder import Recorder
from iacorch.controllers.actions import Key, Plan
from iacorch.controllers.runtime import Runner, Watch, own_key
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks
from tests.controllers.world import World, in_world


class Picky:
    """Fails on some keys, and notes when it saw the others."""

    name = "picky"
    watches = (Watch(CONFIG_MAP, own_key),)

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen: dict[str, float] = {}

    async def plan(self, key: Key) -> Plan:
        if key[1].startswith("poison"):
            raise ArithmeticError("nobody thought of this")
        self.seen[key[1]] = self._world.clock.monotonic()
        return Plan()


def test_poisoned_keys_do_not_pause_the_workers() -> None:
    async def check(world: World) -> None:
        controller = Picky(world)
        recorder = Recorder(world.client, component="picky", clock=world.clock)
        for number in range(limits.RECONCILE_WORKERS):
            await world.create(CONFIG_MAP, f"poison-{number}")
        await world.create(CONFIG_MAP, "wholesome")
        informer = world.informers.of(CONFIG_MAP)
        runner = Runner(
            controller, client=world.client, informers=world.informers, recorder=recorder, clock=world.clock
        )
        await world.until(lambda: _has(informer.get("default", "wholesome")))
        async with Tasks("test") as tasks:
            began = world.clock.monotonic()
            tasks.spawn(runner.run())
            await world.until(lambda: _has(controller.seen.get("wholesome")))
            assert controller.seen["wholesome"] == began

    in_world(check)


async def _has(found: object) -> bool:
    return found is not None
