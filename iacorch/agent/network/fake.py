"""A pod network in memory, for tests and the simulation: addresses are real decisions, links are not made.

It refuses what the kernel refuses: sandboxes that do not exist (`processes` names those that do; None: all), a node
without a pod range, a full range.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from iacorch.agent.network import ipam
from iacorch.agent.network.contract import HostPort, NetworkNotReady, NetworkState, SandboxGone
from iacorch.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class FakeAttachment:
    """What a test may look at."""

    namespace: str
    name: str
    sandbox_pid: int
    host_ports: tuple[HostPort, ...]


class FakePodNetwork:
    """`PodNetwork` without a kernel; `pod_range` "" means that the node has none yet."""

    def __init__(self, clock: Clock, pod_range: str = "10.244.0.0/24", *, processes: Collection[int] | None = None):
        self._clock = clock
        self.pod_range = pod_range
        self.processes = processes
        self.attachments: dict[str, FakeAttachment] = {}
        self._leases = ipam.Leases()

    async def attach(
        self, *, pod_uid: str, namespace: str, name: str, sandbox_pid: int, host_ports: Collection[HostPort] = ()
    ) -> str:
        if not self.pod_range:
            raise NetworkNotReady("this node has no pod range yet (spec.podCIDR)")
        if self.processes is not None and sandbox_pid not in self.processes:
            raise SandboxGone(f"process {sandbox_pid} of pod {namespace}/{name} does not exist")
        self._leases = ipam.lease(self._leases, pod_uid, IPv4Network(self.pod_range), now=self._now())
        self.attachments[pod_uid] = FakeAttachment(namespace, name, sandbox_pid, tuple(sorted(host_ports)))
        return str(self._leases.held[pod_uid])

    async def detach(self, pod_uid: str) -> None:
        self._leases = ipam.give_back(self._leases, pod_uid, now=self._now())
        self.attachments.pop(pod_uid, None)

    async def sync(self, pod_uids: Collection[str]) -> Mapping[str, str]:
        for pod_uid in [uid for uid in self._leases.held if uid not in pod_uids]:
            await self.detach(pod_uid)
        return {uid: str(self._leases.held[uid]) for uid in self.attachments}

    def state(self) -> NetworkState:
        if not self.pod_range:
            return NetworkState(False, "NoPodRange", "this node has no pod range yet (spec.podCIDR)")
        return NetworkState(True, "PodNetworkReady", f"pods get addresses of {self.pod_range}")

    def _now(self) -> float:
        return self._clock.now().timestamp()
