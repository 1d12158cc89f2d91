"""What an agent may write (its own node, lease and pods' status, events) and which Secrets it may read. Pure.

In: the user, the target and the objects of a write that `authz` has let through. Out: nothing, or Forbidden. A machine
that is taken over can then lie about itself, but not about others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.errors import Forbidden
from iacorch.server.admission import references
from iacorch.server.request import Target, User

LEASE_NAMESPACE: Final = "kube-node-lease"


def check_read(user: User, target: Target, pods: Iterable[Object]) -> None:
    """`pods` are the pods of the target's namespace, or more precisely at least those on the user's node."""
    names = references.secrets_of if target.kind.kind == "Secret" else references.config_maps_of
    for pod in pods:
        if objects.spec(pod).get("nodeName") == user.node_name and target.name in names(pod):
            return
    raise _refusal(user, target, "has no pod that refers to this object")


def check_create(user: User, target: Target, obj: Object) -> None:
    _check(user, target, obj)


def check_update(user: User, target: Target, old: Object, new: Object) -> None:
    _check(user, target, old)
    if user.node_name and target.kind.kind == "Node" and not target.subresource:
        before, after = objects.spec(old), objects.spec(new)
        if before.get("taints") != after.get("taints") and objects.status(old):
            raise _refusal(user, target, "is not allowed to modify taints")


def check_delete(user: User, target: Target, obj: Object) -> None:
    _check(user, target, obj)


def _check(user: User, target: Target, obj: Object) -> None:
    if not (node := user.node_name):
        return
    match (target.kind.group, target.kind.kind):
        case ("", "Node"):
            own = target.name == node
        case ("coordination.k8s.io", "Lease"):
            own = (target.namespace, target.name) == (LEASE_NAMESPACE, node)
        case ("", "Pod"):
            own = objects.spec(obj).get("nodeName") == node
        case ("", "Event") | ("events.k8s.io", "Event"):
            own = True
        case _:
            own = False
    if not own:
        raise _refusal(user, target, "may only touch its own node, lease and pods")


def _refusal(user: User, target: Target, why: str) -> Forbidden:
    group, plural = target.kind.group_resource
    return Forbidden(
        f'{target.kind.group_resource} "{target.name}" is forbidden: node "{user.node_name}" {why}',
        group=group,
        kind=plural,
        name=target.name,
    )
