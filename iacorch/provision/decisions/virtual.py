"""The cluster as it will be: real nodes, and machines that are on their way or only thought of, as nodes.

In: nodes, pods and claims. Out: `Cluster`, whose `snapshot` is the scheduler's own. Deciding changes it (pods are
placed on nodes that do not exist yet), so it is built for one decision and then forgotten. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import quantity
from iacorch.provision.pools.claim import Claim
from iacorch.provision.pools.offers import Offer
from iacorch.provision.pools.words import HOSTNAME_LABEL, Condition
from iacorch.scheduler import filters
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Snapshot

KNOWN_OVERHEAD_PERCENT = 8
"""Of a machine's nominal memory, what its kernel and hypervisor keep, until one of its type has said it exactly."""
_PODS = "110"


@dataclass(slots=True)
class Cluster:
    """`daemons`: one pod of each DaemonSet, which every node that it fits on will have."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    on_node: dict[str, list[PodInfo]] = field(default_factory=dict)
    daemons: tuple[PodInfo, ...] = ()

    def add_node(self, node: Object) -> None:
        self.snapshot.set_node(node)

    def add_virtual(self, node: Object) -> None:
        """A node that does not exist yet, with the daemons that it will have."""
        self.snapshot.set_node(node)
        name = objects.name(node)
        for daemon in self.daemons:
            if fits(daemon, self.snapshot, self.snapshot.rows[name]):
                self.snapshot.place(replace(daemon, uid=f"{daemon.workload}@{name}"), name)

    def place(self, info: PodInfo, node: str) -> None:
        self.snapshot.place(info, node)
        self.on_node.setdefault(node, []).append(info)


def fits(pod: PodInfo, snapshot: Snapshot, row: int) -> bool:
    """What the scheduler's filters say of one node."""
    for entry in filters.ALL:
        mask = entry.check(pod, snapshot)
        if mask is not None and not mask[row]:
            return False
    return True


def virtual_node(
    name: str,
    offer: Offer,
    labels: Mapping[str, str],
    taints: Iterable[Mapping[str, Any]],
    allocatable: Mapping[str, str] | None = None,
) -> Object:
    """A Ready node of this offer. `allocatable` is what a real one of its type has said."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**offer.node_labels, **labels, HOSTNAME_LABEL: name}},
        "spec": {"taints": [dict(taint) for taint in taints]},
        "status": {
            "allocatable": dict(allocatable) if allocatable is not None else nominal(offer.capacity),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def nominal(capacity: Mapping[str, str]) -> dict[str, str]:
    """What a node of this capacity will have for pods, as far as one can know beforehand."""
    memory = quantity.units(capacity.get("memory") or 0)
    return {
        "pods": _PODS,
        **capacity,
        "memory": str(memory * (100 - KNOWN_OVERHEAD_PERCENT) // 100),
    }


Known = Mapping[tuple[str, str], Mapping[str, str]]
"""(class, machine type) -> what a real node of that type has for pods."""


def build(
    nodes: Iterable[Object],
    placed: Iterable[tuple[PodInfo, str]],
    claims: Iterable[Claim],
    *,
    daemons: Iterable[PodInfo] = (),
    known: Known | None = None,
) -> Cluster:
    """Nodes that stay, machines on their way, and the pods on them.

    A machine that is going is no place for a pod. A claim whose node is not initialised yet counts as what it will be,
    whether its Node object is there already or not.
    """
    cluster = Cluster(daemons=tuple(daemons))
    by_node = {claim.node_name: claim for claim in claims}
    for node in nodes:
        claim = by_node.get(objects.name(node))
        if claim is None or (claim.has(Condition.INITIALIZED) and not _is_leaving(claim)):
            cluster.add_node(node)
    for claim in by_node.values():
        if not claim.has(Condition.INITIALIZED) and not _is_leaving(claim) and not claim.failed_to_launch:
            cluster.add_virtual(_expected(claim, known or {}))
    for info, name in placed:
        cluster.place(info, name)
    return cluster


def _is_leaving(claim: Claim) -> bool:
    return claim.is_going or claim.has(Condition.INTERRUPTED)


def _expected(claim: Claim, known: Known) -> Object:
    allocatable = known.get((claim.class_name, claim.offer.machine_type))
    labels = {**claim.labels, **objects.labels(claim.obj)}
    return virtual_node(claim.node_name, claim.offer, labels, claim.taints, allocatable)
