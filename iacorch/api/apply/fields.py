"""Sets of fields: which paths an object has, how two objects differ, and both ways between paths and FieldsV1.

In: a type and an object, or FieldsV1 JSON. Out: paths, tuples of elements in FieldsV1's own spelling: `f:NAME` a field
or map key, `k:{...}` the entry of a list with these keys, `v:VALUE` a member of a set. An entry of a keyed list is a
path beside the paths inside it; a struct or map is one only when it is empty; what is atomic has no paths inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import orjson

from iacorch.api.objects import Object
from iacorch.api.wire.structure import Field, Type, type_named
from iacorch.errors import BadRequest

Path: TypeAlias = tuple[str, ...]
Leaves: TypeAlias = dict[Path, Any]
"""Path -> what stands there; an entry of a keyed list stands for itself (True)."""

_SERVERS: Final = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "generation",
                "managedFields",
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            )
        ),
    }
)
"""Nobody owns what says which object this is."""
_KEY_DEFAULTS: Final = {"protocol": "TCP"}
"""Keys of lists that may be left out."""


def leaves(type_: Type, obj: Object) -> Leaves:
    """Every path of an object with what stands there."""
    found: Leaves = {}
    _struct(found, (), type_, obj)
    return {path: value for path, value in found.items() if path not in _SERVERS}


def changed(before: Leaves, after: Leaves) -> frozenset[Path]:
    """What is there now and was not, or was something else."""
    return frozenset(path for path, value in after.items() if path not in before or before[path] != value)


def element_of(field: Field, entry: Any) -> str:
    """The element that names an entry of a keyed list or a set."""
    if not is_keyed(field):
        return f"v:{orjson.dumps(entry).decode()}"
    keys = {name: entry.get(name, _KEY_DEFAULTS.get(name)) for name in sorted(field.map_keys)}
    return f"k:{orjson.dumps(keys).decode()}"


def is_keyed(field: Field) -> bool:
    return field.shape == "[]" and field.list_type == "map" and not field.is_scalar


def is_set(field: Field) -> bool:
    return field.shape == "[]" and field.list_type == "set"


def inner_type(field: Field) -> Type | None:
    """The type of the objects in a field, if it has owners inside."""
    return None if field.is_scalar or field.map_type == "atomic" else type_named(field.type)


def is_atomic(field: Field) -> bool:
    """Owned and replaced as a whole."""
    if field.shape == "[]":
        return not (is_keyed(field) or is_set(field))
    return field.map_type == "atomic" or field.shape == "{}[]" or (not field.shape and field.is_scalar)


def _struct(found: Leaves, path: Path, type_: Type, obj: Object) -> None:
    if not obj and path:
        found[path] = {}
    for name, value in obj.items():
        field = type_.fields.get(name)
        if field is not None:
            _field(found, (*path, f"f:{name}"), field, value)


def _field(found: Leaves, path: Path, field: Field, value: Any) -> None:
    if not value or is_atomic(field) or not isinstance(value, (dict, list)):
        found[path] = value
    elif isinstance(value, list):
        _list(found, path, field, value)
    elif field.shape == "{}":
        for key, entry in value.items():
            inner = inner_type(field)
            if inner is None or not isinstance(entry, dict):
                found[*path, f"f:{key}"] = entry
            else:
                _struct(found, (*path, f"f:{key}"), inner, entry)
    else:
        _struct(found, path, type_named(field.type), value)


def _list(found: Leaves, path: Path, field: Field, value: list[Any]) -> None:
    inner = inner_type(field) if is_keyed(field) else None
    for entry in value:
        element = element_of(field, entry)
        if (*path, element) in found:
            continue  # one owner for both; an applied configuration is looked at by `check`
        if inner is None:
            found[*path, element] = entry
        else:
            found[*path, element] = True
            inside: Leaves = {}
            _struct(inside, (*path, element), inner, entry)
            inside.pop((*path, element), None)
            found.update(inside)


def check(type_: Type, obj: Object, path: Path = ()) -> None:
    """Raises BadRequest where entries of a list cannot be told apart: one lacks a key, or is there twice."""
    for name, value in obj.items():
        field = type_.fields.get(name)
        if field is None or is_atomic(field):
            continue
        here = (*path, f"f:{name}")
        inner = inner_type(field)
        if isinstance(value, list):
            _check_entries(field, value, here)
            for entry in value:
                if inner is None:
                    break
                check(inner, entry, (*here, element_of(field, entry)))
        elif isinstance(value, dict) and inner is not None:
            for key, entry in value.items() if field.shape == "{}" else ():
                if isinstance(entry, dict):
                    check(inner, entry, (*here, f"f:{key}"))
            if not field.shape:
                check(inner, value, here)


def _check_entries(field: Field, entries: list[Any], path: Path) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        for name in field.map_keys if is_keyed(field) else ():
            if entry.get(name, _KEY_DEFAULTS.get(name)) is None:
                raise BadRequest(
                    f"{words(path)}: element {index}: associative list with keys has an element that omits key field "
                    f'"{name}" (and doesn\'t have default value)'
                )
        element = element_of(field, entry)
        if element in seen:
            raise BadRequest(f"{words(path)}: duplicate entries for key {words((element,))}")
        seen.add(element)


def named(type_: Type, paths: Iterable[Path]) -> frozenset[Path]:
    """The paths and the fields of structs that they lead through, but no key of a map that they lead through."""
    found: set[Path] = set()
    for path in paths:
        found.add(path)
        found.update(_named(type_, path))
    return frozenset(found)


def _named(type_: Type, path: Path) -> Iterator[Path]:
    at: Type | None = type_
    field: Field | None = None
    for index, element in enumerate(path):
        if at is not None:
            field = at.fields.get(element.removeprefix("f:"))
            yield path[: index + 1]
            if field is None:
                return
            at = type_named(field.type) if not field.shape and not field.is_scalar else None
        elif field is not None:
            at = inner_type(field)
            if at is None:
                return


# FieldsV1


def to_v1(paths: Iterable[Path]) -> Object:
    """FieldsV1 JSON: `.` marks a path that is a member beside what is inside it."""
    root: Object = {}
    members = sorted(paths)
    for path in members:
        node = root
        for element in path:
            node = node.setdefault(element, {})
    for path in members:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return _sorted(root)


def from_v1(value: Any) -> frozenset[Path]:
    """Raises BadRequest for what is not FieldsV1."""
    found: set[Path] = set()
    ahead: list[tuple[Path, Any]] = [((), value)]
    while ahead:
        path, node = ahead.pop()
        if not isinstance(node, dict):
            raise BadRequest("metadata.managedFields: Invalid value: fieldsV1 must be objects inside each other")
        if path and (not node or "." in node):
            found.add(path)
        for element, inner in node.items():
            if element == ".":
                continue
            if element[:2] not in ("f:", "k:", "v:", "i:"):
                raise BadRequest(f'metadata.managedFields: Invalid value: "{element}" is no field path element')
            ahead.append(((*path, element), inner))
    return frozenset(found)


def _sorted(node: Object) -> Object:
    return {element: _sorted(node[element]) for element in sorted(node)}


def words(path: Path) -> str:
    """As Kubernetes names a field in a conflict: `.spec.containers[name="web"].image`."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "k:":
            keys = orjson.loads(rest)
            text += "[" + ",".join(f"{name}={orjson.dumps(keys[name]).decode()}" for name in sorted(keys)) + "]"
        elif kind == "v:":
            text += f"[={rest}]"
        else:
            text += f"[{rest}]"
    return text
