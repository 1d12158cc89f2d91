"""Carrying an upgrade out against a registry; only the machines are not real."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD, Kind
from iacorch.client.contract import ObjectList
from iacorch.errors import Unavailable
from iacorch.infra.engine.contract import Deployer, Listener, Options, Result, StackRef, ignore
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.infra.provider.resources import cluster
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.rollout.plan import CORDONED, Member, plan
from iacorch.rollout.run import Cluster, RolloutStopped, Rules, run
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.store.memory import MemoryStore

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class World:
    """Three nodes in two zones, a pod on each; `fails` is the machine whose new build does not work."""

    client: LocalClient
    fails: str = ""
    targets: list[tuple[str, ...]] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What somebody else does while a machine is changed."""
    said: list[str] = field(default_factory=list)

    async def up(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        """What a deployment engine does, as far as a rollout can see."""
        self.targets.append(options.targets)
        nodes = (await self.client.list(NODE)).items
        self.seen.append([node["metadata"]["name"] for node in nodes if objects.spec(node).get("unschedulable")])
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.fails in options.targets:
            raise ResourceFailed("the new build does not work, so build 1 runs again", urn=self.fails)
        return Result({}, {}, 0.0)

    def hands(self, kind: type[Cluster] = Cluster) -> Cluster:
        refs = {"s": StackRef(Path(), "s", "")}
        deployer = cast("Deployer", self)
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        return kind(
            self.client, deployer, refs, clock,
            say=self.said.append, listen=ignore, drain_seconds=0.0, wanted="new/ca.1",
        )  # fmt: skip

    async def cordoned(self) -> list[str]:
        return [
            n["metadata"]["name"] for n in (await self.client.list(NODE)).items if objects.spec(n).get("unschedulable")
        ]

    async def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in (await self.client.list(POD)).items]


MEMBERS = (
    Member("server", "server", "s", "control-plane"),
    Member("a", "a", "s", "node", "z1"),
    Member("b", "b", "s", "node", "z1"),
    Member("c", "c", "s", "node", "z2"),
)


@pytest.fixture
async def world() -> World:
    return await new_world()


async def new_world(client_of: type[LocalClient] = LocalClient) -> World:
    registry = Registry(MemoryStore(), clock=LoopClock(datetime(2026, 1, 1, tzinfo=UTC)), ids=SeededIds(1))
    await bootstrapping.fill(registry)
    client = client_of(registry)
    for name in ("a", "b", "c"):
        await client.create(NODE, {"metadata": {"name": name}, "status": READY})
        metadata = {"name": f"on-{name}", "namespace": "default"}
        spec: dict[str, Any] = {"nodeName": name, "containers": [{"name": "c", "image": "i"}]}
        spec["terminationGracePeriodSeconds"] = 0
        await client.create(POD, {"metadata": metadata, "spec": spec})
    return World(client)


async def changed(
    world: World, *, members: Sequence[Member] = MEMBERS, drain: bool = True, force: bool = True, max_unready: int = 0
) -> tuple[str, ...]:
    return await run(plan(members), world.hands(), world.said.append, Rules(drain, force, max_unready))


async def test_one_domain_after_another_each_drained_and_uncordoned(world: World) -> None:
    assert await changed(world) == ("server", "a", "b", "c")
    assert world.targets == [("server",), ("a",), ("b",), ("c",)]
    assert world.seen == [[], ["a"], ["b"], ["c"]], "only what is being changed is cordoned, and no control plane"
    assert await world.cordoned() == []
    assert await world.pods() == []


async def test_without_draining_nothing_moves(world: World) -> None:
    await changed(world, drain=False)
    assert world.seen == [[], [], [], []]
    assert await world.pods() == ["on-a", "on-b", "on-c"]


async def test_a_failure_ends_it_with_everything_uncordoned(world: World) -> None:
    world.fails = "b"
    with pytest.raises(
        RolloutStopped, match=r"stopped at zone z1: b: .*build 1 runs again.*before: server, a"
    ) as stopped:
        await changed(world)
    assert stopped.value.done == ("server", "a")
    assert world.targets[-1] == ("b",), "c was not begun"
    assert await world.cordoned() == []


async def test_pods_that_do_not_leave_end_it_before_the_machine_is_touched(world: World) -> None:
    await world.client.create(
        POD,
        {
            "metadata": {"name": "held", "namespace": "default", "finalizers": ["example.com/held"]},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]},
        },
    )
    with pytest.raises(RolloutStopped, match=r"pods did not leave a: .*default/held"):
        await changed(world, force=False)
    assert world.targets == [("server",)]
    assert await world.cordoned() == []


async def test_other_nodes_that_are_not_ready_are_a_reason_to_stop_beyond_the_budget(world: World) -> None:
    lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    await world.client.patch(NODE, "", "c", lost, subresource="status")
    with pytest.raises(RolloutStopped, match="1 other nodes are not ready: c") as stopped:
        await changed(world)
    assert "--max-unready" in stopped.value.hint
    assert world.targets == []
    assert await changed(world, max_unready=1) == ("server", "a", "b", "c")


async def test_what_others_cordoned_stays_so_and_what_we_left_does_not(world: World) -> None:
    hands = world.hands()
    await world.client.patch(NODE, "", "a", {"spec": {"unschedulable": True}})
    await hands.cordon("b")
    await hands.cordon("c")
    members = (
        Member("a", "a", "s", "node"),
        Member("b", "b", "s", "node", left_cordoned=True),
        Member("c", "c", "s", "node", current=True, left_cordoned=True),
    )
    assert await changed(world, members=members) == ("a", "b")
    assert await world.cordoned() == ["a"]
    nodes = (await world.client.list(NODE)).items
    assert not any(CORDONED in node["metadata"].get("annotations", {}) for node in nodes)


async def test_what_others_cordon_while_it_goes_on_stays_so(world: World) -> None:
    """The plan is from before: whose a cordon is is asked of the Node as it is then."""

    async def a_person() -> None:
        await world.client.patch(NODE, "", "c", {"spec": {"unschedulable": True}})

    world.meanwhile = a_person
    assert await changed(world) == ("server", "a", "b", "c")
    assert await world.cordoned() == ["c"]


async def test_a_leftover_that_a_person_took_over_stays_cordoned(world: World) -> None:
    """Between the plan, which may wait long for somebody to agree, and its carrying out."""
    await world.client.patch(NODE, "", "a", {"spec": {"unschedulable": True}})
    await changed(world, members=(Member("a", "a", "s", "node", current=True, left_cordoned=True),))
    assert await world.cordoned() == ["a"]


async def test_a_node_that_cannot_be_uncordoned_ends_it(world: World) -> None:
    class Clumsy(Cluster):
        async def uncordon(self, name: str) -> None:
            raise Unavailable("nobody answers")

    with pytest.raises(RolloutStopped, match=r"still cordoned: a \(nobody answers\); changed before: a") as stopped:
        await run(plan(MEMBERS[1:]), world.hands(Clumsy), world.said.append, Rules(force=True))
    assert stopped.value.done == ("a",), "b was not begun"
    await changed(world, members=(Member("a", "a", "s", "node", current=True, left_cordoned=True),))
    assert await world.cordoned() == []


class Busy(LocalClient):
    """Once, a pod is made anew under its name between being listed and being evicted."""

    is_done = False

    async def list(self, kind: Kind, *args: Any, **options: Any) -> ObjectList:
        found = await super().list(kind, *args, **options)
        if kind == POD and found.items and not self.is_done:
            self.is_done = True
            old = found.items[0]
            await self.delete(POD, "default", objects.name(old), grace_seconds=0)
            fresh = {"name": objects.name(old), "namespace": "default"}
            await self.create(POD, {"metadata": fresh, "spec": objects.spec(old)})
        return found


async def test_a_pod_that_is_another_one_by_now_is_looked_at_again() -> None:
    world = await new_world(Busy)
    clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert await cluster.drain(world.client, "a", clock, world.said.append, timeout_seconds=60.0) == []
    assert await world.pods() == ["on-b", "on-c"]
