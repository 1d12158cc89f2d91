"""One attempt at a container, put together: pod, image, environment and volumes become a `ContainerSpec`.

In: what was looked up for the pod (`Looked`). Out: a specification in which nothing is looked up any more; the files
that it mounts are on the disk. The worker calls it right before it creates the container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iacorch.agent.containers import names
from iacorch.agent.containers.environment import Facts, Sources, environment
from iacorch.agent.containers.specification import Inputs, container_spec
from iacorch.agent.lifecycle.observed import StartContainer
from iacorch.agent.network.contract import HostPort, Transport
from iacorch.agent.runtime.contract import ContainerSpec, ImageState, Mount
from iacorch.agent.volumes.pod import PodVolumes
from iacorch.api import objects
from iacorch.api.objects import Object

_TRANSPORTS: Mapping[str, Transport] = {"TCP": "TCP", "UDP": "UDP"}


@dataclass(frozen=True, slots=True)
class Looked:
    sources: Sources
    facts: Facts
    dns: names.ClusterDns
    resolv_conf: str
    """The node's own, as text."""


def assemble(
    pod: Object,
    container: Mapping[str, Any],
    start: StartContainer,
    image: ImageState,
    looked: Looked,
    volumes: PodVolumes,
) -> ContainerSpec:
    """Raises ConfigMissing, naming what the pod refers to and what is not there."""
    values = environment(pod, container, looked.sources, looked.facts)
    own = volumes.mounts(pod, container, values)
    given = (*_etc(pod, looked, volumes), volumes.message_mount(container, start.attempt))
    # What the pod mounts itself stands in place of what every container is given.
    taken = {mount.target for mount in own}
    mounts: tuple[Mount, ...] = (*own, *(mount for mount in given if mount.target not in taken))
    return container_spec(pod, container, start, Inputs(values, mounts, image, looked.facts.node_memory_bytes))


def _etc(pod: Object, looked: Looked, volumes: PodVolumes) -> tuple[Mount, ...]:
    hosts = None
    if not objects.spec(pod).get("hostNetwork"):
        hosts = names.hosts_file(pod, looked.facts.pod_ip, looked.dns)
    return volumes.write_etc(hosts, names.resolv_conf(pod, looked.resolv_conf, looked.dns))


def host_ports(pod: Object) -> tuple[HostPort, ...]:
    """Every port of the pod that is to be reached on the node. SCTP is not led to pods (and refused by the server)."""
    found = []
    for container in objects.spec(pod).get("containers") or ():
        for port in container.get("ports") or ():
            protocol: Transport | None = _TRANSPORTS.get(port.get("protocol") or "TCP")
            if (number := port.get("hostPort")) and protocol is not None:
                found.append(HostPort(int(number), int(port["containerPort"]), protocol, port.get("hostIP") or ""))
    return tuple(found)
