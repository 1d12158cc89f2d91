"""Pools from end to end on virtual time: grow, shrink, heal, fall back, come back, and survive being killed."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog

from iacorch.api import objects
from iacorch.api.catalogue import EVENT, MACHINE_CLASS, NODE_CLAIM, NODE_POOL
from iacorch.kit import limits
from iacorch.kit.virtual import run_virtual
from iacorch.sim.pool_story import tell
from iacorch.sim.pools import PoolWorld, opened

Story = Callable[[PoolWorld], Awaitable[None]]
ONE_TYPE = [
    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["fake-1a"]},
    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["general.large"]},
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def play(story: Story, folder: Path, *, seed: int = 1) -> None:
    async def run() -> None:
        async with opened(seed, folder) as world:
            await story(world)

    run_virtual(run())


async def all_run(world: PoolWorld, name: str, replicas: int, *, seconds: float = 120) -> float:
    async def holds() -> bool:
        return await world.running(name) == replicas

    return await world.until(holds, seconds=seconds, what=f"{replicas} pods of {name} run")


async def machines(world: PoolWorld, count: int, *, seconds: float = 600) -> float:
    async def holds() -> bool:
        return len(world.cloud.alive()) == count == len(await world.claims())

    return await world.until(holds, seconds=seconds, what=f"{count} machines")


def test_from_zero_and_back_to_zero(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool(disruption={"budgets": [{"machines": "100%"}]})
        await world.deploy("web", 6)
        assert await all_run(world, "web", 6) < 60
        assert {i.spec.capacity_type.value for i in world.cloud.alive()} == {"spot"}
        await world.scale("web", 0)
        await machines(world, 0)
        assert not await world.nodes()

    play(story, tmp_path)


def test_what_was_decided_is_said_on_the_object(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool(limits={"machines": 1})
        await world.deploy("web", 2)
        await all_run(world, "web", 2)
        await world.deploy("huge", 1, cpu="64")
        await world.calm(seconds=10)
        said = [(e["involvedObject"]["kind"], e["reason"], e["message"]) for e in await world.every(EVENT)]
        assert any(kind == "NodePool" and reason == "Launching" and "at 0.0" in m for kind, reason, m in said)
        assert any(kind == "NodeClaim" and reason == "Ready" for kind, reason, _ in said)
        assert any(kind == "Pod" and reason == "NoMachine" and "none of" in m for kind, reason, m in said)
        (pool,) = await world.every(NODE_POOL)
        assert objects.status(pool)["machines"] == 1
        assert objects.condition_is(pool, "Ready")

    play(story, tmp_path)


def test_a_refused_offer_is_fallen_back_from_within_a_minute_and_come_back_to(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        spot = {o.key for o in world.cloud.offerings if o.capacity_type == "spot"}
        world.cloud.faults.dry |= spot
        await world.create_class()
        await world.create_pool(requirements=ONE_TYPE)
        await world.deploy("web", 4)
        assert await all_run(world, "web", 4) < 60 + 20  # and the boot
        assert {i.spec.capacity_type.value for i in world.cloud.alive()} == {"on-demand"}
        world.cloud.faults.dry.clear()

        async def cheap_again() -> bool:
            alive = world.cloud.alive()
            return {i.spec.capacity_type.value for i in alive} == {"spot"} and await world.running("web") == 4

        await world.until(cheap_again, seconds=900, what="spot took over")

    play(story, tmp_path)


@pytest.mark.parametrize("breaks", [True, False], ids=["it breaks", "it never boots"])
def test_a_machine_that_does_not_come_up_is_fallen_back_from_within_a_minute(breaks: bool, tmp_path: Path) -> None:
    """After the cloud has said so, or after the time that a machine may take to boot."""

    async def story(world: PoolWorld) -> None:
        faults = world.cloud.faults
        if breaks:
            faults.brittle |= {o.key for o in world.cloud.offerings if o.capacity_type == "spot"}
        faults.never_boot_rate = 0.0 if breaks else 1.0
        await world.create_class()
        await world.create_pool(requirements=ONE_TYPE)
        await world.deploy("web", 4)
        await machines(world, 1)
        (first,) = world.cloud.alive()
        faults.never_boot_rate = 0.0
        known = faults.boot_seconds if breaks else limits.MACHINE_BOOT_SECONDS
        assert await all_run(world, "web", 4, seconds=600) < known + 60 + faults.boot_seconds
        await machines(world, 1)  # what is of no use was given back
        (second,) = world.cloud.alive()
        assert (first.spec.capacity_type.value, second.spec.capacity_type.value) == ("spot", "on-demand")
        (machine_class,) = await world.every(MACHINE_CLASS)
        assert [entry["reason"] for entry in objects.status(machine_class)["refused"]] == ["NeverBooted"]

    play(story, tmp_path)


def test_an_interrupted_machine_is_replaced_before_it_is_gone(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool()
        await world.deploy("web", 4)
        await all_run(world, "web", 4)
        (instance,) = world.cloud.alive()
        world.cloud.interrupt(instance.id)

        async def moved() -> bool:
            others = [i for i in world.cloud.alive() if i.id != instance.id]
            return bool(others) and await world.running("web") == 4

        assert await world.until(moved, seconds=110, what="the pods run elsewhere") < 110

    play(story, tmp_path)


def test_a_dead_agent_is_started_again_and_a_dead_machine_replaced(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool()
        await world.deploy("web", 4)
        await all_run(world, "web", 4)
        (claim,) = await world.claims()
        name = objects.name(claim)
        await world.fail(name)

        async def repaired() -> bool:
            found = await world.user.get(NODE_CLAIM, "", name)
            return objects.condition_is(found, "Repairing", "False") and objects.condition_is(found, "Ready")

        assert await world.until(repaired, seconds=90, what="the agent was started again") < 90
        (instance,) = world.cloud.alive()
        world.cloud.vanish(instance.id)

        async def replaced() -> bool:
            alive = world.cloud.alive()
            return bool(alive) and alive[0].id != instance.id and await world.running("web") == 4

        await world.until(replaced, seconds=300, what="another machine took its place")

    play(story, tmp_path)


def test_a_machine_that_nothing_mends_climbs_the_whole_ladder(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        rungs = ["RestartAgent", "Bootstrap", "Reboot", "Replace"]
        await world.create_pool(repair={"rungs": rungs}, disruption={"consolidationPolicy": "Never"})
        await world.deploy("web", 4)
        await all_run(world, "web", 4)
        (instance,) = world.cloud.alive()
        await world.fail(instance.spec.name, for_good=True)

        async def replaced() -> bool:
            alive = world.cloud.alive()
            return {i.id for i in alive}.isdisjoint({instance.id}) and await world.running("web") == 4

        await world.until(replaced, seconds=1800, what="it was replaced in the end")
        said = [e["message"] for e in await world.every(EVENT) if e["reason"] == "Repairing"]
        assert [m.split(":")[0] for m in said] == rungs or sorted(m.split(":")[0] for m in said) == sorted(rungs)

    play(story, tmp_path)


def test_a_deleted_pool_takes_its_machines_along_also_without_its_class(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool()
        await world.deploy("web", 2)
        await all_run(world, "web", 2)
        await world.user.delete(MACHINE_CLASS, "", "fake")
        await world.user.delete(NODE_POOL, "", "burst")
        await machines(world, 0)
        assert not await world.nodes()

    play(story, tmp_path)


def test_a_closed_pool_gives_its_machines_back_and_opens_again(tmp_path: Path) -> None:
    async def story(world: PoolWorld) -> None:
        await world.create_class()
        monday = [
            {"days": ["Mon"], "from": "08:00", "until": "10:00"},
            {"days": ["Mon"], "from": "11:00", "until": "20:00"},
        ]
        await world.create_pool(officeHours=monday)
        await world.deploy("web", 2)
        await all_run(world, "web", 2)
        await machines(world, 0, seconds=3600 + 300)
        (pool,) = await world.every(NODE_POOL)
        assert objects.condition_is(pool, "Open", "False")
        await all_run(world, "web", 2, seconds=3600 + 300)

    play(story, tmp_path)


def test_machines_that_are_too_old_are_renewed_one_after_the_other(tmp_path: Path) -> None:
    """Nothing else happens: it is their age alone that wakes somebody."""

    async def story(world: PoolWorld) -> None:
        await world.create_class()
        await world.create_pool(
            requirements=ONE_TYPE,
            expireAfter="10m",
            disruption={"consolidationPolicy": "Never", "budgets": [{"machines": 1}]},
        )
        await world.deploy("web", 2, cpu="2500m")
        await all_run(world, "web", 2)
        began, old = world.clock.monotonic(), {objects.uid(claim) for claim in await world.claims()}
        least = len(old)

        async def renewed() -> bool:
            nonlocal least
            least = min(least, await world.running("web"))
            uids = {objects.uid(claim) for claim in await world.claims()}
            return uids.isdisjoint(old) and await world.running("web") == 2

        await world.until(renewed, seconds=900, what="both are new")
        assert world.clock.monotonic() - began > 600 - 120
        assert least == 1, "one at a time"
        await machines(world, 2)

    play(story, tmp_path)


POINTS = int(os.environ.get("IACORCH_KILLS", "0"))


@pytest.mark.parametrize("point", range(1, POINTS + 1) if POINTS else range(1, 90, 9))
def test_killed_at_any_call_nothing_is_leaked_or_doubled(point: int, tmp_path: Path) -> None:
    """Each run is killed at one call of the API or the cloud while it grows, and at a later one while it shrinks.

    IACORCH_KILLS=N kills at each of the first N calls.
    """

    async def story(world: PoolWorld) -> None:
        world.line.dies_at = point
        await world.create_class()
        await world.create_pool(limits={"machines": 4}, disruption={"budgets": [{"machines": "100%"}]})
        await world.deploy("web", 5, cpu="1500m")
        await all_run(world, "web", 5, seconds=600)
        assert world.crashes == (point <= world.line.calls)
        world.line.dies_at = world.line.calls + point
        await world.scale("web", 0)
        await machines(world, 0, seconds=1500)
        world.checks.nothing_leaked(await world.claims())

    play(story, tmp_path, seed=point)


@pytest.mark.parametrize("seed", range(2))
def test_stories_end_well(seed: int, tmp_path: Path) -> None:
    """More seeds by hand: `python -m iacorch.sim.pool_story --count 100`."""
    tell(seed, tmp_path, events=12)
