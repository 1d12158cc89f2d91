"""A control plane without scheduler and agents, on virtual time: arrange objects, wait until idle, look what is left.

Tests play the agent and the scheduler by writing what those would write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from iacorch.api import objects
from iacorch.api.catalogue import LEASE, NODE, POD, Kind
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers import Controllers
from iacorch.kit.clock import LoopClock, rfc3339
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.store.memory import MemoryStore

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """See the module docstring."""

    def __init__(self, registry: Registry, clock: LoopClock) -> None:
        self.client = LocalClient(registry)
        self.clock = clock
        self.informers = Informers(self.client, clock=clock)
        self.controllers = Controllers(self.client, clock, informers=self.informers)
        self.silent: set[str] = set()

    async def idle(self) -> None:
        """Until nothing is in work and every copy has caught up; virtual time makes the waits free."""
        for _ in range(200):
            quiet = True
            for _ in range(30):  # longer than the first back-offs after a conflict
                await self.clock.sleep(0.01)
                quiet = quiet and self.controllers.idle
            if quiet:
                return
        raise AssertionError("the controllers never come to rest")

    async def until(self, holds: Callable[[], Awaitable[bool]], *, seconds: float = 60.0) -> float:
        """Wait for a condition; the virtual seconds it took."""
        began = self.clock.monotonic()
        while not await holds():
            assert self.clock.monotonic() - began < seconds, "the condition never held"
            await self.clock.sleep(0.05)
        return self.clock.monotonic() - began

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        await self.idle()

    async def create(self, kind: Kind, name: str, *, namespace: str = "default", **fields: Any) -> Object:
        metadata = {"name": name, **fields.pop("metadata", {})}
        if kind.namespaced:
            metadata["namespace"] = namespace
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}
        return await self.client.create(kind, body)

    async def every(self, kind: Kind) -> Sequence[Object]:
        return (await self.client.list(kind)).items

    async def pods(self) -> list[Object]:
        """Those that count: not being deleted."""
        return [pod for pod in await self.every(POD) if not objects.is_deleting(pod)]

    async def bind(self, pod: Object, node: str) -> None:
        binding = {
            "metadata": {"name": objects.name(pod), "namespace": objects.namespace(pod)},
            "target": {"kind": "Node", "name": node},
        }
        await self.client.create(POD, binding, subresource="binding")

    async def report(self, pod: Object, *, ready: bool = True, address: str = "", phase: str = "Running") -> None:
        """What the pod's agent says."""
        conditions = objects.set_condition(
            objects.conditions(pod), "Ready", "True" if ready else "False", now=self.clock.now()
        )
        status: dict[str, Any] = {"phase": phase, "conditions": conditions}
        if address:
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        await self.client.patch(
            POD, objects.namespace(pod), objects.name(pod), {"status": status}, subresource="status"
        )

    async def run_pods(self, nodes: Sequence[str] = ("n1", "n2", "n3"), *, ready: bool = True) -> None:
        """Bind and start what waits, finish what is being deleted: scheduler and agents in one stroke."""
        for number, pod in enumerate(await self.every(POD)):
            node = objects.spec(pod).get("nodeName")
            if node in self.silent:
                continue
            if objects.is_deleting(pod):
                await self.client.delete(POD, objects.namespace(pod), objects.name(pod), grace_seconds=0)
                continue
            if not node:
                await self.bind(pod, [name for name in nodes if name not in self.silent][number % len(nodes)])
                pod = await self.client.get(POD, objects.namespace(pod), objects.name(pod))
            if not objects.condition_is(pod, "Ready"):
                await self.report(pod, ready=ready, address=f"10.244.0.{number + 2}")

    async def settle(self, nodes: Sequence[str] = ("n1", "n2", "n3")) -> None:
        """Run pods and controllers until neither has anything left to do."""
        for _ in range(100):
            await self.idle()
            before = [objects.resource_version(pod) for pod in await self.every(POD)]
            await self.run_pods(nodes)
            await self.idle()
            if before == [objects.resource_version(pod) for pod in await self.every(POD)]:
                return
        raise AssertionError("the world never settles")

    async def add_node(self, name: str) -> None:
        await self.create(NODE, name)
        await self.node_reports(name)
        await self.create(LEASE, name, namespace="kube-node-lease", spec={"holderIdentity": name})

    async def node_reports(self, name: str, *, ready: bool = True) -> None:
        conditions = [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339(self.clock.now())}
        ]
        await self.client.patch(NODE, "", name, {"status": {"conditions": conditions}}, subresource="status")

    async def renew_leases(self, names: Sequence[str]) -> None:
        """For ever: what the agents of these nodes do, unless they are `silent`."""
        count = 0
        while True:
            count += 1
            for name in names:
                if name not in self.silent:
                    moment = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                    await self.client.patch(
                        LEASE, "kube-node-lease", name, {"spec": {"renewTime": moment, "leaseTransitions": count}}
                    )
            await self.clock.sleep(2.0)


def in_world(test: Callable[[World], Awaitable[T]]) -> T:
    """Run `test` against a fresh world, on a virtual loop of its own."""

    async def body() -> T:
        store = MemoryStore()
        clock = LoopClock(START)
        registry = Registry(store, clock=clock, ids=SeededIds(1))
        await bootstrapping.fill(registry)
        world = World(registry, clock)
        try:
            async with Tasks("world") as tasks:
                tasks.spawn(world.informers.run())
                tasks.spawn(world.controllers.run())
                await world.informers.synced()
                for name in ("n1", "n2", "n3"):
                    await world.add_node(name)
                return await test(world)
        finally:
            await store.close()

    return run_virtual(body())
