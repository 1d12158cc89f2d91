"""The `scale` subresource: a workload seen as a number of replicas. Pure.

In: a Deployment or ReplicaSet, or a Scale that was sent. Out: the Scale, or the workload with that many replicas.
"""

from __future__ import annotations

from iacorch.api import objects, selectors
from iacorch.api.objects import Object
from iacorch.errors import BadRequest


def scale_of(obj: Object) -> Object:
    metadata = {
        field: value
        for field, value in objects.metadata(obj).items()
        if field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": objects.spec(obj).get("replicas", 1)},
        "status": {
            "replicas": objects.status(obj).get("replicas", 0),
            "selector": str(selectors.from_object(objects.spec(obj).get("selector"))),
        },
    }


def scaled(obj: Object, scale: Object) -> Object:
    """`obj` with the Scale's replicas, based on the Scale's resource version if it has one."""
    replicas = objects.spec(scale).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise BadRequest(f"spec.replicas: expected an integer, got {replicas!r}")
    changed = {**obj, "spec": {**objects.spec(obj), "replicas": replicas}}
    return objects.with_metadata(changed, resourceVersion=objects.resource_version(scale) or None)
