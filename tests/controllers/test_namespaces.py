"""Namespaces: what is in them goes first; each has a default service account. Events: old ones go."""

from __future__ import annotations

from iacorch.api import objects
from iacorch.api.catalogue import CONFIG_MAP, NAMESPACE, POD, SERVICE_ACCOUNT
from tests.controllers.world import World, in_world


def test_a_namespace_has_a_default_service_account() -> None:
    async def test(world: World) -> None:
        await world.create(NAMESPACE, "mine")
        await world.idle()
        assert await world.client.get(SERVICE_ACCOUNT, "mine", "default")
        await world.client.delete(SERVICE_ACCOUNT, "mine", "default")
        await world.idle()
        assert await world.client.get(SERVICE_ACCOUNT, "mine", "default")

    in_world(test)


def test_a_deleted_namespace_is_emptied_and_then_gone() -> None:
    async def test(world: World) -> None:
        await world.create(NAMESPACE, "mine")
        await world.create(CONFIG_MAP, "settings", namespace="mine", data={"a": "b"})
        await world.create(
            POD, "p", namespace="mine", spec={"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        )
        await world.idle()
        await world.client.delete(NAMESPACE, "", "mine")
        await world.idle()
        namespace = await world.client.get(NAMESPACE, "", "mine")
        assert objects.status(namespace)["phase"] == "Terminating"
        assert objects.condition_is(namespace, "NamespaceContentRemaining")
        await world.client.delete(POD, "mine", "p", grace_seconds=0)
        await world.pass_time(10)
        assert "mine" not in {objects.name(obj) for obj in await world.every(NAMESPACE)}
        assert all(objects.namespace(obj) != "mine" for obj in await world.every(CONFIG_MAP))

    in_world(test)
