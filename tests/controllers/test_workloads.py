"""Deployments, ReplicaSets and what follows from them, with the real server and store."""

from __future__ import annotations

from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, ENDPOINT_SLICE, POD, REPLICA_SET, SERVICE
from iacorch.api.objects import Object
from iacorch.client.contract import Propagation
from tests.controllers.world import World, in_world


def template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}}


async def deploy(world: World, *, replicas: int = 3, image: str = "v1", **spec: Any) -> Object:
    return await world.create(
        DEPLOYMENT,
        "web",
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            **spec,
        },
    )


async def roll(world: World, image: str) -> None:
    await world.client.patch(DEPLOYMENT, "default", "web", {"spec": {"template": template(image)}})


async def images(world: World) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["image"] for pod in await world.pods())


async def the_deployment(world: World) -> Object:
    return await world.client.get(DEPLOYMENT, "default", "web")


def test_a_deployment_becomes_pods_and_says_so() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        assert await images(world) == ["v1"] * 3
        deployment = await the_deployment(world)
        assert deployment["status"]["availableReplicas"] == 3
        assert objects.condition_is(deployment, "Available")
        assert (objects.condition(deployment, "Progressing") or {})["reason"] == "NewReplicaSetAvailable"
        assert objects.annotations(deployment)["deployment.kubernetes.io/revision"] == "1"

    in_world(test)


def test_pod_names_are_like_kubernetes() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        (replicaset,) = await world.every(REPLICA_SET)
        for pod in await world.pods():
            assert objects.name(pod).startswith(f"{objects.name(replicaset)}-")
            assert objects.labels(pod)["pod-template-hash"] == objects.name(replicaset).removeprefix("web-")

    in_world(test)


def test_the_name_of_a_pod_never_comes_again() -> None:
    """Whoever looks at it again, or finds it in a log, must be able to tell which one it was."""

    async def test(world: World) -> None:
        await deploy(world, replicas=2)
        names: dict[str, str] = {}  # of every pod that ever was, by UID
        for _ in range(8):
            await world.settle()
            alive = await world.pods()
            names |= {objects.uid(pod): objects.name(pod) for pod in alive}
            await world.client.delete(POD, "default", objects.name(alive[0]))
        assert (len(names), len(set(names.values()))) == (9, 9)

    in_world(test)


def test_scaling_up_and_down_keeps_the_rest() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        before = {objects.uid(pod) for pod in await world.pods()}
        await world.client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": 6}}, subresource="scale")
        await world.settle()
        grown = {objects.uid(pod) for pod in await world.pods()}
        assert len(grown) == 6
        assert before < grown
        await world.client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": 1}}, subresource="scale")
        await world.settle()
        assert len(await world.pods()) == 1

    in_world(test)


def test_a_new_template_rolls_out_and_old_revisions_stay() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        await roll(world, "v2")
        await world.settle()
        assert await images(world) == ["v2"] * 3
        sizes = {
            objects.annotations(rs)["deployment.kubernetes.io/revision"]: rs["spec"]["replicas"]
            for rs in await world.every(REPLICA_SET)
        }
        assert sizes == {"1": 0, "2": 3}

    in_world(test)


def test_going_back_to_an_old_template_reuses_its_replicaset() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        await roll(world, "v2")
        await world.settle()
        await roll(world, "v1")
        await world.settle()
        assert await images(world) == ["v1"] * 3
        revisions = sorted(
            objects.annotations(rs)["deployment.kubernetes.io/revision"] for rs in await world.every(REPLICA_SET)
        )
        assert revisions == ["2", "3"]

    in_world(test)


def test_a_broken_template_stops_and_keeps_the_old_pods() -> None:
    async def test(world: World) -> None:
        await deploy(world, replicas=4, progressDeadlineSeconds=30)
        await world.settle()
        await roll(world, "broken")
        await world.idle()
        await world.pass_time(40)
        assert (await images(world)).count("v1") == 3
        assert (await images(world)).count("broken") == 2
        progressing = objects.condition(await the_deployment(world), "Progressing") or {}
        assert progressing["reason"] == "ProgressDeadlineExceeded"
        await roll(world, "v1")
        await world.settle()
        assert await images(world) == ["v1"] * 4

    in_world(test)


def test_a_paused_deployment_rolls_nothing() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        await world.client.patch(DEPLOYMENT, "default", "web", {"spec": {"paused": True}})
        await roll(world, "v2")
        await world.settle()
        assert await images(world) == ["v1"] * 3
        await world.client.patch(DEPLOYMENT, "default", "web", {"spec": {"paused": False}})
        await world.settle()
        assert await images(world) == ["v2"] * 3

    in_world(test)


def test_recreate_ends_the_old_pods_first() -> None:
    async def test(world: World) -> None:
        await deploy(world, strategy={"type": "Recreate"})
        await world.settle()
        await roll(world, "v2")
        await world.idle()
        assert await images(world) == []
        assert len(await world.every(POD)) == 3
        await world.settle()
        assert await images(world) == ["v2"] * 3

    in_world(test)


def test_history_beyond_the_limit_is_deleted() -> None:
    async def test(world: World) -> None:
        await deploy(world, revisionHistoryLimit=1)
        for image in ("v2", "v3", "v4"):
            await world.settle()
            await roll(world, image)
        await world.settle()
        assert len(await world.every(REPLICA_SET)) == 2

    in_world(test)


def test_a_deleted_pod_is_replaced_under_a_name_of_its_own() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        victim = (await world.pods())[0]
        await world.client.delete(POD, "default", objects.name(victim))
        await world.idle()
        assert len(await world.every(POD)) == 4
        await world.settle()
        assert len(await world.every(POD)) == 3

    in_world(test)


def test_a_pod_whose_labels_leave_the_selector_is_released_and_replaced() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        freed = objects.name((await world.pods())[0])
        await world.client.patch(POD, "default", freed, {"metadata": {"labels": {"app": "other"}}})
        await world.settle()
        assert objects.controller_of(await world.client.get(POD, "default", freed)) is None
        assert len(await world.pods()) == 4

    in_world(test)


def test_deleting_a_deployment_takes_everything_with_it() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        await world.client.delete(DEPLOYMENT, "default", "web")
        await world.settle()
        assert list(await world.every(REPLICA_SET)) == []
        assert list(await world.every(POD)) == []

    in_world(test)


def test_foreground_deletion_ends_the_owner_last() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        await world.client.delete(DEPLOYMENT, "default", "web", propagation=Propagation.FOREGROUND)
        await world.idle()
        assert len(await world.every(DEPLOYMENT)) == 1
        assert len(await world.every(POD)) == 3
        await world.settle()
        assert list(await world.every(POD)) == []
        assert list(await world.every(DEPLOYMENT)) == []

    in_world(test)


def test_orphaned_pods_stay_and_are_adopted_again() -> None:
    async def test(world: World) -> None:
        await deploy(world)
        await world.settle()
        (replicaset,) = await world.every(REPLICA_SET)
        before = {objects.uid(pod) for pod in await world.pods()}
        await world.client.delete(DEPLOYMENT, "default", "web", propagation=Propagation.ORPHAN)
        await world.idle()
        assert [objects.name(rs) for rs in await world.every(REPLICA_SET)] == [objects.name(replicaset)]
        await deploy(world)
        await world.settle()
        assert {objects.uid(pod) for pod in await world.pods()} == before

    in_world(test)


def test_endpoints_follow_readiness() -> None:
    async def test(world: World) -> None:
        await world.create(
            SERVICE, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        )
        await deploy(world)
        await world.settle()
        (entry,) = await world.every(ENDPOINT_SLICE)
        assert [endpoint["conditions"]["ready"] for endpoint in entry["endpoints"]] == [True] * 3
        assert entry["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
        await world.report((await world.pods())[0], ready=False)
        await world.idle()
        (entry,) = await world.every(ENDPOINT_SLICE)
        assert sorted(endpoint["conditions"]["ready"] for endpoint in entry["endpoints"]) == [False, True, True]
        await world.client.delete(SERVICE, "default", "web")
        await world.idle()
        assert list(await world.every(ENDPOINT_SLICE)) == []

    in_world(test)
