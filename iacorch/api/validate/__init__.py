"""Is an object that has the right shape also right?

In: decoded, defaulted, prepared objects. Out: a list of causes, every problem at once, each with its field's path in
Kubernetes' words; `raise_for` makes the one Invalid of them. Pure and without lookups: whether a referred object
exists is the server's question. The server calls `create` and `update` as the last step before storing.

| module      | kinds                                                                          |
|-------------|--------------------------------------------------------------------------------|
| `metadata`  | names, labels, annotations, owners, finalizers of every kind                   |
| `pod`       | pods and pod templates; `containers` and `volumes` for what is inside          |
| `placement` | tolerations, affinity, spread: what the scheduler reads                        |
| `workload`  | Deployment, ReplicaSet                                                         |
| `network`   | Service, EndpointSlice                                                         |
| `cluster`   | Namespace, Node, ConfigMap, Secret, ServiceAccount, Event, Lease               |
| `drift`     | DriftPolicy                                                                    |
| `pools`     | NodePool, NodeClaim, MachineClass                                              |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.validate import cluster, drift, metadata, network, pod, pools, workload
from iacorch.api.validate.problems import Problems
from iacorch.errors import Cause, Invalid

_OBJECT: Final[Mapping[tuple[str, str], Callable[[Problems, Object], None]]] = {
    ("", "Pod"): pod.pod,
    ("apps", "Deployment"): workload.deployment,
    ("apps", "ReplicaSet"): workload.replica_set,
    ("", "Service"): network.service,
    ("discovery.k8s.io", "EndpointSlice"): network.endpoint_slice,
    ("", "ConfigMap"): cluster.config_map,
    ("", "Secret"): cluster.secret,
    ("", "Node"): cluster.node,
    ("", "Event"): cluster.event,
    ("coordination.k8s.io", "Lease"): cluster.lease,
    ("iacorch.dev", "DriftPolicy"): drift.drift_policy,
    ("iacorch.dev", "MachineClass"): pools.machine_class,
    ("iacorch.dev", "NodeClaim"): pools.node_claim,
    ("iacorch.dev", "NodePool"): pools.node_pool,
}
_CHANGE: Final[Mapping[tuple[str, str], Callable[[Problems, Object, Object], None]]] = {
    ("", "Pod"): pod.pod_change,
    ("apps", "Deployment"): workload.selector_change,
    ("apps", "ReplicaSet"): workload.selector_change,
    ("", "Service"): network.service_change,
    ("discovery.k8s.io", "EndpointSlice"): network.endpoint_slice_change,
    ("", "ConfigMap"): cluster.config_map_change,
    ("", "Secret"): cluster.secret_change,
    ("", "Node"): cluster.node_change,
    ("iacorch.dev", "NodeClaim"): pools.node_claim_change,
}
_STATUS: Final[Mapping[tuple[str, str], Callable[[Problems, Object, Object], None]]] = {
    ("", "Pod"): pod.status_change,
    ("apps", "Deployment"): workload.status_change,
    ("apps", "ReplicaSet"): workload.status_change,
}


def create(kind: Kind, obj: Object) -> list[Cause]:
    """Everything wrong with a new object."""
    problems = Problems()
    metadata.check(problems, kind, objects.metadata(obj))
    check = _OBJECT.get((kind.group, kind.kind))
    if check:
        check(problems, obj)
    return problems.found


def update(kind: Kind, new: Object, old: Object, *, subresource: str = "") -> list[Cause]:
    """Everything wrong with what `new` makes of `old`, as it would be stored.

    An object that is unchanged but for its metadata is not checked again as a whole: it must stay possible to remove a
    finalizer from an object that an older version let in.
    """
    problems = Problems()
    metadata.check(problems, kind, objects.metadata(new))
    metadata.check_change(problems, objects.metadata(new), objects.metadata(old))
    key = (kind.group, kind.kind)
    if subresource:
        if check_status := _STATUS.get(key):
            check_status(problems, new, old)
        return problems.found
    if {**new, "metadata": None} != {**old, "metadata": None}:
        if check := _OBJECT.get(key):
            check(problems, new)
        if check_change := _CHANGE.get(key):
            check_change(problems, new, old)
    return problems.found


def raise_for(kind: Kind, name: str, causes: Sequence[Cause]) -> None:
    """Raises Invalid with all causes; nothing if there are none."""
    if not causes:
        return
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    words = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    raise Invalid(
        f'{kind.qualified} "{name}" is invalid: {words}', group=kind.group, kind=kind.kind, name=name, causes=causes
    )


__all__ = ["create", "raise_for", "update"]
