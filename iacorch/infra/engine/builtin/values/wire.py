"""Property values as they travel: plain dicts, lists and scalars with Pulumi's marks left in place.

In: `google.protobuf.Struct`. Out: the same as dicts, integral numbers as int. A mark is a dict with the signature key;
secrets, resource references and unknowns stay as they are all the way to the provider and into the state. Output values
(what the program sends) are lowered to unknown, secret or plain, and their dependencies are handed out beside them.
Source of the marks: Pulumi's `sdk/go/common/resource/sig` and `proto/pulumi/resource.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import struct_pb2

from iacorch.infra.engine.errors import Unsupported

Props = dict[str, Any]

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
#: Every type has its own unknown on the wire; providers may send any of them, programs read only the first.
UNKNOWNS: Final = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
_SAFE_INTEGER: Final = 2**53


def decode(struct: struct_pb2.Struct | None) -> Props:
    """A Struct as a dict; every kind of unknown becomes the one of strings."""
    # Maps of protobuf have no order; sorted ones make the same state files of the same properties.
    return {} if struct is None else {key: _decode(value) for key, value in sorted(struct.fields.items())}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in UNKNOWNS else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _SAFE_INTEGER else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return {key: _decode(item) for key, item in sorted(value.struct_value.fields.items())}
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    return None


def encode(props: Mapping[str, Any]) -> struct_pb2.Struct:
    """A dict as a Struct."""
    struct = struct_pb2.Struct()
    for key, value in props.items():
        _encode(value, struct.fields[key])
    return struct


def _encode(value: Any, into: struct_pb2.Value) -> None:
    if value is None:
        into.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    elif isinstance(value, Mapping):
        into.struct_value.SetInParent()
        for key, item in value.items():
            _encode(item, into.struct_value.fields[key])
    else:
        into.list_value.SetInParent()
        for item in value:
            _encode(item, into.list_value.values.add())


def mark(value: Any) -> str:
    """The signature of a marked dict, or nothing."""
    return str(value.get(SIGNATURE, "")) if isinstance(value, Mapping) else ""


def secret(value: Any) -> Any:
    """`value`, marked secret once."""
    return value if mark(value) == SECRET else {SIGNATURE: SECRET, "value": value}


def lower(value: Any, dependencies: set[str], *, where: str = "") -> Any:
    """Replace output values in `value` by unknown, secret or plain ones; add their dependencies to the set."""
    if isinstance(value, list):
        return [lower(item, dependencies, where=where) for item in value]
    if not isinstance(value, dict):
        return value
    match mark(value):
        case "":
            return {key: lower(item, dependencies, where=where) for key, item in value.items()}
        case _ if value[SIGNATURE] == OUTPUT:
            dependencies.update(value.get("dependencies") or ())
            plain = lower(value["value"], dependencies, where=where) if "value" in value else UNKNOWN
            return secret(plain) if value.get("secret") and plain != UNKNOWN else plain
        case _ if value[SIGNATURE] == SECRET:
            return secret(lower(value.get("value"), dependencies, where=where))
        case _ if value[SIGNATURE] == RESOURCE:
            dependencies.add(str(value.get("urn", "")))
            return value
        case _ if value[SIGNATURE] in (ASSET, ARCHIVE):
            return value
        case other:
            raise Unsupported(f"property values with signature {other}", where=where)


def reveal(value: Any) -> Any:
    """`value` without secret marks, at every depth."""
    if isinstance(value, list):
        return [reveal(item) for item in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return reveal(value.get("value"))
        return {key: reveal(item) for key, item in value.items()}
    return value


def has_unknown(value: Any) -> bool:
    """Something in `value` is not known yet."""
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return isinstance(value, str) and value == UNKNOWN


def has_secret(value: Any) -> bool:
    """Something in `value` is marked secret."""
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    if isinstance(value, dict):
        return value.get(SIGNATURE) == SECRET or any(has_secret(item) for item in value.values())
    return False


def without_references(value: Any) -> Any:
    """`value` with resource references replaced by their ID, or URN for components: for providers that want none."""
    if isinstance(value, list):
        return [without_references(item) for item in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == RESOURCE:
            return (value["id"] or UNKNOWN) if "id" in value else value.get("urn", "")
        return {key: without_references(item) for key, item in value.items()}
    return value


def keep_secret(outputs: Any, inputs: Any) -> Any:
    """Mark what is secret in `inputs` secret under the same key in `outputs`: for providers that drop the marks."""
    if not isinstance(outputs, dict) or not isinstance(inputs, dict):
        return outputs
    kept = dict(outputs)
    for key, given in inputs.items():
        if key not in kept:
            continue
        if isinstance(kept[key], dict) and isinstance(given, dict) and not mark(given) and not mark(kept[key]):
            kept[key] = keep_secret(kept[key], given)
        elif has_secret(given):
            kept[key] = secret(kept[key])
    return kept


def mark_secret(props: Props, keys: Iterable[str]) -> Props:
    """`props` with the named top-level properties marked secret."""
    wanted = set(keys) & props.keys()
    return {key: secret(value) if key in wanted else value for key, value in props.items()} if wanted else props
