"""Are the fields of an object known, and of the right type?

In: a kind and a decoded JSON object. Out: the object as Kubernetes would decode it (nulls and unknown fields gone),
warnings, and the required fields that are missing. Raises BadRequest in the words of the Kubernetes decoder. The
server calls `decode` on every body before defaults and validation.

A compiled JSON Schema answers "is everything fine?" in microseconds; only when it is not does `_Walk` go through the
object again to say what is wrong and where. The two are held together by a property test.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

import jsonschema_rs

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object, too_deep
from iacorch.api.values import quantity
from iacorch.api.wire.structure import Field, Type, type_for, type_named, type_of
from iacorch.errors import BadRequest, Cause
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339

FieldValidation = Literal["Strict", "Warn", "Ignore"]

_INT_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came out of a body. `missing` are required fields, to be reported together with validation's findings."""

    obj: Object
    warnings: tuple[str, ...] = ()
    missing: tuple[Cause, ...] = ()


def decode(kind: Kind, obj: Any, field_validation: FieldValidation = "Warn") -> Decoded:
    """Check an object of a kind. The result shares nothing that was changed with `obj`, which is left alone."""
    return _decode(type_of(kind), kind.version, kind.kind, obj, field_validation)


def decode_as(api_version: str, kind: str, obj: Any, field_validation: FieldValidation = "Warn") -> Decoded:
    """The same for bodies that are no kind of the catalogue: Scale, Eviction, Binding, DeleteOptions."""
    return _decode(type_for(api_version, kind), api_version.rpartition("/")[2], kind, obj, field_validation)


def _decode(type_: Type | None, version: str, kind: str, obj: Any, validation: FieldValidation) -> Decoded:
    prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    if not isinstance(obj, dict):
        raise BadRequest(f"{prefix}json: cannot unmarshal {_json_name(obj)} into Go value of type {version}.{kind}")
    if type_ is None:
        if too_deep(obj):
            raise BadRequest(prefix + "json: exceeded max depth")
        return Decoded(obj)
    if _gate(type_.name).is_valid(obj):
        return Decoded(obj)
    walk = _Walk()
    clean = walk.message(type_, obj, "", "")
    if walk.mistyped:
        raise BadRequest(prefix + walk.mistyped[0])
    if walk.unknown and validation == "Strict":
        words = ", ".join(f'unknown field "{path}"' for path in walk.unknown)
        raise BadRequest(f"{prefix}strict decoding error: {words}")
    warnings = tuple(f'unknown field "{path}"' for path in walk.unknown) if validation == "Warn" else ()
    return Decoded(clean, warnings, tuple(walk.missing))


@dataclass(slots=True)
class _Walk:
    """Collects what is wrong while it copies what is right. Two paths: `$.a[0].b` for people, `a.b` for Go's words."""

    mistyped: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    missing: list[Cause] = field(default_factory=list)

    def message(self, type_: Type, obj: dict[str, Any], path: str, go_path: str) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for name, value in obj.items():
            known = type_.fields.get(name)
            here = _join(path, name)
            if known is None:
                if len(self.unknown) < limits.REPORTED_PROBLEMS:
                    self.unknown.append(here)
            elif value is not None:
                clean[name] = self._shaped(type_, known, value, here, _join(go_path, name))
        for known in type_.fields.values():
            if known.required and clean.get(known.name) is None:
                self._missing(known, obj, _join(path, known.name))
        return clean

    def _missing(self, known: Field, obj: Mapping[str, Any], path: str) -> None:
        """Status is written by components, whose zero values the server does not insist on."""
        null_list = known.shape == "[]" and known.name in obj
        if path.startswith("status.") or (null_list and path in _NULL_IS_EMPTY):
            return
        if len(self.missing) < limits.REPORTED_PROBLEMS:
            self.missing.append(Cause(path, "Required value", "FieldValueRequired"))

    def _shaped(self, owner: Type, known: Field, value: Any, path: str, go_path: str) -> Any:
        if known.shape == "[]":
            if not isinstance(value, list):
                return self._wrong(owner, known.go_type, known, value, go_path)
            return [self._value(owner, known, entry, f"{path}[{index}]", go_path) for index, entry in enumerate(value)]
        if known.shape:
            if not isinstance(value, dict):
                return self._wrong(owner, known.go_type, known, value, go_path)
            if known.shape == "{}[]":
                return {key: self._list(owner, known, entry, go_path) for key, entry in value.items()}
            return {
                key: self._value(owner, known, entry, f"{path}[{key}]", go_path)
                for key, entry in value.items()
                if entry is not None or known.type == "string"
            }
        return self._value(owner, known, value, path, go_path)

    def _list(self, owner: Type, known: Field, value: Any, go_path: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(owner, f"[]{known.go_item}", known, value, go_path)
        return [self._value(owner, known, entry, "", go_path) for entry in value]

    def _value(self, owner: Type, known: Field, value: Any, path: str, go_path: str) -> Any:
        if known.is_scalar:
            if value is None:  # inside a list or map, Go's null is the zero value
                return "" if known.type in ("string", "byte") else None
            if not _fits(known.type, value):
                self._wrong(owner, known.go_item, known, value, go_path)
            return value
        if value is None:
            return {}
        if not isinstance(value, dict):
            return self._wrong(owner, known.go_item, known, value, go_path)
        return self.message(type_named(known.type), value, path, go_path)

    def _wrong(self, owner: Type, go_type: str, known: Field, value: Any, go_path: str) -> None:
        if len(self.mistyped) >= limits.REPORTED_PROBLEMS:
            return
        whole = go_type != known.go_item
        self.mistyped.append(
            ("" if whole else _special_words(known.type, value))
            or f"json: cannot unmarshal {_json_name(value)} into Go struct field {owner.go_name}.{go_path}"
            f" of type {go_type}"
        )


_NULL_IS_EMPTY: Final = frozenset({"endpoints"})
"""Required lists that Go clients write as null when they are empty."""


def _fits(type_: str, value: Any) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int32" | "int64":
            low, high = _INT_RANGES[type_]
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case "double":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "byte":
            return isinstance(value, str) and _is_base64(value)
        case "time" | "microtime":
            return isinstance(value, str) and _is_time(value)
        case "quantity":
            return _is_quantity(value)
        case "intstr":
            return isinstance(value, str) or _fits("int32", value)
        case _:
            return isinstance(value, dict) and not too_deep(value)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_time(text: str) -> bool:
    if len(text) < 20 or text[10] != "T":
        return False
    try:
        parse_rfc3339(text)
    except ValueError:
        return False
    return True


def _is_quantity(value: Any) -> bool:
    try:
        quantity.parse(value)
    except ValueError:
        return False
    return True


def _special_words(type_: str, value: Any) -> str:
    """Types whose own decoder complains, without naming the field."""
    if type_ == "quantity":
        return quantity.FORMAT_HELP
    if type_ in ("time", "microtime") and isinstance(value, str):
        return f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
    if type_ == "byte" and isinstance(value, str):
        good = next((at for at, character in enumerate(value) if character not in _BASE64), len(value) // 4 * 4)
        return f"illegal base64 data at input byte {good}"
    return ""


_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def _json_name(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return f"number {value}" if isinstance(value, float) or abs(value) >= 2**31 else "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _gate(type_name: str) -> jsonschema_rs.Draft4Validator:
    """The compiled check of a type. Draft 4, because there `1.0` is no integer, as it is none to Go."""
    definitions = {name: _definition(type_named(name)) for name in _reachable(type_name)}
    return jsonschema_rs.Draft4Validator(
        {"definitions": definitions, **_definition(type_named(type_name))},
        validate_formats=True,
        formats={"byte": _is_base64, "date-time": _is_time},
    )


def _reachable(type_name: str) -> Iterator[str]:
    seen, ahead = {type_name}, [type_name]
    while ahead:
        name = ahead.pop()
        yield name
        for entry in type_named(name).fields.values():
            if not entry.is_scalar and entry.type not in seen:
                seen.add(entry.type)
                ahead.append(entry.type)


_GATES: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "double": {"type": "number"},
    "byte": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "quantity": {
        "anyOf": [{"type": "string", "pattern": f"^(?:{quantity.PATTERN})$"}, {"type": "number"}],
    },
    "intstr": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}]},
    "any": {"type": "object", "maxProperties": 0},  # free-form content is rare, and only the walk can bound its depth
}


def _definition(type_: Type) -> dict[str, Any]:
    properties = {name: _gate_of(entry) for name, entry in type_.fields.items()}
    required = sorted(name for name, entry in type_.fields.items() if entry.required)
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _gate_of(entry: Field) -> dict[str, Any]:
    inner = dict(_GATES[entry.type]) if entry.is_scalar else {"$ref": f"#/definitions/{entry.type}"}
    match entry.shape:
        case "[]":
            return {"type": "array", "items": inner}
        case "{}":
            return {"type": "object", "additionalProperties": inner}
        case "{}[]":
            return {"type": "object", "additionalProperties": {"type": "array", "items": inner}}
        case _:
            return inner
