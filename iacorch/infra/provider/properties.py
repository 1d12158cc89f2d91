"""What a resource's properties are, and everything that follows from that alone. Pure.

In: a `ResourceSpec` (data, beside each resource) and property maps. Out: `check` (what is wrong with inputs, by path),
`fill` (defaults), `differences` (which input changed, and whether it replaces). `schema.py` prints the same data as
Pulumi's package schema. Property names are Pulumi's camelCase.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from iacorch.infra.machines.docker_provider.wire import UNKNOWN, has_unknown

Kind = Literal["string", "integer", "boolean", "object", "strings", "integers", "map", "tree", "trees"]
"""`map`: of strings; `tree`: an object of a shape that is checked elsewhere; `trees`: a list of these."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property. `replaces`: the world cannot follow a change of it in place."""

    name: str
    kind: Kind
    description: str
    required: bool = False
    replaces: bool = False
    secret: bool = False
    default: Any = None
    fields: tuple[Property, ...] = ()
    type_name: str = ""
    """The schema's name for an object's type."""
    replaced_by: tuple[str, ...] = ()
    """Of kind `tree`: keys of the value whose change replaces; the others are followed in place."""


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """One resource type. `drift` names outputs that, when not what a healthy resource has, ask for an update."""

    token: str
    description: str
    inputs: tuple[Property, ...]
    outputs: tuple[Property, ...]
    healthy: Mapping[str, Any]

    @property
    def secrets(self) -> frozenset[str]:
        """Top-level properties that are always secret."""
        return frozenset(p.name for p in (*self.inputs, *self.outputs) if p.secret or any(f.secret for f in p.fields))


@dataclass(frozen=True, slots=True)
class Failure:
    """What is wrong with the input at `path`, in words."""

    path: str
    reason: str


class Change(Enum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """The property at `path` differs. `input`: the program changed it; otherwise the world did."""

    path: str
    change: Change
    replaces: bool
    input: bool = True


def check(properties: Collection[Property], inputs: Mapping[str, Any], *, at: str = "") -> Iterator[Failure]:
    """Unknown names, missing values and wrong types, by path. Values that a preview cannot know pass."""
    known = {p.name: p for p in properties}
    for name in inputs:
        if name not in known and not name.startswith("__"):
            yield Failure(f"{at}{name}", f"there is no such property; there are {', '.join(known)}")
    for name, prop in known.items():
        value = inputs.get(name)
        if value is None or value == "":
            if prop.required:
                yield Failure(f"{at}{name}", "is required")
        elif value != UNKNOWN:
            yield from _check_value(prop, value, f"{at}{name}")


def _check_value(prop: Property, value: Any, path: str) -> Iterator[Failure]:
    match prop.kind:
        case "string" if not isinstance(value, str):
            yield _wrong(path, "a string", value)
        case "integer" if not _whole(value):
            yield _wrong(path, "a whole number", value)
        case "boolean" if not isinstance(value, bool):
            yield _wrong(path, "true or false", value)
        case "strings" if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            yield _wrong(path, "a list of strings", value)
        case "integers" if not isinstance(value, list) or not all(map(_whole, value)):
            yield _wrong(path, "a list of whole numbers", value)
        case "tree" if not isinstance(value, dict):
            yield _wrong(path, "an object", value)
        case "trees" if not isinstance(value, list) or not all(
            item == UNKNOWN or isinstance(item, dict) for item in value
        ):
            yield _wrong(path, "a list of objects", value)
        case "map" if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            yield _wrong(path, "a map of strings", value)
        case "object":
            if isinstance(value, dict):
                yield from check(prop.fields, value, at=f"{path}.")
            else:
                yield _wrong(path, "an object", value)
        case _:
            pass


def _whole(value: Any) -> bool:
    return value == UNKNOWN or (isinstance(value, int) and not isinstance(value, bool))


def _wrong(path: str, expected: str, value: Any) -> Failure:
    return Failure(path, f"expected {expected}, found {type(value).__name__}")


def fill(properties: Collection[Property], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs with their defaults; what was given as nothing is left out."""
    filled = {name: value for name, value in inputs.items() if value is not None and not name.startswith("__")}
    for prop in properties:
        if prop.name in filled:
            if prop.kind == "object" and isinstance(filled[prop.name], dict):
                filled[prop.name] = fill(prop.fields, filled[prop.name])
        elif prop.default is not None:
            filled[prop.name] = prop.default
    return filled


def differences(
    spec: ResourceSpec,
    *,
    old_inputs: Mapping[str, Any],
    state: Mapping[str, Any],
    inputs: Mapping[str, Any],
    ignore: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Inputs that changed, in the order of the specification, then outputs that show the world is not as it should."""
    old, new = fill(spec.inputs, old_inputs), fill(spec.inputs, inputs)
    found = [d for d in _compare(spec.inputs, old, new, "") if not _ignored(d.path, ignore)]
    for name, good in spec.healthy.items():
        if name in state and state[name] != good:
            found.append(Difference(name, Change.CHANGED, replaces=False, input=False))
    return tuple(found)


def _compare(
    properties: Collection[Property], old: Mapping[str, Any], new: Mapping[str, Any], at: str
) -> Iterator[Difference]:
    for prop in properties:
        before, after = old.get(prop.name), new.get(prop.name)
        if prop.kind == "object" and isinstance(before, dict) and isinstance(after, dict):
            yield from _compare(prop.fields, before, after, f"{at}{prop.name}.")
        elif prop.replaced_by and isinstance(before, dict) and isinstance(after, dict):
            yield from _compare_keys(prop, before, after, at)
        elif before != after or has_unknown(after):
            change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
            yield Difference(f"{at}{prop.name}", change, prop.replaces)


def _compare_keys(prop: Property, old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> Iterator[Difference]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before != after or has_unknown(after):
            change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
            yield Difference(f"{at}{prop.name}.{key}", change, key in prop.replaced_by)


def _ignored(path: str, ignore: Collection[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in ignore)
