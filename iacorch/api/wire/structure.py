"""The structure of the built-in types: which fields they have, how lists merge, under which numbers they travel.

In: `data/schema.json`, written by `scripts/generate_api.py`, and `data/own.json`, written by hand for our own group's
kinds, one short line a field. Out: `Type` and `Field` values,
parsed when first asked for. One source for four readers: `schema` (types and required fields), `patch.strategic` (merge
keys), `protobuf` (wire numbers) and `openapi` (documents).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any, Final

import orjson

from iacorch.api.catalogue import Kind

SCALARS: Final = frozenset(
    {"string", "bool", "int32", "int64", "double", "byte", "time", "microtime", "quantity", "intstr", "any"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type."""

    name: str
    shape: str
    """`` for a single value, `[]` for a list, `{}` for a map from text, `{}[]` for a map to lists."""
    type: str
    """One of `SCALARS`, or the name of another type."""
    required: bool = False
    number: int = 0
    """Its protobuf field number; 0 where it does not travel under its own name."""
    zero_is_absent: bool = False
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    map_type: str = ""
    merges: bool = False
    merge_key: str = ""
    retain_keys: bool = False

    @property
    def is_scalar(self) -> bool:
        return self.type in SCALARS

    @property
    def go_item(self) -> str:
        """The type of one value, as Go's decoder names it in errors."""
        return _GO_TYPES.get(self.type) or ".".join(self.type.split(".")[1:])

    @property
    def go_type(self) -> str:
        """The type of the whole field, list and map included."""
        return {"": "", "[]": "[]", "{}": "map[string]", "{}[]": "map[string][]"}[self.shape] + self.go_item


_GO_TYPES: Final = {
    "string": "string",
    "bool": "bool",
    "int32": "int32",
    "int64": "int64",
    "double": "float64",
    "byte": "[]uint8",
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "quantity": "resource.Quantity",
    "intstr": "intstr.IntOrString",
    "any": "runtime.RawExtension",
}


class Type:
    """A message type; `fields` is parsed on first use."""

    def __init__(self, name: str, lines: Mapping[str, str], inline: Mapping[int, str]) -> None:
        self.name = name
        self._lines = lines
        self.inline = inline
        """Field number -> type, for messages that JSON flattens into this one."""

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        return {name: _field(name, line) for name, line in self._lines.items()}

    @cached_property
    def by_number(self) -> Mapping[int, Field]:
        return {field.number: field for field in self.fields.values() if field.number}

    @property
    def go_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def full_name(self) -> str:
        """As OpenAPI documents name it."""
        head = self.name.partition(".")[0]
        return {"meta": "io.k8s.apimachinery.pkg.apis.", "iacorch": "dev."}.get(head, "io.k8s.api.") + self.name


def _field(name: str, line: str) -> Field:
    head, *words = line.split()
    shape = next(shape for shape in ("{}[]", "{}", "[]", "") if head.startswith(shape))
    found: dict[str, Any] = {"name": name, "shape": shape, "type": head.removeprefix(shape)}
    for word in words:
        key, _, value = word.partition("=")
        match key:
            case "!":
                found["required"] = True
            case "zero":
                found["zero_is_absent"] = True
            case "list":
                found["list_type"], _, keys = value.partition(":")
                found["map_keys"] = tuple(keys.split(",")) if keys else ()
            case "map":
                found["map_type"] = value
            case "merge":
                found["merges"], found["merge_key"] = True, value
            case "retain":
                found["retain_keys"] = True
            case _:
                found["number"] = int(word.removeprefix("#"))
    return Field(**found)


@cache
def _bundle() -> dict[str, Any]:
    data = resources.files("iacorch.api").joinpath("data")
    bundle: dict[str, Any] = orjson.loads(data.joinpath("schema.json").read_bytes())
    own = orjson.loads(data.joinpath("own.json").read_bytes())
    bundle["types"] |= own["types"]
    for row in own["kinds"]:
        # `iacorch.dev/v1alpha1` is `iacorch.v1alpha1` among types, as `apps/v1` is `apps.v1`.
        bundle["kinds"][f"{row['group']}/{row['version']}/{row['kind']}"] = f"iacorch.{row['version']}.{row['kind']}"
    return bundle


@cache
def type_named(name: str) -> Type:
    """A type by its short name, `core.v1.PodSpec`. KeyError is a programmer's error."""
    bundle = _bundle()
    inline = bundle["inline"].get(name, {})
    return Type(name, bundle["types"][name], {int(number): type_ for number, type_ in inline.items()})


@lru_cache(maxsize=1024)
def type_for(api_version: str, kind: str) -> Type | None:
    """The type of a kind's objects; None if the bundle does not have it. DeleteOptions exist in every version."""
    if kind in ("DeleteOptions", "Status"):
        return type_named(f"meta.v1.{kind}")
    name = _bundle()["kinds"].get(f"{api_version}/{kind}")
    return type_named(name) if name else None


def type_of(kind: Kind) -> Type | None:
    """The type of a built-in kind; None for a CRD, whose structure comes with its row."""
    return None if kind.schema_json is not None else type_for(kind.api_version, kind.kind)


def kinds() -> Mapping[str, str]:
    """`apiVersion/Kind` -> type name."""
    found: Mapping[str, str] = _bundle()["kinds"]
    return found
