"""The scheduler against the real server and store, on virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from iacorch.api import objects
from iacorch.api.catalogue import EVENT, NODE, POD
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual
from iacorch.scheduler import Scheduler
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.store.memory import MemoryStore
from tests.scheduler.build import node, pod


class Cluster:
    """A server and a scheduler; tests play controllers and agents."""

    def __init__(self, registry: Registry, clock: LoopClock) -> None:
        self.client, self.clock = LocalClient(registry), clock
        self.informers = Informers(self.client, clock=clock)
        self.scheduler = Scheduler(self.client, clock, informers=self.informers)

    async def idle(self) -> None:
        for _ in range(100):
            quiet = True
            for _ in range(30):  # longer than the first back-offs
                await self.clock.sleep(0.01)
                quiet = quiet and self.scheduler.idle
            if quiet:
                return
        raise AssertionError("the scheduler never comes to rest")

    async def add_node(self, obj: Object) -> None:
        made = await self.client.create(NODE, {field: value for field, value in obj.items() if field != "status"})
        conditions = [entry | {"lastTransitionTime": "2026-01-01T00:00:00Z"} for entry in obj["status"]["conditions"]]
        status = obj["status"] | {"conditions": conditions}
        await self.client.update(NODE, {**made, "status": status}, subresource="status")

    async def add_pod(self, obj: Object) -> Object:
        metadata = {field: value for field, value in obj["metadata"].items() if field != "uid"}
        return await self.client.create(POD, {**obj, "metadata": metadata})

    async def where(self) -> dict[str, str]:
        pods = (await self.client.list(POD)).items
        return {objects.name(entry): objects.spec(entry).get("nodeName", "") for entry in pods}


def in_cluster(test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def body() -> None:
        store = MemoryStore()
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        registry = Registry(store, clock=clock, ids=SeededIds(1))
        await bootstrapping.fill(registry)
        cluster = Cluster(registry, clock)
        try:
            async with Tasks("cluster") as tasks:
                tasks.spawn(cluster.informers.run())
                tasks.spawn(cluster.scheduler.run())
                await test(cluster)
        finally:
            await store.close()

    run_virtual(body())


def test_pods_are_bound_and_spread() -> None:
    async def test(cluster: Cluster) -> None:
        for name in ("a", "b", "c"):
            await cluster.add_node(node(name))
        for number in range(9):
            await cluster.add_pod(pod(f"p{number}", owner="rs", cpu="100m"))
        await cluster.idle()
        assert Counter((await cluster.where()).values()) == {"a": 3, "b": 3, "c": 3}
        events = (await cluster.client.list(EVENT)).items
        assert {event["reason"] for event in events} == {"Scheduled"}

    in_cluster(test)


def test_a_pod_that_fits_nowhere_says_why_and_is_placed_when_it_fits() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.add_node(node("small", cpu="1"))
        await cluster.add_pod(pod("big", cpu="3"))
        await cluster.idle()
        waiting = await cluster.client.get(POD, "default", "big")
        condition = objects.condition(waiting, "PodScheduled") or {}
        assert condition["status"] == "False"
        assert condition["reason"] == "Unschedulable"
        assert condition["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        (event,) = (await cluster.client.list(EVENT)).items
        assert (event["reason"], event["message"]) == ("FailedScheduling", condition["message"])
        await cluster.add_node(node("large", cpu="4"))
        await cluster.idle()
        assert await cluster.where() == {"big": "large"}
        assert objects.condition_is(await cluster.client.get(POD, "default", "big"), "PodScheduled")

    in_cluster(test)


def test_a_pod_that_leaves_makes_room() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.add_node(node("a", cpu="1"))
        await cluster.add_pod(pod("first", cpu="1"))
        await cluster.idle()
        await cluster.add_pod(pod("second", cpu="1"))
        await cluster.idle()
        assert await cluster.where() == {"first": "a", "second": ""}
        await cluster.client.delete(POD, "default", "first", grace_seconds=0)
        await cluster.idle()
        assert await cluster.where() == {"second": "a"}

    in_cluster(test)


def test_the_important_pod_goes_first() -> None:
    async def test(cluster: Cluster) -> None:
        for name, priority in (("low", 0), ("high", 100), ("middle", 10)):
            await cluster.add_pod(pod(name, cpu="1", priority=priority))
        await cluster.idle()
        await cluster.add_node(node("a", cpu="2"))
        await cluster.idle()
        assert await cluster.where() == {"low": "", "high": "a", "middle": "a"}

    in_cluster(test)


def test_pods_of_other_schedulers_are_left_alone() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.add_node(node("a"))
        await cluster.add_pod(pod("theirs", schedulerName="other"))
        await cluster.idle()
        assert await cluster.where() == {"theirs": ""}

    in_cluster(test)


def test_a_pod_that_somebody_else_bound_is_counted_where_it_is() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.add_node(node("a", cpu="1"))
        await cluster.add_pod(pod("fixed", cpu="1", nodeName="a"))
        await cluster.add_pod(pod("late", cpu="1"))
        await cluster.idle()
        assert await cluster.where() == {"fixed": "a", "late": ""}

    in_cluster(test)
