"""The fields that every API object has, read and written.

In: plain dicts as they came off the wire or out of the store. Out: plain values, or new dicts. Everyone uses it.
Readers never raise on a missing field: they answer with the empty value; they trust the types, because nothing is
stored that did not pass `iacorch.api.wire.schema`. Functions whose name begins with `with_` or `set_` return a copy and
leave their argument alone.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339, rfc3339

Object: TypeAlias = dict[str, Any]

T = TypeVar("T")
_CONTAINERS: Final = (dict, list)


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata, or an empty dict that is not attached to it."""
    return obj.get("metadata") or {}


def spec(obj: Mapping[str, Any]) -> dict[str, Any]:
    return obj.get("spec") or {}


def status(obj: Mapping[str, Any]) -> dict[str, Any]:
    return obj.get("status") or {}


def name(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("name", ""))


def namespace(obj: Mapping[str, Any]) -> str:
    """Empty for cluster-scoped objects."""
    return str(metadata(obj).get("namespace", ""))


def uid(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("uid", ""))


def resource_version(obj: Mapping[str, Any]) -> str:
    return str(metadata(obj).get("resourceVersion", ""))


def generation(obj: Mapping[str, Any]) -> int:
    return int(metadata(obj).get("generation", 0))


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def owner_references(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metadata(obj).get("ownerReferences") or []


def api_version(obj: Mapping[str, Any]) -> str:
    return str(obj.get("apiVersion", ""))


def kind_name(obj: Mapping[str, Any]) -> str:
    return str(obj.get("kind", ""))


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` alone where there is no namespace."""
    return join_key(namespace(obj), name(obj))


def join_key(space: str, name: str) -> str:
    return f"{space}/{name}" if space else name


def split_key(text: str) -> tuple[str, str]:
    """The reverse of `key`: (namespace, name), with an empty namespace for cluster-scoped objects."""
    space, slash, rest = text.partition("/")
    return (space, rest) if slash else ("", space)


def creation_timestamp(obj: Mapping[str, Any]) -> datetime | None:
    return moment(metadata(obj).get("creationTimestamp"))


def deletion_timestamp(obj: Mapping[str, Any]) -> datetime | None:
    return moment(metadata(obj).get("deletionTimestamp"))


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def moment(text: str | None) -> datetime | None:
    """An RFC 3339 text as an aware datetime; None for a missing or empty one."""
    return parse_rfc3339(text) if text else None


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The owner reference whose `controller` is true, if there is one."""
    for reference in owner_references(obj):
        if reference.get("controller"):
            return reference
    return None


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """By UID, as names are used again."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid(owner)


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> dict[str, Any]:
    """The reference that a child of `owner` carries; as a controller it also blocks foreground deletion."""
    reference: dict[str, Any] = {
        "apiVersion": api_version(owner),
        "kind": kind_name(owner),
        "name": name(owner),
        "uid": uid(owner),
    }
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


def reference(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An ObjectReference to `obj`, as events carry."""
    fields = {
        "apiVersion": api_version(obj),
        "kind": kind_name(obj),
        "namespace": namespace(obj),
        "name": name(obj),
        "uid": uid(obj),
        "resourceVersion": resource_version(obj),
    }
    return {field: value for field, value in fields.items() if value}


def conditions(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return status(obj).get("conditions") or []


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any] | None:
    """The condition of this type, or None."""
    for entry in conditions(obj):
        if entry.get("type") == type_:
            return entry
    return None


def condition_is(obj: Mapping[str, Any], type_: str, wanted: str = "True") -> bool:
    found = condition(obj, type_)
    return found is not None and found.get("status") == wanted


def set_condition(
    entries: list[dict[str, Any]],
    type_: str,
    status: str,
    *,
    reason: str = "",
    message: str = "",
    now: datetime,
    **extra: Any,
) -> list[dict[str, Any]]:
    """A new list of conditions with this one set in place, or added last.

    `lastTransitionTime` moves only when `status` changes; when nothing changes, the result equals the input. `extra`
    are further fields of the condition, such as `lastUpdateTime` of a Deployment's, written only with a change.
    """
    wanted: dict[str, Any] = {"type": type_, "status": status}
    if reason:
        wanted["reason"] = reason
    if message:
        wanted["message"] = message
    result = [dict(entry) for entry in entries]
    for index, entry in enumerate(result):
        if entry.get("type") != type_:
            continue
        same = all(entry.get(field, "") == wanted.get(field, "") for field in ("status", "reason", "message"))
        if not same:
            kept = entry.get("lastTransitionTime") if entry.get("status") == status else None
            rest = {field: value for field, value in entry.items() if field not in ("reason", "message")}
            result[index] = rest | wanted | extra | {"lastTransitionTime": kept or rfc3339(now)}
        return result
    result.append(wanted | extra | {"lastTransitionTime": rfc3339(now)})
    return result


def without_condition(entries: list[dict[str, Any]], type_: str) -> list[dict[str, Any]]:
    return [dict(entry) for entry in entries if entry.get("type") != type_]


def deep_copy(value: T) -> T:
    """A copy that shares nothing mutable. For JSON values only, for which it is far faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {  # type: ignore[return-value]
            field: deep_copy(entry) if isinstance(entry, _CONTAINERS) else entry for field, entry in value.items()
        }
    if isinstance(value, list):
        return [deep_copy(entry) if isinstance(entry, _CONTAINERS) else entry for entry in value]  # type: ignore[return-value]
    return value


def too_deep(value: Any, limit: int = limits.JSON_DEPTH) -> bool:
    """Are there more than `limit` objects and lists inside each other? Whatever recurses asks this first."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def with_metadata(obj: Object, **fields: Any) -> Object:
    """A copy whose metadata has these fields (None removes one); shares everything else with `obj`."""
    merged = {**metadata(obj), **fields}
    return {**obj, "metadata": {field: value for field, value in merged.items() if value is not None}}


def with_status(obj: Object, status: Mapping[str, Any]) -> Object:
    """A copy whose status is replaced; shares everything else with `obj`."""
    return {**obj, "status": dict(status)}


def containers(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Every container of a pod's spec with where it stands: (field, index, container); init containers first."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(pod_spec.get(field) or []):
            yield field, index, container
