"""What becomes of pods on a node: the real agent against the server's own logic."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from iacorch.agent.runtime.contract import ContainerSpec, Phase
from iacorch.api import objects
from iacorch.api.catalogue import CONFIG_MAP, EVENT, POD
from iacorch.client.contract import PatchType
from iacorch.kit.clock import parse_rfc3339
from tests.agent.world import (
    IMAGE,
    World,
    app,
    condition,
    container_status,
    in_world,
    is_ready,
    phase,
    restarts,
    waiting_reason,
)


def test_a_pod_becomes_ready() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            pod = await world.until(is_ready)
            assert pod["status"]["phase"] == "Running"
            assert pod["status"]["podIP"] == "10.244.0.2"
            assert pod["status"]["hostIP"] == "192.0.2.1"
            status = container_status(pod)
            assert status["ready"] is True
            assert status["started"] is True
            assert status["restartCount"] == 0
            assert status["containerID"].startswith("docker://")
            assert "running" in status["state"]

    in_world(story)


def test_a_crashed_container_runs_again_at_once_and_then_waits() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
            world.runtime.crash((await world.container()).id, 1)
            pod = await world.until(lambda p: restarts(p) == 1 and is_ready(p), seconds=1)
            assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 1
            world.runtime.crash((await world.container()).id, 2)
            pod = await world.until(lambda p: waiting_reason(p) == "CrashLoopBackOff", seconds=1)
            assert pod["status"]["phase"] == "Running"
            message = container_status(pod)["state"]["waiting"]["message"]
            assert "back-off 10s restarting failed container=app" in message
            began = world.clock.now()
            told = [e["message"] for e in (await world.admin.list(EVENT, "default")).items if e["reason"] == "BackOff"]
            assert told == [f"Back-off restarting failed container app in pod web_default({objects.uid(pod)})"]
            pod = await world.until(lambda p: restarts(p) == 2 and is_ready(p))
            assert timedelta(seconds=9) < world.clock.now() - began < timedelta(seconds=11)

    in_world(story)


def test_ten_minutes_of_running_clear_the_backoff() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
            world.runtime.crash((await world.container()).id)
            await world.until(lambda p: restarts(p) == 1 and is_ready(p))
            await world.clock.sleep(601)
            world.runtime.crash((await world.container()).id)
            await world.until(lambda p: restarts(p) == 2 and is_ready(p), seconds=1)

    in_world(story)


def test_init_containers_run_in_order_before_the_apps() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            inits = [app("first", command=["after", "5", "0"]), app("second", command=["after", "5", "0"])]
            await world.create(initContainers=inits)
            pod = await world.until(lambda p: "running" in container_status(p, "second")["state"])
            assert container_status(pod, "first")["state"]["terminated"]["reason"] == "Completed"
            assert waiting_reason(pod) == "PodInitializing"
            assert pod["status"]["phase"] == "Pending"
            assert condition(pod, "Initialized") == "False"
            pod = await world.until(is_ready)
            assert condition(pod, "Initialized") == "True"

    in_world(story)


def test_a_sidecar_starts_before_and_ends_after_the_apps() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(initContainers=[app("proxy", restartPolicy="Always")])
            await world.until(is_ready)
            proxy, main = await world.container("proxy"), await world.container()
            assert proxy.started_at is not None
            assert main.started_at is not None
            assert proxy.started_at <= main.started_at
            await world.admin.delete(POD, "default", "web")
            await world.until_gone()
            assert world.runtime.containers == {}

    in_world(story)


def test_a_job_like_pod_succeeds_and_keeps_its_container() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(restartPolicy="Never", containers=[app(command=["after", "3", "0"])])
            pod = await world.until(lambda p: phase(p) == "Succeeded")
            assert container_status(pod)["state"]["terminated"]["reason"] == "Completed"
            assert condition(pod, "Ready") == "False"
            await world.clock.sleep(5)
            assert [c.owner.name for c in world.runtime.containers.values()] == ["app"]
            assert world.network.attachments == {}

    in_world(story)


def test_a_pod_that_never_restarts_fails() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(restartPolicy="Never", containers=[app(command=["after", "3", "7"])])
            pod = await world.until(lambda p: phase(p) == "Failed")
            assert container_status(pod)["state"]["terminated"]["exitCode"] == 7

    in_world(story)


def test_an_image_that_is_nowhere_is_said_and_tried_again() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(image="registry.example/new:2")])
            pod = await world.until(lambda p: waiting_reason(p) == "ErrImagePull")
            assert "registry.example/new:2" in container_status(pod)["state"]["waiting"]["message"]
            assert pod["status"]["phase"] == "Pending"
            await world.until(lambda p: waiting_reason(p) == "ImagePullBackOff")
            events = (await world.admin.list(EVENT, "default")).items
            said = {e["reason"]: e["message"] for e in events if e["reason"] in ("Failed", "BackOff")}
            assert said["Failed"].startswith('Failed to pull image "registry.example/new:2": ')
            assert said["BackOff"] == 'Back-off pulling image "registry.example/new:2"'
            world.runtime.add_to_registry("registry.example/new:2")
            await world.until(is_ready, seconds=60)

    in_world(story)


def test_never_pulling_is_honoured() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            world.runtime.add_to_registry("registry.example/new:2")
            await world.create(containers=[app(image="registry.example/new:2", imagePullPolicy="Never")])
            await world.until(lambda p: waiting_reason(p) == "ErrImageNeverPull")
            world.runtime.add_image("registry.example/new:2")
            await world.until(is_ready, seconds=60)

    in_world(story)


def test_a_missing_config_map_is_named_and_waited_for() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            reference = {"configMapRef": {"name": "settings"}}
            await world.create(containers=[app(envFrom=[reference])])
            pod = await world.until(lambda p: waiting_reason(p) == "CreateContainerConfigError")
            assert container_status(pod)["state"]["waiting"]["message"] == 'configmap "settings" not found'
            events = (await world.admin.list(EVENT, "default")).items
            assert [e["message"] for e in events if e["reason"] == "Failed"] == [
                'Error: configmap "settings" not found'
            ]
            settings = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"COLOR": "blue"}}
            await world.admin.create(CONFIG_MAP, settings)
            await world.until(is_ready, seconds=15)
            spec = world.runtime.specs[(await world.container()).id]
            assert isinstance(spec, ContainerSpec)
            assert spec.environment["COLOR"] == "blue"

    in_world(story)


def test_a_readiness_probe_gates_ready_and_nothing_else() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            world.prober.replies["app"] = False
            probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
            await world.create(containers=[app(readinessProbe=probe)])
            pod = await world.until(lambda p: "running" in container_status(p)["state"])
            assert not is_ready(pod)
            world.prober.replies["app"] = True
            await world.until(is_ready, seconds=3)
            world.prober.replies["app"] = False
            pod = await world.until(lambda p: not is_ready(p), seconds=5)
            assert restarts(pod) == 0

    in_world(story)


def test_a_failing_liveness_probe_restarts_the_container() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2}
            await world.create(containers=[app(livenessProbe=probe)])
            await world.until(is_ready)
            world.prober.replies["app"] = False
            await world.until(lambda p: restarts(p) == 1, seconds=5)
            world.prober.replies["app"] = True
            await world.until(is_ready)
            events = [e["reason"] for e in (await world.admin.list(EVENT, "default")).items]
            assert "Unhealthy" in events
            assert "Killing" in events

    in_world(story)


def test_a_startup_probe_holds_back_the_others() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            world.prober.replies["app"] = False
            startup = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 100}
            liveness = {"exec": {"command": ["alive"]}, "periodSeconds": 1, "failureThreshold": 1}
            await world.create(containers=[app(startupProbe=startup, livenessProbe=liveness)])
            pod = await world.until(lambda p: "running" in container_status(p)["state"])
            await world.clock.sleep(10)
            assert container_status(pod)["started"] is False
            assert {handler["exec"]["command"][0] for _, handler in world.prober.asked} == {"up"}
            world.prober.replies["app"] = True
            pod = await world.until(is_ready)
            assert restarts(pod) == 0

    in_world(story)


def test_deleting_ends_the_containers_and_then_the_pod() -> None:
    async def story(world: World) -> None:
        async with world.agent() as pods:
            created = await world.create()
            await world.until(is_ready)
            await world.admin.delete(POD, "default", "web")
            await world.until_gone(seconds=5)
            assert world.runtime.containers == {}
            assert world.network.attachments == {}
            assert not (world.folder / "pods" / created["metadata"]["uid"]).exists()
            assert list((world.folder / "journal").iterdir()) == []
            await world.clock.sleep(1)
            assert pods.workers == {}

    in_world(story)


def test_a_stubborn_container_is_killed_after_the_grace_period() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(command=["stubborn"])], terminationGracePeriodSeconds=20)
            await world.until(is_ready)
            began = world.clock.now()
            await world.admin.delete(POD, "default", "web")
            pod = await world.until(lambda p: bool(p["metadata"].get("deletionTimestamp")))
            await world.until_gone()
            assert timedelta(seconds=19) < world.clock.now() - began < timedelta(seconds=22)
            assert parse_rfc3339(pod["metadata"]["deletionTimestamp"]) > began

    in_world(story)


def test_a_second_delete_with_less_grace_hastens_the_end() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(command=["stubborn"])], terminationGracePeriodSeconds=600)
            await world.until(is_ready)
            await world.admin.delete(POD, "default", "web")
            await world.clock.sleep(5)
            await world.admin.delete(POD, "default", "web", grace_seconds=1)
            await world.until_gone(seconds=5)

    in_world(story)


def test_a_pod_that_vanishes_from_the_api_is_ended() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
            await world.admin.delete(POD, "default", "web", grace_seconds=0)
            await world.clock.sleep(5)
            assert world.runtime.containers == {}

    in_world(story)


def test_a_new_agent_takes_over_and_restarts_nothing() -> None:
    async def story(world: World) -> None:
        probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
        async with world.agent():
            await world.create(containers=[app(readinessProbe=probe)])
            before = await world.until(is_ready)
        calls = len(world.runtime.calls)
        await world.clock.sleep(30)
        async with world.agent():
            await world.clock.sleep(30)
            after = await world.get()
            assert after["status"] == before["status"]
            assert not {"create_sandbox", "create_container", "start"} & set(world.runtime.calls[calls:])

    in_world(story)


def test_pods_are_kept_alive_while_the_control_plane_is_away() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
        world.client.is_on = False
        async with world.agent():
            await world.clock.sleep(5)
            world.runtime.crash((await world.container()).id)
            await world.clock.sleep(5)
            assert (await world.container()).owner.attempt == 1
            assert (await world.container()).is_running
            world.client.is_on = True
            await world.until(lambda p: restarts(p) == 1 and is_ready(p))

    in_world(story)


def test_pods_that_went_while_the_agent_was_away_are_ended() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
        await world.admin.delete(POD, "default", "web", grace_seconds=0)
        async with world.agent():
            await world.clock.sleep(5)
            assert world.runtime.containers == {}

    in_world(story)


def test_containers_without_a_journal_are_adopted_or_ended() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create("web")
            await world.create("old")
            await world.until(is_ready)
            await world.until(is_ready, "old")
        for file in (world.folder / "journal").iterdir():
            file.unlink()
        await world.admin.delete(POD, "default", "old", grace_seconds=0)
        async with world.agent():
            await world.clock.sleep(5)
            assert {c.owner.pod_name for c in world.runtime.containers.values()} == {"web"}
            assert restarts(await world.get()) == 0

    in_world(story)


def test_a_lost_sandbox_is_made_again_with_everything_in_it() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(initContainers=[app("first", command=["after", "1", "0"])])
            before = await world.until(is_ready)
            world.runtime.crash((await world.container("")).id, 137)
            pod = await world.until(lambda p: restarts(p) == 1 and is_ready(p), seconds=30)
            assert pod["status"]["podIP"] == before["status"]["podIP"]
            assert (await world.container("first")).owner.attempt == 1

    in_world(story)


def test_a_container_that_somebody_removed_is_made_again() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
            world.runtime.lose((await world.container()).id)
            pod = await world.until(lambda p: restarts(p) == 1 and is_ready(p), seconds=130)
            assert container_status(pod)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"

    in_world(story)


def test_a_changed_image_restarts_the_container_in_place() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            world.runtime.add_image("registry.example/app:2")
            await world.create()
            before = await world.until(is_ready)
            patch = {"spec": {"containers": [{"name": "app", "image": "registry.example/app:2"}]}}
            await world.admin.patch(POD, "default", "web", patch, patch_type=PatchType.STRATEGIC)
            pod = await world.until(lambda p: is_ready(p) and restarts(p) == 1)
            assert container_status(pod)["image"] == "registry.example/app:2"
            assert container_status(before)["image"] == IMAGE

    in_world(story)


def test_a_pod_waits_for_the_nodes_network() -> None:
    async def story(world: World) -> None:
        world.network.pod_range = ""
        async with world.agent():
            await world.create()
            pod = await world.until(lambda p: waiting_reason(p) == "ContainerCreating")
            assert condition(pod, "PodReadyToStartContainers") == "False"
            world.network.pod_range = "10.244.3.0/24"
            pod = await world.until(is_ready, seconds=15)
            assert pod["status"]["podIP"].startswith("10.244.3.")

    in_world(story)


def test_missed_events_are_made_up_for() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
            state = await world.container()
            world.runtime.break_events()
            world.runtime.crash(state.id)
            await world.until(lambda p: restarts(p) == 1 and is_ready(p), seconds=65)
            assert (await world.container()).phase is Phase.RUNNING

    in_world(story)


def test_a_command_that_cannot_start_backs_off() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(command=["missing"])])
            pod = await world.until(lambda p: waiting_reason(p) == "CrashLoopBackOff")
            last: dict[str, Any] = container_status(pod)["lastState"]["terminated"]
            assert last["reason"] == "StartError"
            assert "not found" in last["message"]

    in_world(story)


def test_an_active_deadline_ends_the_pod() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(activeDeadlineSeconds=60, restartPolicy="Never")
            await world.until(is_ready)
            pod = await world.until(lambda p: phase(p) == "Failed", seconds=70)
            assert pod["status"]["reason"] == "DeadlineExceeded"
            await world.until(lambda p: "terminated" in container_status(p)["state"], seconds=5)

    in_world(story)


def test_hooks_run_after_the_start_and_before_the_stop() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            hooks = {"postStart": {"exec": {"command": ["begin"]}}, "preStop": {"exec": {"command": ["end"]}}}
            await world.create(containers=[app(lifecycle=hooks)])
            await world.until(is_ready)
            assert [handler["exec"]["command"] for _, handler in world.prober.asked] == [["begin"]]
            await world.admin.delete(POD, "default", "web")
            await world.until_gone()
            assert [handler["exec"]["command"] for _, handler in world.prober.asked] == [["begin"], ["end"]]

    in_world(story)


def test_a_slow_pre_stop_hook_is_not_waited_for_longer_than_the_grace_period() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            hooks = {"preStop": {"sleep": {"seconds": 600}}}
            await world.create(containers=[app(lifecycle=hooks)], terminationGracePeriodSeconds=10)
            await world.until(is_ready)
            began = world.clock.now()
            await world.admin.delete(POD, "default", "web")
            await world.until_gone()
            assert timedelta(seconds=9) < world.clock.now() - began < timedelta(seconds=12)

    in_world(story)


def test_a_pull_is_given_up_when_the_pod_is_deleted() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(image="registry.example/new:2")])
            await world.until(lambda p: waiting_reason(p) == "ImagePullBackOff")
            await world.admin.delete(POD, "default", "web")
            await world.until_gone(seconds=5)
            assert world.runtime.containers == {}

    in_world(story)


def test_config_map_volumes_follow_their_config_map() -> None:
    async def story(world: World) -> None:
        settings = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"COLOR": "blue"}}
        await world.admin.create(CONFIG_MAP, settings)
        async with world.agent():
            mount = {"name": "config", "mountPath": "/config"}
            volume = {"name": "config", "configMap": {"name": "settings"}}
            created = await world.create(containers=[app(volumeMounts=[mount])], volumes=[volume])
            await world.until(is_ready)
            shown = world.folder / "pods" / created["metadata"]["uid"] / "volumes" / "config" / "COLOR"
            assert shown.read_text() == "blue"
            await world.admin.patch(CONFIG_MAP, "default", "settings", {"data": {"COLOR": "red"}})
            await world.clock.sleep(65)
            assert shown.read_text() == "red"

    in_world(story)


def test_a_deletion_that_was_seen_is_not_forgotten_without_the_api() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(containers=[app(command=["stubborn"])], terminationGracePeriodSeconds=60)
            await world.until(is_ready)
            await world.admin.delete(POD, "default", "web")
            await world.clock.sleep(5)
            world.client.is_on = False
        async with world.agent():
            await world.clock.sleep(70)
            assert world.runtime.containers == {}
            world.client.is_on = True
            await world.until_gone()

    in_world(story)


def test_a_name_that_is_used_again_at_once_is_two_pods() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            first = await world.create(containers=[app(command=["stubborn"])], terminationGracePeriodSeconds=20)
            await world.until(is_ready)
            await world.admin.delete(POD, "default", "web", grace_seconds=0)
            second = await world.create()
            pod = await world.until(is_ready, seconds=5)
            assert pod["metadata"]["uid"] == second["metadata"]["uid"] != first["metadata"]["uid"]
            await world.clock.sleep(30)
            assert {c.owner.pod_uid for c in world.runtime.containers.values()} == {second["metadata"]["uid"]}
            assert is_ready(await world.get())

    in_world(story)


def reboot(world: World) -> None:
    for container in list(world.runtime.containers.values()):
        if container.is_running:
            world.runtime.crash(container.id, 137)


def test_after_a_reboot_everything_runs_again_at_its_address() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create(initContainers=[app("first", command=["after", "1", "0"])])
            before = await world.until(is_ready)
        reboot(world)
        async with world.agent():
            after = await world.until(lambda p: restarts(p) == 1 and is_ready(p))
            assert after["status"]["podIP"] == before["status"]["podIP"]
            assert after["status"]["startTime"] == before["status"]["startTime"]

    in_world(story)


def test_a_pod_that_moved_away_during_a_reboot_leaves_nothing_behind() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            await world.until(is_ready)
        reboot(world)
        await world.admin.delete(POD, "default", "web", grace_seconds=0)
        world.client.is_on = False
        async with world.agent():
            await world.clock.sleep(1)
            world.client.is_on = True
            await world.clock.sleep(60)
            assert world.runtime.containers == {}
            assert world.network.attachments == {}

    in_world(story)


def test_what_others_said_of_a_pod_while_its_node_was_silent_is_put_right() -> None:
    async def story(world: World) -> None:
        async with world.agent():
            await world.create()
            pod = await world.until(is_ready)
            conditions = [
                {**entry, "status": "False", "reason": "NodeLost"} if entry["type"] == "Ready" else entry
                for entry in pod["status"]["conditions"]
            ]
            lost = {**pod, "status": {**pod["status"], "conditions": conditions}}
            lost = await world.admin.update(POD, lost, subresource="status")
            assert condition(lost, "Ready") == "False"
            await world.until(is_ready)

    in_world(story)
