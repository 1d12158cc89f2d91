"""An applied configuration laid over an object, and fields taken out of one.

In: a type, the object as it is, the applied configuration. Out: new objects; the arguments are left alone. Structs and
maps merge field by field, keyed lists entry by entry, sets by value; everything else is replaced. Entries that only the
object has keep their place before the one that they stood before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iacorch.api.apply import fields
from iacorch.api.apply.fields import Path
from iacorch.api.objects import Object, deep_copy
from iacorch.api.wire.structure import Field, Type, type_named


def merge(type_: Type, live: Object, applied: Object) -> Object:
    result = dict(live)
    for name, value in applied.items():
        field = type_.fields.get(name)
        result[name] = deep_copy(value) if field is None else _field(field, live.get(name), value)
    return result


def _field(field: Field, live: Any, applied: Any) -> Any:
    if fields.is_atomic(field) or not live or not isinstance(applied, type(live)):
        return deep_copy(applied)
    if isinstance(applied, list):
        return _list(field, live, applied)
    inner = fields.inner_type(field)
    if field.shape == "{}":
        merged = dict(live)
        for key, entry in applied.items():
            both = inner is not None and isinstance(entry, dict) and isinstance(live.get(key), dict)
            merged[key] = merge(inner, live[key], entry) if both and inner is not None else deep_copy(entry)
        return merged
    return merge(type_named(field.type), live, applied)


def _list(field: Field, live: list[Any], applied: list[Any]) -> list[Any]:
    inner = fields.inner_type(field) if fields.is_keyed(field) else None
    wanted = {fields.element_of(field, entry): entry for entry in applied}
    there = {fields.element_of(field, entry): entry for entry in reversed(live)}
    result: list[Any] = []
    order = list(wanted)
    for entry in live:
        element = fields.element_of(field, entry)
        if element not in wanted:
            result.append(entry)
        while element in order:  # what is applied comes in the order in which it is applied
            result.append(_entry(inner, there, wanted, order.pop(0)))
    return result + [_entry(inner, there, wanted, element) for element in order]


def _entry(inner: Type | None, there: dict[str, Any], wanted: dict[str, Any], element: str) -> Any:
    if inner is not None and element in there:
        return merge(inner, there[element], wanted[element])
    return deep_copy(wanted[element])


def without(type_: Type, obj: Object, paths: Iterable[Path]) -> Object:
    """The object without these fields, and without what they leave empty."""
    result = deep_copy(obj)
    for path in sorted(paths, key=len):  # an entry of a list before the keys by which it is found
        _remove(type_, result, path)
    return result


def _remove(type_: Type, obj: Object, path: Path) -> None:
    name, rest = path[0].removeprefix("f:"), path[1:]
    field = type_.fields.get(name)
    if name not in obj:
        return
    if not rest:
        del obj[name]
        return
    value = obj[name]
    if field is None or fields.is_atomic(field) or not value:
        return
    if isinstance(value, list):
        _remove_entry(field, value, rest)
    elif field.shape == "{}":
        _remove_key(field, value, rest)
    else:
        _remove(type_named(field.type), value, rest)
    if not value:
        del obj[name]


def _remove_key(field: Field, value: Object, path: Path) -> None:
    key, rest = path[0].removeprefix("f:"), path[1:]
    inner = fields.inner_type(field)
    if not rest:
        value.pop(key, None)
    elif inner is not None and isinstance(value.get(key), dict):
        _remove(inner, value[key], rest)


def _remove_entry(field: Field, value: list[Any], path: Path) -> None:
    element, rest = path[0], path[1:]
    inner = fields.inner_type(field)
    for index, entry in enumerate(value):
        if fields.element_of(field, entry) == element:
            if not rest:
                del value[index]
            elif inner is not None:
                _remove(inner, entry, rest)
            return
