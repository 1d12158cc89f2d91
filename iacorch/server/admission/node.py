"""What an agent may write (its own node, lease and pods' status, events) and which Secrets it may read. Pure.

In: the user, the target and the objects of a write that `authz` has let through. Out: nothing, or Forbidden. A machine
that is taken over can then lie about itself, but not about others: it takes no address that is not a pod's or its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD
from iacorch.api.networks import CLUSTER_NETWORK, SERVICE_NETWORK
from iacorch.api.objects import Object
from iacorch.errors import Forbidden
from iacorch.server.admission import references
from iacorch.server.request import Target, User

LEASE_NAMESPACE: Final = "kube-node-lease"
_RESTRICTED: Final = "node-restriction.kubernetes.io"
"""Labels by which people keep pods off nodes that say too much about themselves."""
_HOSTNAME: Final = "kubernetes.io/hostname"


def check_read(user: User, target: Target, pods: Iterable[Object]) -> None:
    """`pods` are the pods of the target's namespace, or more precisely at least those on the user's node."""
    names = references.secrets_of if target.kind.kind == "Secret" else references.config_maps_of
    for pod in pods:
        if objects.spec(pod).get("nodeName") == user.node_name and target.name in names(pod):
            return
    raise _refusal(user, target, "has no pod that refers to this object")


def check_create(user: User, target: Target, obj: Object) -> None:
    """A node registers with its labels and taints; its pod range is given to it."""
    _check(user, target, obj)
    if user.node_name and target.kind == NODE:
        _check_node(user, target, {"taints": objects.spec(obj).get("taints")}, {}, obj)


def check_update(user: User, target: Target, old: Object, new: Object) -> None:
    """Of its node an agent changes labels and status; of its pods the status, and not to where traffic must not go."""
    _check(user, target, old)
    if user.node_name and target.kind == NODE and not target.subresource:
        _check_node(user, target, objects.spec(old), objects.labels(old), new)
    if user.node_name and target.kind == POD:
        status = objects.status(new)
        for text in (status.get("podIP"), *(entry.get("ip") for entry in status.get("podIPs") or ())):
            if text and not _may_be_reached(text, on_node=bool(objects.spec(new).get("hostNetwork"))):
                raise _refusal(user, target, f'may not report the pod address "{text}"')


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


def _check_node(user: User, target: Target, spec: Object, labels: Mapping[str, str], new: Object) -> None:
    """`spec` and `labels` are those that the agent may leave as they are."""
    after = objects.spec(new)
    for field in sorted(spec.keys() | after.keys()):
        if spec.get(field) != after.get(field):
            raise _refusal(user, target, f"is not allowed to modify {field}")
    for label in sorted(labels.keys() | objects.labels(new).keys()):
        if label.partition("/")[0].endswith(_RESTRICTED) and labels.get(label) != objects.labels(new).get(label):
            raise _refusal(user, target, f"is not allowed to modify the label {label}")
    if objects.labels(new).get(_HOSTNAME, target.name) != target.name:
        raise _refusal(user, target, f"is not allowed to give the label {_HOSTNAME} another name than its own")


def _may_be_reached(text: str, *, on_node: bool) -> bool:
    """Whether traffic may be led there: a pod's address is of the pod network, or its node's, which nobody gave out."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    if not on_node:
        return address in CLUSTER_NETWORK
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not (nowhere or address.is_reserved or address in CLUSTER_NETWORK or address in SERVICE_NETWORK)


def _refusal(user: User, target: Target, why: str) -> Forbidden:
    group, plural = target.kind.group_resource
    return Forbidden(
        f'{target.kind.group_resource} "{target.name}" is forbidden: node "{user.node_name}" {why}',
        group=group,
        kind=plural,
        name=target.name,
    )
