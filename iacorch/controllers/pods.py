"""What pods are to controllers: ready, available, over. Pure predicates on the pod's dict.

Who calls it: the plans of ReplicaSet, EndpointSlice, node lifecycle. Source: the Kubernetes API reference, Pod.
"""

from __future__ import annotations

from datetime import datetime

from iacorch.api import objects
from iacorch.api.objects import Object


def is_ready(pod: Object) -> bool:
    """The agent's word: condition Ready."""
    return objects.condition_is(pod, "Ready")


def is_over(pod: Object) -> bool:
    """Ended for good; such a pod never runs again."""
    return objects.status(pod).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Counts towards replicas: neither over nor being deleted."""
    return not is_over(pod) and not objects.is_deleting(pod)


def available_in(pod: Object, *, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the pod counts as available: 0.0 when it does, None when it is not ready."""
    condition = objects.condition(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = objects.moment(condition.get("lastTransitionTime"))
    if since is None:
        return float(min_ready_seconds)
    return max(0.0, min_ready_seconds - (now - since).total_seconds())


def node_name(pod: Object) -> str:
    return str(objects.spec(pod).get("nodeName") or "")
