"""The API through the in-process client: what controllers and the scheduler rely on."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.api.catalogue import NAMESPACE, POD, SERVICE
from iacorch.client.contract import WatchType
from iacorch.errors import AlreadyExists, Conflict, Forbidden, Gone, NotFound
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.server.request import node_user


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "image"}], **spec},
    }


def binding(name: str, node: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": node}}


async def test_what_was_created_is_read_back(client: LocalClient) -> None:
    made = await client.create(POD, pod())
    assert made["metadata"]["uid"]
    assert await client.get(POD, "default", "web") == made
    assert list((await client.list(POD)).items) == [made]


async def test_a_name_is_taken_once(client: LocalClient) -> None:
    await client.create(POD, pod())
    with pytest.raises(AlreadyExists, match='pods "web" already exists'):
        await client.create(POD, pod())


async def test_nothing_lives_in_a_namespace_that_is_not_there(client: LocalClient) -> None:
    obj = pod()
    obj["metadata"]["namespace"] = "nowhere"
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await client.create(POD, obj)


async def test_nothing_new_enters_a_namespace_that_goes_away(client: LocalClient) -> None:
    await client.create(NAMESPACE, {"metadata": {"name": "going"}})
    await client.delete(NAMESPACE, "", "going")
    obj = pod()
    obj["metadata"]["namespace"] = "going"
    with pytest.raises(Forbidden, match="because it is being terminated"):
        await client.create(POD, obj)


async def test_a_write_based_on_an_old_version_is_a_conflict(client: LocalClient) -> None:
    first = await client.create(POD, pod())
    await client.patch(POD, "default", "web", {"metadata": {"labels": {"x": "y"}}})
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.update(POD, first)


async def test_a_write_that_changes_nothing_gives_no_new_version(client: LocalClient) -> None:
    first = await client.create(POD, pod())
    assert await client.update(POD, first) == first


async def test_a_pod_is_bound_once(client: LocalClient) -> None:
    await client.create(POD, pod())
    await client.create(POD, binding("web", "n1"), subresource="binding")
    with pytest.raises(Conflict, match='already assigned to node "n1"'):
        await client.create(POD, binding("web", "n2"), subresource="binding")


async def test_a_running_pod_is_deleted_gracefully_and_then_for_good(client: LocalClient) -> None:
    await client.create(POD, pod())
    await client.create(POD, binding("web", "n1"), subresource="binding")
    leaving = await client.delete(POD, "default", "web")
    assert leaving is not None
    assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
    assert await client.delete(POD, "default", "web", grace_seconds=0) is None
    with pytest.raises(NotFound):
        await client.get(POD, "default", "web")


async def test_a_finalizer_holds_what_is_deleted(client: LocalClient) -> None:
    obj = pod()
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(POD, obj)
    held = await client.delete(POD, "default", "web")
    assert held is not None
    await client.patch(POD, "default", "web", {"metadata": {"finalizers": None}})
    with pytest.raises(NotFound):
        await client.get(POD, "default", "web")


async def test_a_watch_sees_what_enters_and_leaves_its_selection(client: LocalClient) -> None:
    listed = await client.list(POD)
    async with client.watch(POD, revision=listed.revision, field_selector="spec.nodeName=n1") as events:
        await client.create(POD, pod("other"))
        await client.create(POD, pod())
        await client.create(POD, binding("web", "n1"), subresource="binding")
        await client.delete(POD, "default", "web", grace_seconds=0)
        seen = [await anext(events) for _ in range(2)]
    assert [event.type for event in seen] == [WatchType.ADDED, WatchType.DELETED]
    assert {event.object["metadata"]["name"] for event in seen} == {"web"}


async def test_a_watch_from_forgotten_times_is_gone(client: LocalClient, registry: Registry) -> None:
    await client.create(POD, pod())
    await registry.storage.store.compact(registry.storage.store.revision)
    with pytest.raises(Gone):
        async with client.watch(POD, revision="1"):
            pass


async def test_services_get_addresses_and_ports_of_their_own(client: LocalClient) -> None:
    def service(name: str) -> dict[str, Any]:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}

    made = [await client.create(SERVICE, service(f"s{number}")) for number in range(20)]
    assert len({obj["spec"]["clusterIP"] for obj in made}) == 20
    assert len({obj["spec"]["ports"][0]["nodePort"] for obj in made}) == 20


async def test_an_agent_may_not_touch_the_pods_of_another_node(client: LocalClient, registry: Registry) -> None:
    await client.create(POD, pod())
    await client.create(POD, binding("web", "n1"), subresource="binding")
    ready = {"status": {"phase": "Running"}}
    with pytest.raises(Forbidden):
        await LocalClient(registry, node_user("n2")).patch(POD, "default", "web", ready, subresource="status")
    own = await LocalClient(registry, node_user("n1")).patch(POD, "default", "web", ready, subresource="status")
    assert own["status"]["phase"] == "Running"
