"""The Node object of this machine, and the lease that says it is alive.

In: what the machine is (`Machine`), what was asked for it (labels, taints), the state of the pod network, the
machine's health. Out: a Node
that is registered, whose status says what is true and is written only when it changes, and a Lease renewed every
`limits.LEASE_RENEW_SECONDS`. The composition root runs it. What the objects contain is decided in pure functions.

Who writes what on a Node: the agent everything here but `spec.podCIDR` and the condition Ready=Unknown (node lifecycle
controller), and taints and labels that people set later.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

import structlog

from iacorch import __version__
from iacorch.agent.health import Health
from iacorch.agent.network.contract import NetworkState
from iacorch.agent.runtime.contract import RuntimeInfo
from iacorch.api import objects
from iacorch.api.catalogue import LEASE, NODE
from iacorch.api.objects import Object, set_condition
from iacorch.client.contract import Client, PatchType
from iacorch.client.informer import Informer
from iacorch.errors import AlreadyExists, ApiError, NotFound, Unauthorized
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339, rfc3339_micro
from iacorch.kit.tasks import Tasks, keep_running

LEASE_NAMESPACE: Final = "kube-node-lease"
WELL: Final = Health()
_PODS: Final = 110
_RESERVED_MEMORY_BYTES: Final = 100 * 1024 * 1024
_KUBERNETES: Final = "v1.37.0"


class _Told(NamedTuple):
    """A condition whose changes are news: the reason when all is well and when not, what well is, what goes before."""

    good: str
    bad: str
    well: str
    at_first: str


_TOLD: Final = {
    "Ready": _Told("NodeReady", "NodeNotReady", "True", "Unknown"),
    "DiskPressure": _Told("NodeHasNoDiskPressure", "NodeHasDiskPressure", "False", "False"),
}
log = structlog.get_logger(__name__)


class Tell(Protocol):
    """Whoever makes Events of what happened to the node."""

    def __call__(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs."""

    name: str
    address: str
    runtime: RuntimeInfo
    disk_bytes: int = 0
    hostname: str = ""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def labels_of(machine: Machine) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.runtime.architecture,
        **machine.labels,
    }


def new_node(machine: Machine) -> Object:
    """The object to register with."""
    spec = {"taints": [dict(taint) for taint in machine.taints]} if machine.taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels_of(machine)},
        "spec": spec,
    }


def node_status(
    machine: Machine, network: NetworkState, previous: Mapping[str, Any], now: datetime, health: Health = WELL
) -> dict[str, Any]:
    """Equal to `previous` when nothing changed, but for the heartbeats of conditions that nobody has told for long."""
    runtime = machine.runtime
    capacity = {
        "cpu": str(runtime.cpus),
        "memory": f"{runtime.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(_PODS),
    }
    left = max(runtime.memory_bytes - _RESERVED_MEMORY_BYTES, 0)
    conditions = [dict(entry) for entry in previous.get("conditions") or ()]
    disk_full = ("DiskPressure", "True", "AgentCannotWrite", health.disk)
    unready = ("Ready", "False", "ContainerRuntimeDown", health.runtime)
    told = (
        ("MemoryPressure", "False", "AgentHasSufficientMemory", "agent has sufficient memory available"),
        disk_full if health.disk else ("DiskPressure", "False", "AgentHasNoDiskPressure", "agent has no disk pressure"),
        ("PIDPressure", "False", "AgentHasSufficientPID", "agent has sufficient PID available"),
        ("NetworkUnavailable", "False" if network.ready else "True", network.reason, network.message),
        # Pods on the node's own network, and those that run, do not need the pod network: the node is ready without it.
        unready if health.runtime else ("Ready", "True", "AgentReady", "the agent is posting ready status"),
    )
    for type_, value, reason, message in told:
        conditions = set_condition(
            conditions, type_, value, reason=reason, message=message, now=now, lastHeartbeatTime=rfc3339(now)
        )
    ours = [entry for entry in conditions if entry["type"] in {type_ for type_, *_ in told}]
    if heartbeat_is_due(machine.name, ours, now):
        for entry in ours:
            entry["lastHeartbeatTime"] = rfc3339(now)
    return {
        **previous,
        "capacity": capacity,
        "allocatable": {**capacity, "memory": f"{left // 1024}Ki"},
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": machine.address},
            {"type": "Hostname", "address": machine.hostname or machine.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": runtime.kernel,
            "osImage": runtime.os_image,
            "containerRuntimeVersion": runtime.version,
            "kubeletVersion": f"{_KUBERNETES}+iacorch-{__version__}",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": runtime.architecture,
        },
    }


def heartbeat_is_due(name: str, conditions: Iterable[Mapping[str, Any]], now: datetime) -> bool:
    """Whether one of them was told so long ago that a reader would take its agent for gone (kubelet: five minutes).

    Whether the agent lives is told by its lease; this is for people who read `kubectl describe node`.
    """
    share = zlib.crc32(name.encode()) % limits.NODE_REPORT_SPREAD_SECONDS
    oldest = now - timedelta(seconds=limits.NODE_REPORT_SECONDS + share)
    moments = [objects.moment(entry.get("lastHeartbeatTime")) for entry in conditions]
    return any(moment is None or moment <= oldest for moment in moments)


def news(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """What Events say of conditions that changed: (reason, message, whether it is a warning)."""
    was = {entry["type"]: entry.get("status") for entry in before.get("conditions") or ()}
    for entry in after.get("conditions") or ():
        told = _TOLD.get(entry["type"])
        if told is None or was.get(entry["type"], told.at_first) == entry["status"]:
            continue
        reason = told.good if (is_well := entry["status"] == told.well) else told.bad
        words = f"Node {name} status is now: {reason}"
        yield reason, words if is_well else f"{words}: {entry.get('message', '')}", not is_well


def _nobody(about: Object, reason: str, message: str, *, warning: bool = False) -> None:
    return None


async def stand_in(client: Client, name: str, clock: Clock, *, trouble: Callable[[], str]) -> None:
    """Keep the lease of a registered node and say that it is not ready, until cancelled.

    For an agent that cannot begin because its container runtime is away. Silence would say that the whole machine is
    lost, and its pods, which may well run, would be replaced at once.
    """
    while True:
        await clock.sleep(limits.LEASE_RENEW_SECONDS)  # the runtime is nearly always there: nothing is said
        try:
            async with asyncio.timeout(limits.LEASE_CALL_SECONDS):
                node = await client.get(NODE, "", name)
                await client.patch(LEASE, LEASE_NAMESPACE, name, {"spec": {"renewTime": rfc3339_micro(clock.now())}})
                before = objects.conditions(node)
                conditions = set_condition(
                    before, "Ready", "False", reason="ContainerRuntimeDown", message=trouble(), now=clock.now()
                )
                if conditions != before:
                    patch = {"status": {"conditions": conditions}}
                    await client.patch(NODE, "", name, patch, patch_type=PatchType.STRATEGIC, subresource="status")
        except (ApiError, TimeoutError) as error:
            log.info("the node's trouble was not told", error=str(error) or "no answer in time")


class NodeKeeper:
    """`run` registers, then keeps status and lease; `registered` is set once the API has the node."""

    def __init__(
        self,
        client: Client,
        machine: Machine,
        clock: Clock,
        *,
        network_state: Callable[[], NetworkState],
        health: Callable[[], Health] = lambda: WELL,
        refused: asyncio.Event | None = None,
        tell: Tell = _nobody,
    ) -> None:
        self.registered = asyncio.Event()
        self.refused = refused or asyncio.Event()
        """Set when the server does not take our certificate any more: the node was removed, or its CA replaced."""
        self._client, self._machine, self._clock = client, machine, clock
        self._network_state, self._health = network_state, health
        self._informer = Informer(client, NODE, field_selector=f"metadata.name={machine.name}", clock=clock)
        self._uid = ""
        self._tell, self._told_at = tell, ""

    async def run(self) -> None:
        await self._register()
        async with Tasks("node") as tasks:
            tasks.spawn(self._informer.run(), name="informer")
            tasks.spawn(keep_running(self._keep_lease, name="lease", clock=self._clock, max_seconds=2.0), name="lease")
            await keep_running(self._keep_status, name="node status", clock=self._clock, max_seconds=5.0)

    async def _register(self) -> None:
        pause = limits.INFORMER_BACKOFF_START_SECONDS
        while True:
            try:
                await self._create_or_adopt()
            except Unauthorized as error:
                log.warning("the server refuses this node's certificate", error=error.message)
                self.refused.set()
                await self._clock.sleep(limits.INFORMER_BACKOFF_MAX_SECONDS)
            except ApiError as error:
                log.warning("the node is not registered yet", error=error.message, again_in_seconds=pause)
                await self._clock.sleep(pause)
                pause = min(pause * 2, limits.INFORMER_BACKOFF_MAX_SECONDS)
            else:
                self.registered.set()
                return

    async def _create_or_adopt(self) -> None:
        name, wanted = self._machine.name, labels_of(self._machine)
        try:
            found = await self._client.create(NODE, new_node(self._machine))
            log.info("registered", node=name)
        except AlreadyExists:
            found = await self._client.get(NODE, "", name)
            if wanted.items() - objects.labels(found).items():
                found = await self._client.patch(NODE, "", name, {"metadata": {"labels": wanted}})
        self._uid = objects.uid(found)
        await self._renew()
        await self._write_status(found)

    async def _keep_status(self) -> None:
        """Whenever the node in the API, or the network here, is not as it should be said."""
        await self._informer.synced.wait()
        while True:
            node = self._informer.get("", self._machine.name)
            try:
                if node is None:
                    await self._create_or_adopt()
                else:
                    await self._write_status(node)
            except ApiError as error:
                log.info("the node's status was not written", error=error.message)
            await self._clock.sleep(limits.NODE_STATUS_SECONDS)

    async def _write_status(self, node: Object) -> None:
        before = objects.status(node)
        status = node_status(self._machine, self._network_state(), before, self._clock.now(), self._health())
        if status != before:
            patch = {"status": status}
            await self._client.patch(
                NODE, "", self._machine.name, patch, patch_type=PatchType.STRATEGIC, subresource="status"
            )
            self._say(node, before, status)

    def _say(self, node: Object, before: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Once for each version of the node: the informer may show an old one for a while."""
        if self._told_at == (version := objects.resource_version(node)):
            return
        self._told_at = version
        for reason, message, is_bad in news(self._machine.name, before, status):
            self._tell({**node, "apiVersion": NODE.api_version, "kind": NODE.kind}, reason, message, warning=is_bad)

    async def _keep_lease(self) -> None:
        """After a silence the status is said at once: the informer may still wait before it looks again."""
        was_away = False
        while True:
            try:
                async with asyncio.timeout(limits.LEASE_CALL_SECONDS):
                    await self._renew()
                    if was_away:
                        await self._write_status(await self._client.get(NODE, "", self._machine.name))
                    was_away = False
            except Unauthorized as error:
                log.warning("the server refuses this node's certificate", error=error.message)
                self.refused.set()
            except (ApiError, TimeoutError) as error:
                was_away = True
                log.info("the lease was not renewed", error=str(error) or "no answer in time")
            await self._clock.sleep(limits.LEASE_RENEW_SECONDS)

    async def _renew(self) -> None:
        name = self._machine.name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": int(limits.LEASE_LOST_SECONDS),
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        try:
            await self._client.patch(LEASE, LEASE_NAMESPACE, name, {"spec": spec})
        except NotFound:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
            metadata = {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
            body = {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(LEASE, body)
