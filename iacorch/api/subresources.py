"""Subresources whose body is another kind: Scale of workloads, Binding of pods, DeleteOptions inside an Eviction.

In: the stored object and the body. Out: the body to answer with, or the object to store. The server calls these between
reading and writing; the resource version check stays with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.errors import BadRequest, Cause, Conflict, Invalid


def to_scale(obj: Object) -> Object:
    """The autoscaling/v1 Scale of a Deployment or ReplicaSet."""
    metadata = {
        field: value
        for field, value in objects.metadata(obj).items()
        if field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    spec, status = objects.spec(obj), objects.status(obj)
    scale_status: dict[str, Any] = {"replicas": status.get("replicas", 0)}
    if text := str(selectors.from_object(spec.get("selector"))):
        scale_status["selector"] = text
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": spec.get("replicas", 0)},
        "status": scale_status,
    }


def with_scale(obj: Object, scale: Object) -> Object:
    """The object with the Scale's replicas. Raises Invalid, Conflict on another UID."""
    wanted_uid = objects.uid(scale)
    if wanted_uid and wanted_uid != objects.uid(obj):
        raise Conflict(
            f"Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {objects.uid(obj)}"
        )
    replicas = objects.spec(scale).get("replicas", 0)
    if replicas < 0:
        words = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise Invalid(
            f'Scale.autoscaling "{objects.name(obj)}" is invalid: spec.replicas: {words}',
            group="autoscaling",
            kind="Scale",
            name=objects.name(obj),
            causes=[Cause("spec.replicas", words)],
        )
    return {**obj, "spec": {**objects.spec(obj), "replicas": replicas}}


def bind(pod: Object, binding: Object, *, now: datetime) -> Object:
    """The pod placed on the Binding's node. Raises Conflict when it is placed, being deleted, or another pod."""
    name = objects.name(pod)
    target = binding.get("target") or {}
    if target.get("kind", "Node") not in ("", "Node") or not target.get("name"):
        raise BadRequest("binding target must be a Node with a name")
    if objects.uid(binding) and objects.uid(binding) != objects.uid(pod):
        raise Conflict(
            f"Precondition failed: UID in precondition: {objects.uid(binding)}, UID in object meta: {objects.uid(pod)}",
            kind="pods",
            name=name,
        )
    if objects.is_deleting(pod):
        raise Conflict(f"pod {name} is being deleted, cannot be assigned to a host", kind="pods", name=name)
    if current := objects.spec(pod).get("nodeName"):
        raise Conflict(f'pod {name} is already assigned to node "{current}"', kind="pods", name=name)
    conditions = objects.set_condition(objects.conditions(pod), "PodScheduled", "True", now=now)
    placed = {**objects.spec(pod), "nodeName": target["name"]}
    annotations = {**objects.annotations(pod), **objects.annotations(binding)}
    bound = objects.with_metadata(pod, annotations=annotations or None)
    return {**bound, "spec": placed, "status": {**objects.status(pod), "conditions": conditions}}
