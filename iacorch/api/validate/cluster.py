"""Nodes, Leases, Events, ConfigMaps and Secrets."""

from __future__ import annotations

import base64
from typing import Any, Final

from iacorch.api import names, objects
from iacorch.api.objects import Object
from iacorch.api.validate.problems import Problems
from iacorch.api.values import quantity

DATA_BYTES: Final = 1024 * 1024
_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_IMMUTABLE_WORDS: Final = "field is immutable when `immutable` is set"
_KEYS_OF_TYPE: Final = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def config_map(problems: Problems, obj: Object) -> None:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for field, found in (("data", data), ("binaryData", binary)):
        for key in found:
            problems.each(f"{field}[{key}]", key, names.config_key(key))
    for key in sorted(data.keys() & binary.keys()):
        problems.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in data.values()) + sum(map(_decoded_bytes, binary.values()))
    if size > DATA_BYTES:
        problems.too_long("[]", DATA_BYTES)  # as Kubernetes names the object itself


def secret(problems: Problems, obj: Object) -> None:
    data = obj.get("data") or {}
    for key in data:
        problems.each(f"data[{key}]", key, names.config_key(key))
    if sum(map(_decoded_bytes, data.values())) > DATA_BYTES:
        problems.too_long("data", DATA_BYTES)
    for key in _KEYS_OF_TYPE.get(obj.get("type", ""), ()):
        if key not in data:
            problems.required(f"data[{key}]")


def _decoded_bytes(text: str) -> int:
    return len(base64.b64decode(text))


def config_map_change(problems: Problems, new: Object, old: Object) -> None:
    if old.get("immutable"):
        if not new.get("immutable"):
            problems.forbidden("immutable", _IMMUTABLE_WORDS)
        for field in ("data", "binaryData"):
            if new.get(field) != old.get(field):
                problems.forbidden(field, _IMMUTABLE_WORDS)


def secret_change(problems: Problems, new: Object, old: Object) -> None:
    problems.immutable("type", new.get("type"), old.get("type"))
    config_map_change(problems, new, old)


def node(problems: Problems, obj: Object) -> None:
    taints = objects.spec(obj).get("taints") or []
    for index, taint in enumerate(taints):
        at = f"spec.taints[{index}]"
        key, value = taint.get("key", ""), taint.get("value", "")
        problems.each(f"{at}.key", key, names.qualified_name(key))
        problems.each(f"{at}.value", value, names.label_value(value))
        if not taint.get("effect"):
            problems.required(f"{at}.effect")
        problems.one_of(f"{at}.effect", taint.get("effect"), _EFFECTS)
    pairs = [(f"spec.taints[{at}]", (taint.get("key"), taint.get("effect"))) for at, taint in enumerate(taints)]
    seen: set[Any] = set()
    for path, pair in pairs:
        if pair in seen:
            problems.duplicate(path, {"key": pair[0], "effect": pair[1]})
        seen.add(pair)
    status = objects.status(obj)
    for field in ("capacity", "allocatable"):
        for name, amount in (status.get(field) or {}).items():
            if quantity.is_negative(amount):
                problems.invalid(f"status.{field}[{name}]", str(amount), "must be greater than or equal to 0")


def node_change(problems: Problems, new: Object, old: Object) -> None:
    for field in ("podCIDR", "providerID"):
        before = objects.spec(old).get(field)
        if before and objects.spec(new).get(field) != before:
            problems.forbidden(f"spec.{field}", "node updates may not change " + field + ' except from "" to valid')


def lease(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        problems.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if (count := spec.get("leaseTransitions")) is not None and count < 0:
        problems.invalid("spec.leaseTransitions", count, "must be greater than or equal to 0")
    if spec.get("holderIdentity") == "":
        problems.invalid("spec.holderIdentity", "", "must not be empty")


def event(problems: Problems, obj: Object) -> None:
    """Where it lies must be where its object lies; events about cluster-scoped objects lie in `default`."""
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    where = objects.namespace(obj)
    if (about and about != where) or (not about and where not in ("default", "kube-system")):
        problems.invalid("involvedObject.namespace", about, "does not match event.namespace")
