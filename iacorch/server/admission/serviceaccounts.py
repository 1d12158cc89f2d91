"""Pods that name no service account run as `default`."""

from __future__ import annotations

from iacorch.api import objects
from iacorch.api.objects import Object


def with_default(pod: Object) -> Object:
    spec = objects.spec(pod)
    if spec.get("serviceAccountName"):
        return pod
    name = spec.get("serviceAccount") or "default"
    return {**pod, "spec": {**spec, "serviceAccountName": name, "serviceAccount": name}}
