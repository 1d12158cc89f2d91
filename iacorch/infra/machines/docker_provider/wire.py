"""Property maps on the wire: protobuf Struct <-> plain dicts, with Pulumi's marks for secrets and unknowns.

Integral floats come back as integers (a Struct has only doubles). Secrets are opened on the way in and the names of the
top-level properties that held one are remembered, so that outputs built from them are closed again on the way out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.protobuf import struct_pb2

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that a preview cannot know yet."""
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"


def decode(struct: struct_pb2.Struct) -> tuple[dict[str, Any], frozenset[str]]:
    """The properties as plain values, and the names of those that are, or contain, a secret."""
    plain: dict[str, Any] = {}
    secret: set[str] = set()
    for name, value in struct.fields.items():
        plain[name], closed = _open(value)
        if closed:
            secret.add(name)
    return plain, frozenset(secret)


def encode(properties: Mapping[str, Any], *, secret: Collection[str] = ()) -> struct_pb2.Struct:
    """A Struct; the properties named in `secret` are marked so."""
    struct = struct_pb2.Struct()
    struct.update({name: {_SIGNATURE: _SECRET, "value": v} if name in secret else v for name, v in properties.items()})
    return struct


def has_unknown(value: Any) -> bool:
    """Whether a value is, or contains, something a preview cannot know."""
    match value:
        case str():
            return value == UNKNOWN
        case dict():
            return any(map(has_unknown, value.values()))
        case list():
            return any(map(has_unknown, value))
        case _:
            return False


def _open(value: struct_pb2.Value) -> tuple[Any, bool]:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
                return _open(fields["value"])[0], True
            opened = {name: _open(field) for name, field in fields.items()}
            return {name: v for name, (v, _) in opened.items()}, any(closed for _, closed in opened.values())
        case "list_value":
            items = [_open(item) for item in value.list_value.values]
            return [v for v, _ in items], any(closed for _, closed in items)
        case "number_value":
            number = value.number_value
            return (int(number) if number.is_integer() else number), False
        case "string_value":
            return value.string_value, False
        case "bool_value":
            return value.bool_value, False
        case _:
            return None, False
