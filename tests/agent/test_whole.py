"""The whole agent on a real engine, against a real server over TLS. Only the pod network is not the kernel's."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from iacorch.agent import join
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.agent.pods.pods import Pods
from iacorch.agent.runtime.docker import DockerRuntime
from iacorch.api.catalogue import CONFIG_MAP, LEASE, NODE, POD, SECRET
from iacorch.api.objects import Object
from iacorch.client.config import Endpoint, read_kubeconfig
from iacorch.client.contract import Client
from iacorch.client.http import HttpClient
from iacorch.daemons import agent, controlplane
from iacorch.errors import ConfigError, NotFound
from iacorch.kit.clock import Clock, SystemClock
from tests.agent import busybox
from tests.agent.world import condition, container_status, is_ready, phase, restarts
from tests.waiting import until

TOKEN = "a-token-for-tests-of-the-agent"


class StillNetwork(FakePodNetwork):
    async def run(self) -> None:
        """There is nothing to keep in step."""


@dataclass
class Site:
    """A control plane, and what is needed to run an agent beside it."""

    folder: Path
    url: str
    admin: HttpClient
    node: str
    network: StillNetwork
    """It outlives agents, as the kernel's does."""

    @property
    def settings(self) -> agent.Settings:
        return agent.Settings(
            server=self.url,
            ca_file=self.folder / "server" / "ca.crt",
            token_file=self.folder / "token",
            node_name=self.node,
            node_address=IPv4Address("127.0.0.1"),
            data_dir=self.folder / "agent",
            labels={"example.com/zone": "a"},
        )

    async def join(self) -> Endpoint:
        settings = self.settings
        joining = join.JoinSettings(
            self.url, settings.ca_file, settings.token_file, self.node, settings.data_dir / "pki"
        )
        return (await join.identity(joining, SystemClock())).endpoint

    @contextlib.asynccontextmanager
    async def agent(self) -> AsyncIterator[Pods]:
        def network(settings: agent.Settings, client: Client, clock: Clock) -> StillNetwork:
            return self.network

        (self.folder / "agent").mkdir(exist_ok=True)
        async with agent.running(self.settings, await self.join(), SystemClock(), make_network=network) as pods:
            yield pods

    async def create(self, name: str = "web", **spec: Any) -> Object:
        body = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": self.node, "terminationGracePeriodSeconds": 5, **spec},
        }
        return await self.admin.create(POD, body)

    async def pod(self, name: str = "web") -> Object:
        return await self.admin.get(POD, "default", name)

    async def until(self, accept: Callable[[Object], bool], name: str = "web") -> Object:
        return await until(lambda: self.pod(name), accept)

    async def until_gone(self, name: str = "web") -> None:
        async def read() -> bool:
            try:
                await self.pod(name)
            except NotFound:
                return True
            return False

        await until(read, bool)

    async def log(self, name: str = "web", **query: str) -> str:
        path = f"/api/v1/namespaces/default/pods/{name}/log"
        async with self.admin.session.get(path, params=query) as answer:
            return await answer.text()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    busybox.image()
    (tmp_path / "token").write_text(TOKEN)
    node = f"iacagent-{uuid4()}"
    kubeconfig = tmp_path / "kubeconfig"
    settings = controlplane.Settings(
        tmp_path / "server", "127.0.0.1", 0, "", kubeconfig, (), join_token=TOKEN, controllers=False
    )
    async with controlplane.running(settings) as url, HttpClient(read_kubeconfig(kubeconfig)) as admin:
        try:
            yield Site(tmp_path, url, admin, node, StillNetwork(SystemClock()))
        finally:
            await _clean(node)


async def _clean(node: str) -> None:
    async with DockerRuntime(node=node) as runtime:
        for entry in await runtime.list():
            await runtime.remove(entry.id)
            await runtime.remove_volume(f"iacorch-{entry.pod_uid}-memory")


def shell(script: str, name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": busybox.IMAGE, "command": ["/bin/sh", "-c", script], **fields}


FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.05; done"


@pytest.mark.docker
async def test_a_node_registers_and_keeps_its_lease(site: Site) -> None:
    async with site.agent():
        node = await site.admin.get(NODE, "", site.node)
        assert node["metadata"]["labels"]["example.com/zone"] == "a"
        assert condition(node, "Ready") == "True"
        assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
        first = await site.admin.get(LEASE, "kube-node-lease", site.node)

        async def renewed() -> bool:
            lease = await site.admin.get(LEASE, "kube-node-lease", site.node)
            return bool(lease["spec"]["renewTime"] != first["spec"]["renewTime"])

        await until(renewed, bool)


@pytest.mark.docker
async def test_a_pod_with_everything_runs(site: Site) -> None:
    await site.admin.create(
        CONFIG_MAP, {"metadata": {"name": "settings", "namespace": "default"}, "data": {"COLOR": "blue"}}
    )
    await site.admin.create(
        SECRET, {"metadata": {"name": "key", "namespace": "default"}, "data": {"token": "czNjcmV0"}}
    )
    script = (
        "echo color=$COLOR pod=$POD_NAME; cat /config/COLOR /secret/token; echo; id -u; cat /pad/from-init;"
        "cat /etc/hosts | grep web; echo done; " + FOREVER
    )
    app = shell(
        script,
        env=[{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        envFrom=[{"configMapRef": {"name": "settings"}}],
        volumeMounts=[
            {"name": "config", "mountPath": "/config"},
            {"name": "secret", "mountPath": "/secret"},
            {"name": "work", "mountPath": "/pad"},
            {"name": "memory", "mountPath": "/memory"},
        ],
        securityContext={"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
        resources={"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "32Mi"}},
        readinessProbe={"exec": {"command": ["/bin/ls", "/config/COLOR"]}, "periodSeconds": 1},
    )
    init = shell("echo initialized > /pad/from-init", "init", volumeMounts=[{"name": "work", "mountPath": "/pad"}])
    async with site.agent():
        await site.create(
            containers=[app],
            initContainers=[init],
            volumes=[
                {"name": "config", "configMap": {"name": "settings"}},
                {"name": "secret", "secret": {"secretName": "key"}},
                {"name": "work", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
        )
        pod = await site.until(is_ready)
        assert pod["status"]["qosClass"] == "Burstable"
        text = await until(site.log, lambda text: "done" in text)
        lines = text.splitlines()
        assert lines[:4] == ["color=blue pod=web", "blues3cret", "1000", "initialized"]
        assert lines[4].startswith("10.244.0.2")
        await site.admin.delete(POD, "default", "web")
        await site.until_gone()
    assert list((site.folder / "agent" / "pods").iterdir()) == []


@pytest.mark.docker
async def test_a_crash_is_restarted_and_its_log_is_kept(site: Site) -> None:
    script = "echo attempt; " + FOREVER
    async with site.agent() as pods:
        await site.create(containers=[shell(script)])
        pod = await site.until(is_ready)
        worker = pods.find(pod["metadata"]["uid"])
        assert worker is not None
        container = worker.container("app")
        assert container is not None
        assert await until(site.log, bool) == "attempt\n", "it runs before it has written anything"
        await worker.node.runtime.kill(container.id)
        pod = await site.until(lambda p: restarts(p) == 1 and is_ready(p))
        assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137
        assert await until(lambda: site.log(previous="true"), bool) == "attempt\n"
        assert await until(lambda: site.log(tailLines="1"), bool) == "attempt\n"
        await site.admin.delete(POD, "default", "web")
        await site.until_gone()


@pytest.mark.docker
async def test_followed_logs_arrive_and_end(site: Site) -> None:
    async with site.agent():
        script = "i=0; while [ $i -lt 20000 ]; do echo line $i, longer in all than the credit; i=$((i+1)); done"
        await site.create(containers=[shell(script)], restartPolicy="Never")
        await site.until(lambda p: phase(p) in ("Running", "Succeeded"))
        text = await site.log(follow="true")
        lines = text.splitlines()
        assert len(lines) == 20000
        assert lines[-1] == "line 19999, longer in all than the credit"


@pytest.mark.docker
async def test_an_agent_that_starts_anew_restarts_nothing(site: Site) -> None:
    async with site.agent():
        await site.create(containers=[shell(FOREVER)])
        before = await site.until(is_ready)
        assert all("reason" not in entry for entry in before["status"]["conditions"]), "of what is over"
    async with site.agent() as pods:
        worker = await until(_async(lambda: pods.find(before["metadata"]["uid"])), lambda w: w is not None)
        assert worker is not None
        after = await site.pod()
        assert after["status"] == before["status"]
        await site.admin.delete(POD, "default", "web")
        await site.until_gone()


@pytest.mark.docker
async def test_the_last_words_of_a_container_are_kept(site: Site) -> None:
    async with site.agent():
        script = "echo the disk is full > /dev/termination-log; exit 3"
        await site.create(containers=[shell(script)], restartPolicy="Never")
        pod = await site.until(lambda p: phase(p) == "Failed")
        ended = container_status(pod)["state"]["terminated"]
        assert (ended["exitCode"], ended["message"]) == (3, "the disk is full\n")


@pytest.mark.docker
async def test_a_wrong_token_is_refused_with_its_file(site: Site) -> None:
    (site.folder / "token").write_text("this-is-not-the-token-at-all")
    with pytest.raises(ConfigError, match="token") as raised:
        await site.join()
    assert raised.value.where.endswith("token")


def _async(read: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        return read()

    return answer
