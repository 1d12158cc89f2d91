"""Seeded stories about pools: users scale, clouds fail, machines die, the provisioner is killed; then all converges.

In: a seed. Out: an `Ending`, or Violation with what was so. The same seed tells the same story. Run some by hand with
`python -m iacorch.sim.pool_story --seed 7 --count 20`; the world itself is `pools`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import structlog

from iacorch.api import objects
from iacorch.api.catalogue import NODE_POOL, POD
from iacorch.infra.machines.contract import MachineState
from iacorch.infra.machines.fake import Fault
from iacorch.kit.ids import Ids, SeededIds
from iacorch.kit.virtual import run_virtual
from iacorch.sim.checks import Violation
from iacorch.sim.pools import PoolWorld, opened

_APPS: Final = ("ant", "bee", "cat")
_STORM: Final = {
    Fault.THROTTLE: 0.05,
    Fault.LOSE_REQUEST: 0.03,
    Fault.LOSE_ANSWER: 0.03,
    Fault.HALF_ANSWER: 0.02,
    Fault.NO_CAPACITY: 0.05,
}
_CONVERGE_SECONDS: Final = 3_600.0
BUDGET: Final = 2
LIMITS: Final = {"machines": 8, "moneyPerHour": "0.6", "moneyPerMonth": "300"}


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run came to."""

    seed: int
    events: int
    crashes: int
    machines_made: int
    converged_after_seconds: float


def tell(seed: int, folder: Path, *, events: int = 20) -> Ending:
    """Run one story to its end on a loop of its own. Raises Violation."""

    async def run() -> Ending:
        async with opened(seed, folder) as world:
            return await _Story(world, seed, events).play()

    return run_virtual(run())


class _Story:
    def __init__(self, world: PoolWorld, seed: int, events: int) -> None:
        self._world, self._seed, self._events = world, seed, events
        self._ids: Ids = SeededIds(seed ^ 0xB00B)
        self._told: list[str] = []

    async def play(self) -> Ending:
        world = self._world
        world.cloud.faults.visible_after_seconds = 3.0
        await world.create_class()
        disruption = {"budgets": [{"machines": BUDGET}], "consolidateAfter": "20s"}
        await world.create_pool(limits=LIMITS, disruption=disruption, repair={"maxAtOnce": 2})
        for app in _APPS:
            await world.deploy(app, self._draw(4))
        world.cloud.faults.rates = _STORM
        world.cloud.faults.never_boot_rate = world.cloud.faults.break_rate = 0.05
        try:
            for _ in range(self._events):
                await world.calm(seconds=5 + 55 * self._ids.fraction())
                await self._something()
            return await self._calm()
        except Violation as violation:
            raise Violation(f"seed {self._seed}: {violation}\n" + "\n".join(self._told)) from violation

    async def _something(self) -> None:
        world, which = self._world, self._draw(10)
        alive = [i for i in world.cloud.alive() if i.state(world.clock.now()) is MachineState.RUNNING]
        victim = alive[self._draw(len(alive))] if alive else None
        match which:
            case 0 | 1 | 2:
                app, count = _APPS[self._draw(len(_APPS))], self._draw(9)
                self._say(f"scale {app} to {count}")
                await world.scale(app, count)
            case 3 | 4:
                self._say("kill the provisioner")
                await world.kill_provisioner()
            case 5:
                world.line.dies_at = world.line.calls + 1 + self._draw(30)
                self._say(f"the provisioner will die at call {world.line.dies_at}")
            case 6:
                keys = sorted(o.key for o in world.cloud.offerings)
                world.cloud.faults.dry = {key for key in keys if self._ids.fraction() < 0.4}
                self._say("another four in ten offerings are dry")
            case 7 if victim is not None:
                self._say(f"interrupt {victim.spec.name}")
                world.cloud.interrupt(victim.id)
            case 8 if victim is not None:
                self._say(f"{victim.spec.name} vanishes")
                world.cloud.vanish(victim.id)
            case 9 if victim is not None:
                for_good = self._ids.fraction() < 0.3
                self._say(f"the agent of {victim.spec.name} dies{' for good' if for_good else ''}")
                await world.fail(victim.spec.name, for_good=for_good)
            case _:
                pass

    async def _calm(self) -> Ending:
        """No more faults: every pod that may run runs, every machine has a claim, every claim a Ready node."""
        world = self._world
        self._say("calm")
        world.cloud.faults.rates, world.cloud.faults.dry = {}, set()
        world.cloud.faults.never_boot_rate = world.cloud.faults.break_rate = 0.0
        world.line.dies_at = 0
        seconds = await world.until(self._converged, seconds=_CONVERGE_SECONDS, what="everything converged")
        world.checks.nothing_leaked(await world.claims())
        return Ending(self._seed, self._events, world.crashes, len(world.cloud.instances), seconds)

    async def _converged(self) -> bool:
        world = self._world
        claims = await world.claims()
        if any(objects.is_deleting(c) or not objects.condition_is(c, "Ready") for c in claims):
            return False
        if len(world.cloud.alive()) != len(claims):
            return False
        waiting = [p for p in await world.every(POD) if not objects.condition_is(p, "Ready")]
        if waiting:
            (pool,) = await world.every(NODE_POOL)
            return objects.condition_is(pool, "CanGrow", "False")
        return True

    def _draw(self, below: int) -> int:
        return int(self._ids.fraction() * below)

    def _say(self, words: str) -> None:
        self._told.append(f"{self._world.clock.monotonic():9.3f}  {words}")


@click.command()
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--count", type=int, default=1, show_default=True, help="How many seeds.")
@click.option("--events", type=int, default=20, show_default=True, help="Things that happen in a run.")
def main(seed: int, count: int, events: int) -> None:
    """Tell stories about pools. A failing seed fails the same way each time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    failed = 0
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory(prefix="iacorch-pools-") as folder:
            try:
                ending = tell(number, Path(folder), events=events)
            except Violation as violation:
                failed += 1
                click.echo(str(violation))
                continue
        click.echo(
            f"seed {number}: {ending.crashes} crashes, {ending.machines_made} machines made,"
            f" converged after {ending.converged_after_seconds:.0f} s"
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
