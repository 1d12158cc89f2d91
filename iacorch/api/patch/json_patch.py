"""JSON patch, RFC 6902, with JSON pointers, RFC 6901. All operations apply, or none does."""

from __future__ import annotations

import re
from typing import Any, Final

from iacorch.api.objects import deep_copy, too_deep
from iacorch.errors import BadRequest, Invalid
from iacorch.kit import limits

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_OPERATIONS: Final = frozenset({"add", "remove", "replace", "move", "copy", "test"})


def json_patch(document: Any, operations: Any) -> Any:
    """The patched document. Raises BadRequest for a malformed patch, Invalid for one that does not fit."""
    if not isinstance(operations, list) or not all(isinstance(entry, dict) for entry in operations):
        found = "object" if isinstance(operations, dict) else "array" if isinstance(operations, list) else "value"
        raise BadRequest(f"error decoding patch: json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
    if len(operations) > limits.JSON_PATCH_OPERATIONS:
        raise BadRequest(
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{limits.JSON_PATCH_OPERATIONS}, got {len(operations)}"
        )
    root = {"": deep_copy(document)}
    copied = 0
    for operation in operations:
        copied += _apply(root, operation)
        # Copies of copies double, in size and in depth, with every line of a patch.
        if copied > limits.JSON_PATCH_COPIED_VALUES or too_deep(root):
            raise BadRequest("Request entity too large: the copy operations of the patch copy too much")
    return root[""]


def _apply(root: dict[str, Any], operation: dict[str, Any]) -> int:
    """Returns how many values were copied."""
    name = operation.get("op")
    if name not in _OPERATIONS:
        raise _does_not_fit(f"Unexpected kind: {'unknown' if name is None else name}")
    path = _pointer(operation.get("path"))
    match name:
        case "test":
            if _get(root, path) != operation.get("value"):
                raise _does_not_fit(f"testing value {operation['path']} failed: test failed")
        case "remove":
            _remove(root, path, by=f"error in remove for path: '{operation['path']}': ")
        case "move":
            source = _pointer(operation.get("from"))
            if path[: len(source)] == source and len(path) > len(source):
                raise _does_not_fit("a value cannot be moved into itself")
            _add(root, path, _remove(root, source))
        case "copy":
            source_value = _get(root, _pointer(operation.get("from")))
            _add(root, path, deep_copy(source_value))
            return _count(source_value)
        case "replace":
            _value(operation)
            parent, last = _get(root, path[:-1]), path[-1]
            _get(root, path)
            parent[_index(parent, last) if isinstance(parent, list) else last] = deep_copy(operation["value"])
        case _:
            _value(operation)
            _add(root, path, deep_copy(operation["value"]))
    return 0


def _count(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inside))


def _value(operation: dict[str, Any]) -> None:
    if "value" not in operation:
        raise BadRequest(f"missing value in operation {operation.get('op')}")


def _pointer(text: Any) -> list[str]:
    """The parts of a pointer below the one-field root, so that the whole document can be replaced like a field."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise BadRequest(f"invalid JSON pointer in patch: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")]


def _get(root: Any, path: list[str]) -> Any:
    value = root
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list):
            value = value[_index(value, part)]
        else:
            raise _missing(path)
    return value


def _index(array: list[Any], part: str) -> int:
    if _INDEX.fullmatch(part) is None or int(part) >= len(array):
        raise _does_not_fit(f"Unable to access invalid index: {part}")
    return int(part)


def _add(root: Any, path: list[str], value: Any) -> None:
    parent, last = _get(root, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        if last == "-" or last == str(len(parent)):
            parent.append(value)
        else:
            parent.insert(_index(parent, last), value)
    else:
        raise _missing(path)


def _remove(root: Any, path: list[str], *, by: str = "") -> Any:
    parent, last = _get(root, path[:-1]), path[-1]
    if isinstance(parent, dict) and last in parent:
        return parent.pop(last) if len(path) > 1 else parent[last]
    if isinstance(parent, list):
        return parent.pop(_index(parent, last))
    if by and isinstance(parent, dict):
        raise _does_not_fit(f"{by}Unable to remove nonexistent key: {last}: missing value")
    raise _missing(path)


def _missing(path: list[str]) -> Invalid:
    return _does_not_fit(f"the path {'/'.join(path) or '/'} does not exist: missing value")


def _does_not_fit(words: str) -> Invalid:
    return Invalid(f"the server rejected our request due to an error in our request: {words}")
