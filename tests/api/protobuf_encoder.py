"""Writes Kubernetes protobuf as Go does, for tests only: optional scalars without a pointer even when zero."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from iacorch.api.wire.structure import Field, Type, type_for, type_named
from iacorch.kit.clock import parse_rfc3339


def encode(obj: dict[str, Any]) -> bytes:
    type_ = type_for(obj["apiVersion"], obj["kind"])
    assert type_ is not None
    meta = _bytes(1, obj["apiVersion"].encode()) + _bytes(2, obj["kind"].encode())
    return b"k8s\x00" + _bytes(1, meta) + _bytes(2, message(type_, obj)) + _bytes(3, b"") + _bytes(4, b"")


def message(type_: Type, obj: dict[str, Any]) -> bytes:
    out = b""
    for number, name in type_.inline.items():
        inner = type_named(name)
        if any(field in obj for field in inner.fields):
            out += _bytes(number, message(inner, obj))
    for field in type_.fields.values():
        if not field.number:
            continue
        value = obj.get(field.name)
        if value is None:
            if field.zero_is_absent:
                out += _tag(field.number, 0) + _varint(0)
        elif field.shape == "[]":
            out += b"".join(_one(field, entry) for entry in value)
        elif field.shape == "{}[]":
            for key, entries in value.items():
                wrapped = b"".join(_bytes(1, entry.encode()) for entry in entries)
                out += _bytes(field.number, _bytes(1, key.encode()) + _bytes(2, wrapped))
        elif field.shape == "{}":
            for key, entry in value.items():
                out += _bytes(field.number, _bytes(1, key.encode()) + _bytes(2, payload(field, entry)))
        else:
            out += _one(field, value)
    return out


def _one(field: Field, value: Any) -> bytes:
    if field.type in ("int32", "int64", "bool"):
        return _tag(field.number, 0) + _varint(int(value) % 2**64)
    return _bytes(field.number, payload(field, value))


def payload(field: Field, value: Any) -> bytes:
    match field.type:
        case "string":
            return str(value).encode()
        case "byte":
            return base64.b64decode(value)
        case "quantity":
            return _bytes(1, str(value).encode())
        case "intstr" if isinstance(value, int):
            return _tag(1, 0) + _varint(0) + _tag(2, 0) + _varint(value % 2**64) + _bytes(3, b"")
        case "intstr":
            return _tag(1, 0) + _varint(1) + _tag(2, 0) + _varint(0) + _bytes(3, value.encode())
        case "time" | "microtime":
            passed = parse_rfc3339(value) - datetime(1970, 1, 1, tzinfo=UTC)
            seconds, nanos = passed.days * 86_400 + passed.seconds, passed.microseconds * 1000
            return _tag(1, 0) + _varint(seconds % 2**64) + _tag(2, 0) + _varint(nanos)
        case "any":
            return _bytes(1, orjson.dumps(value))
        case name:
            return message(type_named(name), value)


def _bytes(number: int, data: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(data)) + data


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
