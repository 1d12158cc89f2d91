"""Namespace: deletes everything in a namespace that is being deleted, then removes the finalizer.

In: the namespace and what is still in it. Out: a `Plan`. Called by `controller.py`. Writes: `spec.finalizers` (through
`finalize`) and the condition `NamespaceContentRemaining`; deletes objects of every namespaced kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from iacorch.api import objects
from iacorch.api.catalogue import NAMESPACE, Kind
from iacorch.api.objects import Object
from iacorch.controllers.actions import NOTHING, Action, Plan, Replace, delete, replace_status

FINALIZER = "kubernetes"
AGAIN_SECONDS = 5.0
"""Objects that end gracefully tell nobody here when they are gone, so we look again."""


@dataclass(frozen=True, slots=True)
class Observed:
    """`contents`: the objects of each namespaced kind that has any left."""

    namespace: Object
    contents: Mapping[Kind, tuple[Object, ...]]


def plan(observed: Observed, *, now: datetime) -> Plan:
    """Nothing until it is being deleted; then delete, wait, finalize."""
    namespace = observed.namespace
    finalizers = objects.spec(namespace).get("finalizers") or []
    if not objects.is_deleting(namespace) or FINALIZER not in finalizers:
        return NOTHING
    left = {kind: entries for kind, entries in observed.contents.items() if entries}
    if not left:
        spec = {**objects.spec(namespace), "finalizers": [entry for entry in finalizers if entry != FINALIZER]}
        return Plan((Replace(NAMESPACE, {**namespace, "spec": spec}, subresource="finalize"),), why="empty")
    deletes: list[Action] = [
        delete(kind, obj) for kind, entries in left.items() for obj in entries if not objects.is_deleting(obj)
    ]
    counts = ", ".join(f"{kind.group_resource} has {len(entries)} resource instances" for kind, entries in left.items())
    conditions = objects.set_condition(
        objects.conditions(namespace),
        "NamespaceContentRemaining",
        "True",
        reason="SomeResourcesRemain",
        message=f"Some resources are remaining: {counts}",
        now=now,
    )
    status = {**objects.status(namespace), "phase": "Terminating", "conditions": conditions}
    return Plan(
        (*replace_status(NAMESPACE, namespace, status), *deletes), again_seconds=AGAIN_SECONDS, why=f"{counts} left"
    )
