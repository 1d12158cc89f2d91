"""What differs between a resource as it was and as it is wanted. Pure.

Two comparisons make a change: the inputs then and now, and, for the properties that reading can find altered behind our
back (`Property.observed`), the state against the inputs now. Called by the servicer's Diff; the rules are in `schema`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from iacorch.infra.machines.docker_provider.schema import DEFAULTS_KEY, Kind, Property, Schema
from iacorch.infra.machines.docker_provider.wire import has_unknown


class Change(Enum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that differs. `inputs`: the program changed it; otherwise the world did."""

    name: str
    change: Change
    replaces: bool
    inputs: bool


def differences(
    schema: Schema,
    *,
    old_inputs: Mapping[str, Any],
    state: Mapping[str, Any],
    inputs: Mapping[str, Any],
    ignore: Collection[str] = (),
) -> tuple[Difference, ...]:
    """In the order of the schema; empty when nothing is to be done."""
    found = []
    for name, prop in schema.inputs.items():
        if name in ignore:
            continue
        wanted, before = _canonical(prop, inputs.get(name)), _canonical(prop, old_inputs.get(name))
        edited = wanted != before or has_unknown(inputs.get(name))
        seen = _canonical(prop, state.get(name))
        drifted = prop.observed and name in state and wanted is not None and seen != wanted
        if edited or drifted:
            was = before if edited else seen
            change = Change.ADDED if was is None else Change.REMOVED if wanted is None else Change.CHANGED
            back_to_default = prop.sticky and wanted == _canonical(prop, None)
            found.append(Difference(name, change, prop.replaces or back_to_default, inputs=edited))
    return tuple(found)


def delete_first(schema: Schema, inputs: Mapping[str, Any], found: Collection[Difference]) -> bool:
    """A replacement under a name that the program fixed cannot exist beside what it replaces."""
    fixed = schema.known_by_name and "name" not in inputs.get(DEFAULTS_KEY, ())
    renamed = any(difference.name == "name" and difference.inputs for difference in found)
    return fixed and not renamed and any(difference.replaces for difference in found)


def _canonical(prop: Property, value: Any) -> Any:
    """A value such that equal meanings are equal: defaults filled in, nothing and empty alike, sets sorted."""
    if value is None:
        value = prop.default
    match prop.kind:
        case Kind.OBJECT if isinstance(value, Mapping):
            value = _canonical_object(prop.fields, value)
        case Kind.OBJECTS if isinstance(value, list):
            value = [_canonical_object(prop.fields, v) if isinstance(v, Mapping) else v for v in value]
        case _:
            pass
    if prop.unordered and isinstance(value, list):
        value = sorted(value, key=lambda item: json.dumps(item, sort_keys=True))
    return None if value in ({}, []) else value


def _canonical_object(fields: Mapping[str, Property], value: Mapping[str, Any]) -> dict[str, Any]:
    filled = {name: _canonical(prop, value.get(name)) for name, prop in fields.items()}
    return {name: item for name, item in filled.items() if item is not None}
