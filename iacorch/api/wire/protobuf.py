"""Bodies in Kubernetes protobuf, read into the same dicts that JSON gives.

In: bytes as typed clients send them (`k8s\\0`, then a `runtime.Unknown` around the object) and the numbers of
`structure`. Out: a plain object with `apiVersion` and `kind`. Raises BadRequest for anything that is not that. The
server calls `decode` for `application/vnd.kubernetes.protobuf`; its answers may be JSON.

Hostile bytes are bounded: nesting and the number of values are capped, and a length never reaches past its message.
Optional scalars that Go writes although they are zero are left out, as JSON leaves them out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from iacorch.api.objects import Object
from iacorch.api.wire.structure import Field, Type, type_for, type_named
from iacorch.errors import BadRequest
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339, rfc3339_micro

CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes) -> Object:
    """The object in a body. Raises BadRequest."""
    if not body.startswith(MAGIC):
        raise _bad("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    reader = _Reader()
    envelope = {number: value for number, value in reader.fields(memoryview(body)[len(MAGIC) :]) if _is_bytes(value)}
    meta = dict(reader.fields(envelope.get(1, memoryview(b""))))
    api_version, kind = (_text(meta.get(number, memoryview(b""))) for number in (1, 2))
    if encoding := _text(envelope.get(3, memoryview(b""))):
        raise _bad(f"unable to decode content encoding {encoding!r}")
    raw = envelope.get(2, memoryview(b""))
    if _text(envelope.get(4, memoryview(b""))) == "application/json":
        found: Object = _json(raw)
    else:
        type_ = type_for(api_version, kind)
        if type_ is None:
            raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
        found = reader.message(type_, raw, 0)
    return {"apiVersion": api_version, "kind": kind, **found}


class _Reader:
    """Reads messages by their structure and counts what it makes."""

    def __init__(self) -> None:
        self._left = limits.PROTOBUF_VALUES

    def message(self, type_: Type, data: memoryview, depth: int) -> Object:
        result: Object = {}
        self._fill(type_, data, result, depth)
        return result

    def _fill(self, type_: Type, data: memoryview, result: Object, depth: int) -> None:
        if depth > limits.JSON_DEPTH:
            raise _bad("exceeded max depth")
        for number, value in self.fields(data):
            if (inline := type_.inline.get(number)) is not None:
                self._fill(type_named(inline), _as_bytes(value), result, depth + 1)
            elif (field := type_.by_number.get(number)) is not None:
                self._store(field, value, result, depth)

    def _store(self, field: Field, value: int | memoryview, result: Object, depth: int) -> None:
        match field.shape:
            case "[]":
                self._append(field, value, result.setdefault(field.name, []), depth)
            case "{}" | "{}[]":
                key, entry = self._map_entry(field, _as_bytes(value), depth)
                result.setdefault(field.name, {})[key] = entry
            case _:
                found = self._value(field, value, depth)
                if not _is_absent(field, found):
                    result[field.name] = found
                else:
                    result.pop(field.name, None)

    def _append(self, field: Field, value: int | memoryview, into: list[Any], depth: int) -> None:
        if field.type in ("int32", "int64", "bool") and _is_bytes(value):  # packed
            data, at = _as_bytes(value), 0
            while at < len(data):
                number, at = _varint(data, at)
                self._count()
                into.append(_integer(field, number))
            return
        found = self._value(field, value, depth)
        into.append({} if found is None else found)

    def _map_entry(self, field: Field, data: memoryview, depth: int) -> tuple[str, Any]:
        key, entry = "", memoryview(b"")
        for number, value in self.fields(data):
            if number == 1:
                key = _text(value)
            elif number == 2:
                entry = _as_bytes(value)
        if field.shape == "{}[]":  # a message that only wraps `repeated string items = 1`
            return key, [_text(value) for number, value in self.fields(entry) if number == 1]
        return key, self._value(field, entry, depth)

    def _value(self, field: Field, value: int | memoryview, depth: int) -> Any:
        match field.type:
            case "string":
                return _text(value)
            case "int32" | "int64" | "bool":
                return _integer(field, value)
            case "double":
                return _double(value)
            case "byte":
                return base64.b64encode(_as_bytes(value)).decode()
            case "quantity":
                return self._first_text(value)
            case "time" | "microtime":
                return self._time(field.type, _as_bytes(value))
            case "intstr":
                return self._int_or_string(_as_bytes(value))
            case "any":
                raw = next((entry for number, entry in self.fields(_as_bytes(value)) if number == 1), memoryview(b""))
                return _json(_as_bytes(raw)) if len(_as_bytes(raw)) else None
            case name:
                return self.message(type_named(name), _as_bytes(value), depth + 1)

    def _first_text(self, value: int | memoryview) -> str:
        texts = [_text(entry) for number, entry in self.fields(_as_bytes(value)) if number == 1]
        return texts[-1] if texts else ""

    def _time(self, type_: str, data: memoryview) -> str | None:
        if not len(data):
            return None
        parts = dict(self.fields(data))
        try:
            moment = _EPOCH + timedelta(seconds=_signed(parts.get(1, 0)), microseconds=_signed(parts.get(2, 0)) // 1000)
        except OverflowError as error:
            raise _bad("a time is out of range") from error
        return rfc3339(moment) if type_ == "time" else rfc3339_micro(moment)

    def _int_or_string(self, data: memoryview) -> int | str:
        parts = dict(self.fields(data))
        if _signed(parts.get(1, 0)) == 1:
            return _text(parts.get(3, memoryview(b"")))
        return _within("int32", _signed(parts.get(2, 0)))

    def fields(self, data: int | memoryview) -> Iterator[tuple[int, Any]]:
        """(number, value) of a message: an int, or a view of the bytes. Raises BadRequest where they end too soon."""
        data = _as_bytes(data)
        at = 0
        while at < len(data):
            self._count()
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            if number == 0:
                raise _bad("illegal tag 0")
            if wire == _VARINT:
                value, at = _varint(data, at)
                yield number, value
                continue
            if wire == _BYTES:
                length, at = _varint(data, at)
            elif wire in (_FIXED64, _FIXED32):
                length = 8 if wire == _FIXED64 else 4
            else:
                raise _bad(f"illegal wireType {wire}")
            if length > len(data) - at:
                raise _bad("unexpected EOF")
            yield number, data[at : at + length]
            at += length

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _bad("too many values")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise _bad("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
        if shift >= 64:
            raise _bad("integer overflow")


def _is_bytes(value: Any) -> bool:
    return isinstance(value, memoryview)


def _as_bytes(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise _bad("wrong wireType")
    return value


def _text(value: Any) -> str:
    try:
        return str(_as_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise _bad("invalid UTF-8") from error


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise _bad("wrong wireType")
    return value - 2**64 if value >= 2**63 else value


def _integer(field: Field, value: Any) -> int | bool:
    number = _signed(value)
    return number != 0 if field.type == "bool" else _within(field.type, number)


def _within(type_: str, number: int) -> int:
    """Go keeps the low 32 bits of an int32."""
    return (number + 2**31) % 2**32 - 2**31 if type_ == "int32" else number


def _double(value: Any) -> float:
    data = _as_bytes(value)
    if len(data) != 8:
        raise _bad("wrong wireType")
    return float(struct.unpack("<d", data)[0])


def _is_absent(field: Field, value: Any) -> bool:
    if value is None:
        return True
    if field.required:
        return False
    # An IntOrString is a message of its own: when it travels it is there, also with nothing in it.
    empty = value == "" and field.type != "intstr"
    return empty or (field.zero_is_absent and not value)


def _json(data: memoryview) -> Object:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _bad(f"embedded JSON: {error}") from error
    if not isinstance(found, dict):
        raise _bad("embedded JSON is not an object")
    return dict(found)


def _bad(words: str) -> BadRequest:
    return BadRequest(f"unable to decode the request's protobuf body: {words}")
