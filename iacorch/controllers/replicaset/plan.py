"""ReplicaSet: how many pods of a template exist, and which ones go first.

In: the ReplicaSet, the pods it controls or could adopt, the pod names that are taken. Out: a `Plan`. Called by
`controller.py`. Writes: pods (create, delete, ownerReferences), ReplicaSet `status`.

Pods in a disjoint partition:

    over         Succeeded or Failed               not counted, left to the pod garbage collector
    terminating  being deleted, also on lost nodes not counted, so its replacement starts at once
    active       everything else                   counted
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import POD, REPLICA_SET
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.controllers import naming, pods
from iacorch.controllers.actions import Action, Create, Patch, Plan, Say, delete, replace_status
from iacorch.kit import limits

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods`: those controlled by it and the orphans in its namespace. `taken`: names of pods with its prefix."""

    replicaset: Object
    pods: tuple[Object, ...]
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Buckets:
    """The pods that are ours after adoption and release, partitioned."""

    over: tuple[Object, ...]
    terminating: tuple[Object, ...]
    active: tuple[Object, ...]


def plan(observed: Observed, *, now: datetime) -> Plan:
    """Adopt and release first, then create or delete, then report."""
    replicaset = observed.replicaset
    claimed, claims = _claim(replicaset, observed.pods)
    buckets = classify(claimed)
    changes: tuple[Action, ...] = ()
    if not objects.is_deleting(replicaset):
        changes = _scale(observed, buckets)
    status, again_seconds = _status(replicaset, buckets.active, now=now)
    actions = (*claims, *changes, *replace_status(REPLICA_SET, replicaset, status))
    why = f"wants {_replicas(replicaset)}, has {len(buckets.active)}, {len(buckets.terminating)} terminating"
    return Plan(actions, again_seconds=again_seconds, why=why)


def classify(claimed: tuple[Object, ...]) -> Buckets:
    """The partition of the module docstring."""
    over = tuple(pod for pod in claimed if pods.is_over(pod))
    terminating = tuple(pod for pod in claimed if not pods.is_over(pod) and objects.is_deleting(pod))
    active = tuple(pod for pod in claimed if pods.is_active(pod))
    assert len(over) + len(terminating) + len(active) == len(claimed)
    return Buckets(over, terminating, active)


def deletion_order(active: tuple[Object, ...]) -> list[Object]:
    """Who goes first when there are too many, as in Kubernetes.

    Not placed, then Pending before Unknown before Running, not ready, lower deletion cost (the annotation
    `controller.kubernetes.io/pod-deletion-cost`), more siblings on the same node, ready for a shorter time, more
    restarts, younger; the name decides between equals.
    """
    siblings: dict[str, int] = {}
    for pod in active:
        siblings[pods.node_name(pod)] = siblings.get(pods.node_name(pod), 0) + 1

    def rank(pod: Object) -> tuple[Any, ...]:
        status = objects.status(pod)
        ready = objects.condition(pod, "Ready") or {}
        ready_since = objects.moment(ready.get("lastTransitionTime")) or _LONG_AGO
        restarts = max((entry.get("restartCount", 0) for entry in status.get("containerStatuses") or ()), default=0)
        created = objects.creation_timestamp(pod) or _LONG_AGO
        return (
            bool(pods.node_name(pod)),
            {"Pending": 0, "Unknown": 1}.get(status.get("phase", "Pending"), 2),
            pods.is_ready(pod),
            _deletion_cost(pod),
            -siblings[pods.node_name(pod)],
            -ready_since.timestamp() if pods.is_ready(pod) and ready_since != _LONG_AGO else 0.0,
            -restarts,
            -created.timestamp() if created != _LONG_AGO else 0.0,
            objects.name(pod),
        )

    return sorted(active, key=rank)


def _claim(replicaset: Object, candidates: tuple[Object, ...]) -> tuple[tuple[Object, ...], tuple[Action, ...]]:
    """The pods that are ours, and the patches that adopt orphans and release those whose labels left the selector."""
    selector = selectors.from_object(objects.spec(replicaset).get("selector"))
    ours: list[Object] = []
    actions: list[Action] = []
    for pod in candidates:
        matches = selector.matches(objects.labels(pod))
        if objects.is_controlled_by(pod, replicaset):
            if matches:
                ours.append(pod)
            elif not objects.is_deleting(replicaset):
                actions.append(
                    _set_owners(pod, [r for r in objects.owner_references(pod) if not _is_of(r, replicaset)])
                )
        elif (
            matches
            and objects.controller_of(pod) is None
            and pods.is_active(pod)
            and not objects.is_deleting(replicaset)
        ):
            ours.append(pod)
            owners = [*objects.owner_references(pod), objects.owner_reference(replicaset)]
            actions.append(_set_owners(pod, owners))
    return tuple(ours), tuple(actions)


def _is_of(reference: dict[str, Any], owner: Object) -> bool:
    return bool(reference.get("uid") == objects.uid(owner))


def _set_owners(pod: Object, owners: list[dict[str, Any]]) -> Patch:
    # With the version it was based on: a merge patch replaces the whole list.
    metadata = {"ownerReferences": owners, "resourceVersion": objects.resource_version(pod)}
    return Patch(POD, objects.namespace(pod), objects.name(pod), objects.uid(pod), {"metadata": metadata})


def _scale(observed: Observed, buckets: Buckets) -> tuple[Action, ...]:
    replicaset, active = observed.replicaset, buckets.active
    missing = _replicas(replicaset) - len(active)
    actions: list[Action] = []
    if missing > 0:
        # Names are chosen from every known pod of the prefix: one that still ends keeps its name until it is gone.
        taken = observed.taken | {objects.name(pod) for pod in observed.pods}
        count = min(missing, limits.ACTIONS_PER_PASS // 2)
        for name in naming.free_names(objects.name(replicaset), _seed(replicaset), taken=taken, count=count):
            actions += (
                Create(POD, _pod(replicaset, name)),
                Say(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {name}"),
            )
    elif missing < 0:
        for pod in deletion_order(active)[: min(-missing, limits.ACTIONS_PER_PASS // 2)]:
            actions += (
                delete(POD, pod),
                Say(replicaset, "Normal", "SuccessfulDelete", f"Deleted pod: {objects.name(pod)}"),
            )
    return tuple(actions)


def _seed(replicaset: Object) -> str:
    """What names are drawn from. The same pass twice names the same pods, so that the second one collides.

    Each pod that goes changes the status, and with it the version: its name does not come again.
    """
    return f"{objects.uid(replicaset)}/{objects.resource_version(replicaset)}"


def _pod(replicaset: Object, name: str) -> Object:
    template = objects.deep_copy(objects.spec(replicaset).get("template") or {})
    metadata = {
        "name": name,
        "generateName": f"{objects.name(replicaset)}-",
        "namespace": objects.namespace(replicaset),
        "ownerReferences": [objects.owner_reference(replicaset)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if value := objects.metadata(template).get(field):
            metadata[field] = value
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def _status(replicaset: Object, active: tuple[Object, ...], *, now: datetime) -> tuple[dict[str, Any], float | None]:
    """The status, and when a pod that is ready will count as available."""
    min_ready = int(objects.spec(replicaset).get("minReadySeconds") or 0)
    waits = [pods.available_in(pod, min_ready_seconds=min_ready, now=now) for pod in active]
    template_labels = objects.labels(objects.spec(replicaset).get("template") or {}).items()
    counts = {
        "fullyLabeledReplicas": sum(template_labels <= objects.labels(pod).items() for pod in active),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(wait == 0.0 for wait in waits),
        "observedGeneration": objects.generation(replicaset),
    }
    status: dict[str, Any] = {"replicas": len(active)} | {field: n for field, n in counts.items() if n}
    if conditions := objects.conditions(replicaset):
        status["conditions"] = conditions
    soon = [wait for wait in waits if wait]
    return status, min(soon) if soon else None


def _replicas(replicaset: Object) -> int:
    value = objects.spec(replicaset).get("replicas")
    return 1 if value is None else int(value)


def _deletion_cost(pod: Object) -> int:
    try:
        return int(objects.annotations(pod).get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0
