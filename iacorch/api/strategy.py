"""What create, update and status update do with the fields of an object.

In: the object that a client sent (decoded, defaulted) and the stored one. Out: the object to validate and store.
Pure: the server passes UID and time. Here stands who may write what: clients write `spec` through the object,
components write `status` through the status subresource, and neither writes the metadata that belongs to the server.

| request        | metadata                         | spec           | status                       |
|----------------|----------------------------------|----------------|------------------------------|
| create         | server's fields set anew         | the client's   | as it begins (a Node's stays)|
| update         | server's fields kept             | the client's   | kept, if there is a /status  |
| update /status | kept (annotations: the client's) | kept           | the client's                 |

`generation` counts changes of spec, for the kinds whose controllers report `observedGeneration`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from iacorch.api import objects, qos
from iacorch.api.catalogue import OWN_GROUP, Kind
from iacorch.api.objects import Object
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339

_GENERATION: Final = frozenset({("", "Pod"), ("apps", "Deployment"), ("apps", "ReplicaSet")})
_SERVERS_METADATA: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NEVER_GIVEN: Final = frozenset({*_SERVERS_METADATA, "resourceVersion", "selfLink", "managedFields"})
"""What a new object's metadata does not take from its client; owners of fields are written down by who applies."""
_KEEPS_STATUS_ON_CREATE: Final = frozenset({("", "Node")})


def prepare_create(kind: Kind, obj: Object, *, uid: str, now: datetime) -> Object:
    """The object as it begins: identity, first generation, first status. The name must already be decided."""
    metadata = {field: value for field, value in objects.metadata(obj).items() if field not in _NEVER_GIVEN}
    metadata |= {"uid": uid, "creationTimestamp": rfc3339(now)}
    if counts_generation(kind):
        metadata["generation"] = 1
    if not kind.namespaced:
        metadata.pop("namespace", None)
    result = {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    if kind.has_status and (kind.group, kind.kind) not in _KEEPS_STATUS_ON_CREATE:
        result.pop("status", None)
    hook = _CREATE.get((kind.group, kind.kind))
    return hook(result) if hook else result


def prepare_update(kind: Kind, old: Object, new: Object, *, subresource: str = "") -> Object:
    """The object that `new` makes of `old`. Returns a value equal to `old` when nothing changes."""
    if subresource:
        return _update_status(kind, old, new)
    metadata = _with_servers_metadata(old, new)
    result = {**new, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    if kind.has_status:
        result.pop("status", None)
        if "status" in old:
            result["status"] = old["status"]
    hook = _UPDATE.get((kind.group, kind.kind))
    if hook:
        result = hook(old, result)
    if counts_generation(kind) and result.get("spec") != old.get("spec"):
        result["metadata"] = metadata | {"generation": objects.generation(old) + 1}
    return result


def counts_generation(kind: Kind) -> bool:
    own = kind.group == OWN_GROUP and kind.has_status
    return own or (kind.group, kind.kind) in _GENERATION or kind.schema_json is not None


def with_deletion(obj: Object, *, now: datetime, grace_seconds: int) -> Object:
    """Marked as being deleted; deletionTimestamp is when the grace ends. A generation of its own, as in Kubernetes."""
    grace_seconds = min(grace_seconds, limits.GRACE_SECONDS)
    ends = datetime.fromtimestamp(now.timestamp() + grace_seconds, now.tzinfo)
    generation = objects.generation(obj)
    return objects.with_metadata(
        obj,
        deletionTimestamp=rfc3339(ends),
        deletionGracePeriodSeconds=grace_seconds,
        generation=generation + 1 if generation else None,
    )


def _with_servers_metadata(old: Object, new: Object) -> dict[str, Any]:
    kept = objects.metadata(old)
    metadata = {field: value for field, value in objects.metadata(new).items() if field not in _SERVERS_METADATA}
    metadata.pop("selfLink", None)
    for field in (*_SERVERS_METADATA, "resourceVersion", "generateName"):
        if field in kept:
            metadata[field] = kept[field]
    return metadata


def _update_status(kind: Kind, old: Object, new: Object) -> Object:
    """Whatever else the body carries, only status (and annotations) pass."""
    result = dict(old)
    if "status" in new:
        result["status"] = new["status"]
    else:
        result.pop("status", None)
    annotations = objects.annotations(new)
    if annotations and annotations != objects.annotations(old):
        result["metadata"] = {**objects.metadata(old), "annotations": annotations}
    return result


def _create_pod(obj: Object) -> Object:
    return {**obj, "status": {"phase": "Pending", "qosClass": qos.qos_class(objects.spec(obj))}}


def _create_namespace(obj: Object) -> Object:
    """The `kubernetes` finalizer in spec is what the namespace controller removes when the namespace is empty."""
    spec = {**objects.spec(obj), "finalizers": ["kubernetes"]}
    return {**obj, "spec": spec, "status": {"phase": "Active"}}


def _create_service(obj: Object) -> Object:
    return {**obj, "status": {"loadBalancer": {}}}


def _create_deployment(obj: Object) -> Object:
    """Clients read `status` as soon as they have created; in Kubernetes it is there, with nothing in it."""
    return {**obj, "status": {}}


def _create_replica_set(obj: Object) -> Object:
    return {**obj, "status": {"replicas": 0}}


def _secret_data(obj: Object) -> Object:
    """`stringData` is write-only: it lands in `data`."""
    if "stringData" not in obj:
        return obj
    plain = {name: base64.b64encode(text.encode()).decode() for name, text in (obj["stringData"] or {}).items()}
    result = {field: value for field, value in obj.items() if field != "stringData"}
    if merged := {**(obj.get("data") or {}), **plain}:
        result["data"] = merged
    return result


def _update_secret(old: Object, new: Object) -> Object:
    return _secret_data(new)


def _update_service(old: Object, new: Object) -> Object:
    """What the server allocated stays when the client leaves it out, as long as the type still needs it."""
    before, spec = objects.spec(old), dict(objects.spec(new))
    if spec.get("type") == "ExternalName":
        return new
    if before.get("type") != "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    if spec.get("type") not in ("NodePort", "LoadBalancer") and not spec.get("externalIPs"):
        # What only the old type had goes with it, unless the client says something new about it.
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    elif spec.get("type") in ("NodePort", "LoadBalancer") and before.get("type") in ("NodePort", "LoadBalancer"):
        spec["ports"] = _keep_node_ports(before.get("ports") or [], spec.get("ports") or [])
    return {**new, "spec": spec}


def _keep_node_ports(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By protocol and port, unless the client already uses that node port elsewhere."""
    allocated = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before}
    asked = {(port.get("protocol"), port.get("nodePort")) for port in after}
    result = []
    for port in after:
        kept = allocated.get((port.get("protocol"), port.get("port")))
        free = kept and not port.get("nodePort") and (port.get("protocol"), kept) not in asked
        result.append({**port, "nodePort": kept} if free else port)
    return result


def _update_namespace(old: Object, new: Object) -> Object:
    """Only the finalize subresource changes a namespace's spec."""
    return {**new, "spec": objects.spec(old)}


_CREATE: Final[Mapping[tuple[str, str], Callable[[Object], Object]]] = {
    ("", "Pod"): _create_pod,
    ("", "Namespace"): _create_namespace,
    ("", "Service"): _create_service,
    ("", "Secret"): _secret_data,
    ("apps", "Deployment"): _create_deployment,
    ("apps", "ReplicaSet"): _create_replica_set,
}
_UPDATE: Final[Mapping[tuple[str, str], Callable[[Object, Object], Object]]] = {
    ("", "Secret"): _update_secret,
    ("", "Service"): _update_service,
    ("", "Namespace"): _update_namespace,
}
