"""Strategic merge patch: a merge patch that knows lists.

In: the current object, the patch, the type with its merge keys (`iacorch.api.wire.structure`). Out: the patched object.
`kubectl apply`, `edit`, `label`, `set` and `rollout` send these. Rules: the Kubernetes API conventions, strategic
merge patch.

| directive                          | where         | what                                                       |
|------------------------------------|---------------|------------------------------------------------------------|
| `$patch: replace`                  | object        | the patch is the object                                    |
| `$patch: delete`                   | object        | the object becomes empty; as a list's entry: that entry goes |
| `{$patch: replace}`                | list's entry  | the other entries are the list                             |
| `$retainKeys: [..]`                | object        | other keys go                                              |
| `$deleteFromPrimitiveList/F: [..]` | beside field F | these values go                                           |
| `$setElementOrder/F: [..]`         | beside field F | entries in this order; the server's own stay where they were |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from iacorch.api.objects import Object, deep_copy
from iacorch.api.wire.structure import Field, Type, type_named
from iacorch.errors import BadRequest

_DELETE_FROM: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"
_RETAIN: Final = "$retainKeys"
_PATCH: Final = "$patch"


def merge(obj: Object, patch: Object, type_: Type | None) -> Object:
    """The patched object; neither argument is changed. Raises BadRequest for a patch that breaks the rules."""
    directive = patch.get(_PATCH)
    if directive == "replace":
        return _fresh(patch)
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"unable to parse patch: Unknown patch type found: {directive}")
    result = _retained(obj, patch)
    for name in _touched(patch):
        field = type_.fields.get(name) if type_ else None
        _merge_field(result, patch, name, field)
    return result


def _fresh(patch: Object) -> Object:
    fresh: Object = _without_directives(patch)
    return fresh


def _touched(patch: Object) -> list[str]:
    """The fields that a patch speaks of, plainly or by a directive, in its order."""
    found: dict[str, None] = {}
    for name in patch:
        if name in (_PATCH, _RETAIN):
            continue
        found[name.removeprefix(_DELETE_FROM).removeprefix(_ORDER)] = None
    return list(found)


def _retained(obj: Object, patch: Object) -> Object:
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(obj)
    if not isinstance(keys, list):
        raise BadRequest("unable to parse patch: $retainKeys must be a list")
    for name, value in patch.items():
        if not name.startswith("$") and value is not None and name not in keys:
            raise BadRequest(f"unable to parse patch: {name} is not in the $retainKeys list")
    return {name: value for name, value in obj.items() if name in keys}


def _merge_field(result: Object, patch: Object, name: str, field: Field | None) -> None:
    current = result.get(name)
    removed, order = patch.get(_DELETE_FROM + name), patch.get(_ORDER + name)
    for directive, value in ((_DELETE_FROM, removed), (_ORDER, order)):
        if value is not None and not isinstance(value, list):
            raise BadRequest(f"unable to parse patch: {directive}{name} must be a list")
    if removed and isinstance(current, list):
        current = result[name] = [entry for entry in current if entry not in removed]
    if name in patch:
        value = patch[name]
        if value is None:
            result.pop(name, None)
            return
        result[name] = _merged(current, value, field)
    if order and field is not None and field.merges and isinstance(result.get(name), list):
        before = current if isinstance(current, list) else []
        result[name] = _ordered(result[name], order, before, field.merge_key)


def _merged(current: Any, value: Any, field: Field | None) -> Any:
    if isinstance(value, dict):
        inner = type_named(field.type) if field is not None and not field.is_scalar else None
        if not isinstance(current, dict):
            return {} if value.get(_PATCH) == "delete" else _without_directives(value)
        if field is not None and field.shape == "{}":
            return _merge_map(current, value, inner)
        return merge(current, value, inner)
    if isinstance(value, list) and field is not None and field.merges:
        if field.merge_key:
            inner = type_named(field.type)
            return _merge_objects(current if isinstance(current, list) else [], value, field.merge_key, inner)
        return _merge_values(current if isinstance(current, list) else [], value)
    return deep_copy(value)


def _merge_map(current: Object, patch: Object, inner: Type | None) -> Object:
    """A map from text: its values, if they are objects, are of one type."""
    if inner is None:
        return merge(current, patch, None)
    result = dict(current)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merge(result.get(name) or {}, value, inner)
        else:
            result[name] = deep_copy(value)
    return result


def _merge_values(current: Sequence[Any], patch: Sequence[Any]) -> list[Any]:
    """A set of plain values: those of the patch that are new come last."""
    result = list(current)
    result += [value for index, value in enumerate(patch) if value not in current and value not in patch[:index]]
    return result


def _merge_objects(current: Sequence[Any], patch: Sequence[Any], key: str, inner: Type) -> list[Any]:
    wanted: list[Object] = []
    removed: list[Any] = []
    replace = False
    for entry in patch:
        if not isinstance(entry, dict):
            raise BadRequest("unable to parse patch: a list with a merge key holds objects only")
        match entry.get(_PATCH):
            case "replace":
                replace = True
                if len(entry) > 1:
                    wanted.append({field: value for field, value in entry.items() if field != _PATCH})
            case "delete":
                removed.append(_key_of(entry, key))
            case None | "merge":
                wanted.append(entry)
            case other:
                raise BadRequest(f"unable to parse patch: Unknown patch type found: {other}")
    if replace:
        return [_without_directives(entry) for entry in wanted]
    result = [entry for entry in current if not isinstance(entry, dict) or entry.get(key) not in removed]
    positions = {_hashable(entry.get(key)): at for at, entry in enumerate(result) if isinstance(entry, dict)}
    for entry in wanted:
        value = _hashable(_key_of(entry, key))
        at = positions.get(value)
        if at is None:
            positions[value] = len(result)
            result.append(_without_directives(entry))
        else:
            result[at] = merge(result[at], entry, inner)
    return result


def _key_of(entry: Object, key: str) -> Any:
    if key not in entry:
        shown = " ".join(f"{name}:{value}" for name, value in sorted(entry.items()))
        raise BadRequest(f"map: map[{shown}] does not contain declared merge key: {key}")
    return entry[key]


def _ordered(entries: list[Any], order: list[Any], before: Sequence[Any], key: str) -> list[Any]:
    """Entries named in `order` in that order; the others keep their place relative to their old neighbours."""

    def identity(entry: Any) -> Any:
        return _hashable(entry.get(key) if key and isinstance(entry, dict) else entry)

    wanted = {identity(entry): at for at, entry in enumerate(order)}
    place = {identity(entry): at for at, entry in enumerate(before)}
    named = sorted((entry for entry in entries if identity(entry) in wanted), key=lambda entry: wanted[identity(entry)])
    others = [entry for entry in entries if identity(entry) not in wanted]
    result: list[Any] = []
    left, right = 0, 0
    while left < len(others) and right < len(named):
        mine, theirs = place.get(identity(others[left])), place.get(identity(named[right]))
        if mine is not None and theirs is not None and mine < theirs:
            result.append(others[left])
            left += 1
        else:
            result.append(named[right])
            right += 1
    return result + others[left:] + named[right:]


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _without_directives(value: Any) -> Any:
    """A new value from a patch: what it would give if merged into nothing."""
    if isinstance(value, list):
        kept = (entry for entry in value if not (isinstance(entry, dict) and entry.get(_PATCH) == "delete"))
        kept_objects = (entry for entry in kept if not (isinstance(entry, dict) and set(entry) == {_PATCH}))
        return [_without_directives(entry) for entry in kept_objects]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_directives(entry)
        for name, entry in value.items()
        if not name.startswith((_DELETE_FROM, _ORDER)) and name not in (_PATCH, _RETAIN) and entry is not None
    }
