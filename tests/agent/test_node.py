"""The Node object and its lease, against the server's own logic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from iacorch.agent.network.contract import NetworkState
from iacorch.agent.node import LEASE_NAMESPACE, Machine, NodeKeeper, new_node, node_status, stand_in
from iacorch.agent.runtime.contract import RuntimeInfo
from iacorch.api import objects
from iacorch.api.catalogue import LEASE, NODE
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339, rfc3339
from iacorch.kit.tasks import Tasks
from tests.agent.world import NODE as NAME
from tests.agent.world import World, in_world

MACHINE = Machine(NAME, "192.0.2.1", RuntimeInfo("docker://1", "Debian", "6.1", "amd64", 2, 4 << 30), 10 << 30)


def test_a_node_whose_watch_is_cut_off_is_ready_again_with_its_first_lease() -> None:
    """The informer waits before it looks again; the lease does not."""

    async def story(world: World) -> None:
        told: list[str] = []
        keeper = NodeKeeper(
            world.client,
            MACHINE,
            world.clock,
            network_state=lambda: NetworkState(True, "Ready", "it is"),
            tell=lambda about, reason, message, *, warning=False: told.append(reason),
        )
        async with Tasks("node") as tasks:
            tasks.spawn(keeper.run())
            await keeper.registered.wait()
            await world.clock.sleep(5)
            world.client.is_on = False
            await world.clock.sleep(60)  # by now the informer waits long
            found = await world.admin.get(NODE, "", NAME)
            conditions = [{**c, "status": "Unknown"} if c["type"] == "Ready" else c for c in objects.conditions(found)]
            await world.admin.patch(NODE, "", NAME, {"status": {"conditions": conditions}}, subresource="status")
            world.client.is_on = True
            await world.until_true(
                lambda: world.admin.get(NODE, "", NAME),
                lambda found: objects.condition_is(found, "Ready"),
                seconds=limits.LEASE_RENEW_SECONDS + limits.LEASE_CALL_SECONDS,
            )
            await world.clock.sleep(60)
            assert told == ["NodeReady", "NodeReady"]

    in_world(story)


def test_heartbeats_move_every_few_minutes_and_not_with_every_look() -> None:
    network, start = NetworkState(True, "Ready", "it is"), datetime(2026, 1, 1, tzinfo=UTC)

    def told(before: dict[str, Any], *, after_seconds: float) -> dict[str, Any]:
        return node_status(MACHINE, network, before, start + timedelta(seconds=after_seconds))

    first = told({}, after_seconds=0)
    assert told(first, after_seconds=limits.NODE_REPORT_SECONDS - 1) == first
    late = limits.NODE_REPORT_SECONDS + limits.NODE_REPORT_SPREAD_SECONDS
    later = told(first, after_seconds=late)
    assert {entry["lastHeartbeatTime"] for entry in later["conditions"]} == {rfc3339(start + timedelta(seconds=late))}
    assert [entry["lastTransitionTime"] for entry in later["conditions"]] == [rfc3339(start)] * 5
    foreign = {"type": "KernelDeadlock", "status": "False", "lastHeartbeatTime": rfc3339(start)}
    assert foreign in told({"conditions": [*first["conditions"], foreign]}, after_seconds=late)["conditions"]


def test_an_agent_that_waits_for_docker_says_so_and_keeps_its_lease() -> None:
    async def story(world: World) -> None:
        await world.admin.create(NODE, new_node(MACHINE))
        lease = {"metadata": {"name": NAME, "namespace": LEASE_NAMESPACE}, "spec": {"holderIdentity": NAME}}
        await world.admin.create(LEASE, lease)
        async with Tasks("waiting") as tasks:
            tasks.spawn(stand_in(world.client, NAME, world.clock, trouble=lambda: "Docker is away"))
            for is_on in (True, False, True):
                world.client.is_on = is_on
                await world.clock.sleep(10)
        ready = objects.condition(await world.admin.get(NODE, "", NAME), "Ready") or {}
        assert (ready["status"], ready["reason"], ready["message"]) == (
            "False",
            "ContainerRuntimeDown",
            "Docker is away",
        )
        found = await world.admin.get(LEASE, LEASE_NAMESPACE, NAME)
        age = world.clock.now() - parse_rfc3339(found["spec"]["renewTime"])
        assert age.total_seconds() <= limits.LEASE_RENEW_SECONDS

    in_world(story)
