"""A node in memory: the real agent on the server's own logic; runtime, network and prober are fakes, time virtual."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from iacorch.agent.containers import names
from iacorch.agent.containers.references import References
from iacorch.agent.journal import Journal
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.agent.pods.operations import Node
from iacorch.agent.pods.pods import Pods
from iacorch.agent.pods.prober import Reply, Subject
from iacorch.agent.pods.reporter import Reporter
from iacorch.agent.runtime.contract import ContainerState
from iacorch.agent.runtime.fake import FakeRuntime
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.errors import NotFound, Unavailable
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, node_user
from iacorch.store.memory import MemoryStore

START = datetime(2026, 1, 1, tzinfo=UTC)
NODE = "worker-1"
IMAGE = "registry.example/app:1"


class FakeProber:
    """Answers by container name; everything is well unless told otherwise."""

    def __init__(self) -> None:
        self.replies: dict[str, bool] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.names: Callable[[str], str] = lambda container_id: container_id

    async def ask(self, handler: Mapping[str, Any], subject: Subject, *, timeout_seconds: float) -> Reply:
        name = self.names(subject.container_id)
        self.asked.append((name, handler))
        good = self.replies.get(name, True)
        return Reply(good, "" if good else "not today")


class World:
    def __init__(self, folder: Path, registry: Registry, runtime: FakeRuntime, clock: LoopClock) -> None:
        self.folder, self.registry, self.runtime, self.clock = folder, registry, runtime, clock
        self.admin = LocalClient(registry, SYSTEM)
        self.network = FakePodNetwork(clock)
        self.prober = FakeProber()
        self.prober.names = lambda container_id: runtime.containers[container_id].owner.name
        self.client = Switch(LocalClient(registry, node_user(NODE)))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Pods]:
        """An agent that runs for as long as the block."""
        reporter = Reporter(self.client, self.clock, node_name=NODE)
        node = Node(
            name=NODE,
            address="192.0.2.1",
            cpu_milli=4000,
            memory_bytes=8 << 30,
            dns=names.ClusterDns("10.96.0.10", "cluster.local"),
            resolv_conf="nameserver 192.0.2.53\n",
            pods_folder=self.folder / "pods",
            client=self.client,
            runtime=self.runtime,
            network=self.network,
            prober=self.prober,
            references=References(self.client, self.folder / "references"),
            reporter=reporter,
            journal=Journal(self.folder / "journal"),
            clock=self.clock,
        )
        async with Tasks("agent") as tasks:
            tasks.spawn(reporter.run())
            pods = Pods(node)
            tasks.spawn(pods.run())
            yield pods

    async def create(self, name: str = "web", **spec: Any) -> Object:
        return await self.admin.create(POD, pod(name, **spec))

    async def get(self, name: str = "web") -> Object:
        return await self.admin.get(POD, "default", name)

    async def until(self, condition: Callable[[Object], bool], name: str = "web", *, seconds: float = 900) -> Object:
        """Virtual time passes until the pod in the API meets the condition."""
        return await self.until_true(lambda: self.get(name), condition, seconds=seconds)

    async def until_true(
        self, read: Callable[[], Awaitable[Object]], condition: Callable[[Object], bool], *, seconds: float = 900
    ) -> Object:
        found: Object = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await read()
                    if condition(found):
                        return found
                    await self.clock.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never came: {found.get('status')}") from None

    async def until_gone(self, name: str = "web", *, seconds: float = 900) -> None:
        async def read() -> Object:
            try:
                return await self.get(name)
            except NotFound:
                return {}

        await self.until_true(read, lambda found: not found, seconds=seconds)

    async def container(self, name: str = "app", pod_name: str = "web") -> ContainerState:
        found = self.runtime.find((await self.get(pod_name))["metadata"]["uid"], name)
        assert found is not None
        return found


class Switch:
    """A client that can be cut off: every call then raises Unavailable, and watches end."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self.is_on = True

    def __getattr__(self, name: str) -> Any:
        if not self.is_on:
            raise Unavailable("cut off")
        return getattr(self._client, name)


def pod(name: str = "web", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": NODE, "containers": [app()], **spec},
    }


def app(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", **fields}


def is_ready(obj: Object) -> bool:
    return condition(obj, "Ready") == "True"


def condition(obj: Object, type_: str) -> str:
    entries = obj.get("status", {}).get("conditions") or ()
    return next((str(entry["status"]) for entry in entries if entry["type"] == type_), "")


def container_status(obj: Object, name: str = "app") -> dict[str, Any]:
    status = obj.get("status", {})
    entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((entry for entry in entries if entry["name"] == name), {"state": {}, "lastState": {}})


def waiting_reason(obj: Object, name: str = "app") -> str:
    return str(container_status(obj, name)["state"].get("waiting", {}).get("reason", ""))


def phase(obj: Object) -> str:
    return str(obj.get("status", {}).get("phase", ""))


def restarts(obj: Object, name: str = "app") -> int:
    return int(container_status(obj, name).get("restartCount", 0))


def in_world(story: Callable[[World], Awaitable[None]]) -> None:
    """Run a story on virtual time in a fresh world."""

    async def main() -> None:
        clock = LoopClock(START)
        store = MemoryStore()
        registry = Registry(store, clock=clock, ids=SeededIds(1))
        await bootstrapping.fill(registry)
        with tempfile.TemporaryDirectory(prefix="iacagent-") as folder:
            async with FakeRuntime(clock, images={IMAGE: ("forever",)}) as runtime:
                await story(World(Path(folder), registry, runtime, clock))
        await store.close()

    run_virtual(main())
