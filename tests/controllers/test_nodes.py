"""Nodes that fall silent, with the real server and store, on virtual time."""

from __future__ import annotations

from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import ENDPOINT_SLICE, EVENT, NODE, POD, REPLICA_SET, SERVICE
from iacorch.kit.tasks import Tasks
from tests.controllers.world import World, in_world

NAMES = ("n1", "n2", "n3")


async def replicaset(world: World, replicas: int = 3) -> None:
    template: dict[str, Any] = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "image"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    await world.create(REPLICA_SET, "web", spec=spec)


async def on(world: World, node: str) -> list[str]:
    return [objects.name(pod) for pod in await world.pods() if objects.spec(pod).get("nodeName") == node]


async def taints(world: World, node: str) -> set[tuple[str, str]]:
    found = objects.spec(await world.client.get(NODE, "", node)).get("taints") or ()
    return {(taint["key"].removeprefix("node.kubernetes.io/"), taint["effect"]) for taint in found}


def test_the_pods_of_a_killed_node_are_replaced_within_the_promise() -> None:
    async def test(world: World) -> None:
        await world.create(SERVICE, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await replicaset(world)
        await world.settle()
        assert all([len(await on(world, name)) == 1 for name in NAMES])
        async with Tasks("agents") as tasks:
            tasks.spawn(world.renew_leases(NAMES))
            await world.pass_time(10)
            world.silent = {"n1"}

            async def moved() -> bool:
                waiting = [pod for pod in await world.pods() if not objects.spec(pod).get("nodeName")]
                return len(waiting) == 1 and await on(world, "n1") == []

            # What is left of the 15 s is the scheduler's and the agent's: well under two.
            assert await world.until(moved, seconds=13) < 13
            await world.settle()
            assert len(await world.pods()) == 3
            assert await taints(world, "n1") == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
            ready = objects.condition(await world.client.get(NODE, "", "n1"), "Ready") or {}
            assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
            (entry,) = await world.every(ENDPOINT_SLICE)
            assert {endpoint["nodeName"] for endpoint in entry["endpoints"]} == {"n2", "n3"}

            world.silent = set()
            await world.node_reports("n1")
            await world.pass_time(3)
            assert await taints(world, "n1") == set()

    in_world(test)


def test_a_silent_fleet_moves_nothing_and_says_so() -> None:
    async def test(world: World) -> None:
        await replicaset(world)
        await world.settle()
        before = {objects.uid(pod) for pod in await world.every(POD)}
        await world.pass_time(60)
        assert {objects.uid(pod) for pod in await world.every(POD)} == before
        assert await taints(world, "n1") == {("unreachable", "NoSchedule")}
        assert "FleetSilent" in {event["reason"] for event in await world.every(EVENT)}

    in_world(test)


def test_only_what_would_be_replaced_leaves_a_lost_node() -> None:
    async def test(world: World) -> None:
        await world.create(POD, "bare", spec={"nodeName": "n1", "containers": [{"name": "main", "image": "image"}]})
        patient = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
        owned = [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "db", "controller": True}]
        for name, tolerations in (("stateful", []), ("patient", [patient])):
            await world.create(
                POD,
                name,
                metadata={"ownerReferences": owned},
                spec={
                    "nodeName": "n1",
                    "tolerations": tolerations,
                    "containers": [{"name": "main", "image": "image"}],
                },
            )
        async with Tasks("agents") as tasks:
            tasks.spawn(world.renew_leases(NAMES))
            world.silent = {"n1"}
            await world.pass_time(30)
            found = {objects.name(pod): objects.is_deleting(pod) for pod in await world.every(POD)}
            assert found == {"bare": False, "stateful": True, "patient": False}

    in_world(test)


def test_each_node_gets_a_pod_range_of_its_own() -> None:
    async def test(world: World) -> None:
        await world.idle()
        ranges = [objects.spec(node)["podCIDR"] for node in await world.every(NODE)]
        assert sorted(ranges) == ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]
        await world.client.delete(NODE, "", "n2")
        await world.create(NODE, "n4")
        await world.idle()
        assert objects.spec(await world.client.get(NODE, "", "n4"))["podCIDR"] == "10.244.1.0/24"

    in_world(test)


def test_the_pods_of_a_deleted_node_are_removed() -> None:
    async def test(world: World) -> None:
        await replicaset(world)
        await world.settle()
        await world.client.delete(NODE, "", "n1")
        await world.idle()
        assert await on(world, "n1") == []
        assert len(await world.pods()) == 3

    in_world(test)


def test_a_node_with_a_full_disk_gets_no_pods_until_it_has_room() -> None:
    async def test(world: World) -> None:
        for value, wanted in (("True", {("disk-pressure", "NoSchedule")}), ("False", set())):
            node = await world.client.get(NODE, "", "n1")
            other = [entry for entry in objects.conditions(node) if entry["type"] != "DiskPressure"]
            conditions = [*other, {"type": "DiskPressure", "status": value}]
            await world.client.patch(NODE, "", "n1", {"status": {"conditions": conditions}}, subresource="status")
            await world.idle()
            assert await taints(world, "n1") == wanted

    in_world(test)


def test_a_cordoned_node_is_tainted_until_it_is_uncordoned() -> None:
    async def test(world: World) -> None:
        await world.client.patch(NODE, "", "n1", {"spec": {"unschedulable": True}})
        await world.idle()
        assert await taints(world, "n1") == {("unschedulable", "NoSchedule")}
        await world.client.patch(NODE, "", "n1", {"spec": {"unschedulable": None}})
        await world.idle()
        assert await taints(world, "n1") == set()

    in_world(test)
