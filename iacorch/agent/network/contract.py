"""What the pod worker asks of the node's network.

In: a pod's UID and the process whose network namespace is the pod's. Out: the pod's address. The agent's worker calls
`PodNetwork`; `node.NodeNetwork` does it with the kernel, `fake.FakePodNetwork` in memory, and both pass
`tests/agent/network/test_conformance.py`. Everything here is safe to repeat: attach of an attached pod answers the
same address and mends what is missing, detach of an unknown pod is nothing. Read next: `node.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NewType, Protocol

from iacorch.errors import NetworkFailed

Transport = Literal["TCP", "UDP"]
PodUID = NewType("PodUID", str)


class NetworkNotReady(NetworkFailed):
    """This node has no pod range yet (`spec.podCIDR`) or its links are not up: the pod waits and is tried again."""


class AddressesExhausted(NetworkFailed):
    """Every address of the node's pod range is held by a pod or still cooling down after one."""


class SandboxGone(NetworkFailed):
    """The process whose network namespace was named does not exist any more: make a new sandbox."""


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """`containers[].ports[]` with a `hostPort`: what reaches the node there goes to the pod."""

    host_port: int
    container_port: int
    protocol: Transport = "TCP"
    host_ip: str = ""
    """Empty or 0.0.0.0: every address of the node."""


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What the Node's `NetworkUnavailable` condition should say; `ready` is its opposite."""

    ready: bool
    reason: str
    message: str


class PodNetwork(Protocol):
    """Gives pods an address on the cluster's network. Pods with `hostNetwork` never come here."""

    async def attach(
        self, *, pod_uid: str, namespace: str, name: str, sandbox_pid: int, host_ports: Collection[HostPort] = ()
    ) -> str:
        """Put the sandbox's network namespace on the pod network; answers the pod's IPv4 address.

        Attached already (same UID): the same address, and whatever is missing is put back. A new sandbox of the same
        pod keeps the pod's address. Raises NetworkNotReady, AddressesExhausted, SandboxGone or NetworkFailed.
        """
        ...

    async def detach(self, pod_uid: str) -> None:
        """Take the pod off the network and let its address cool down. Unknown pods are nothing to do."""
        ...

    async def sync(self, pod_uids: Collection[str]) -> Mapping[str, str]:
        """Called once after a start with the pods that still exist: everything else is detached.

        Answers pod UID -> address for the given pods that are attached. Their links are not touched.
        """
        ...

    def state(self) -> NetworkState:
        """Whether pods can be attached, for the Node's condition. No I/O."""
        ...
