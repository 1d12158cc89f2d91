"""Property paths: `a.b[0]["c.d"]`, with `*` for any key or index. Pure.

Used by `ignoreChanges` and `replaceOnChanges`. Source: Pulumi's `sdk/go/common/resource/property_path`.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any, Final

from iacorch.infra.engine.builtin.values import wire

_PART: Final = re.compile(r'\.?([^.\[\]"]+)|\[(\d+|\*)\]|\["((?:[^"\\]|\\.)*)"\]')
_PLAIN: Final = re.compile(r'^[^.\[\]"]+$')

Part = str | int


def parse(path: str) -> tuple[Part, ...]:
    """The keys and indices of `path`. Raises ValueError where it is malformed."""
    parts: list[Part] = []
    at = 0
    while at < len(path):
        if (match := _PART.match(path, at)) is None:
            raise ValueError(f"malformed property path {path!r} at {at}")
        plain, index, quoted = match.groups()
        if index is not None:
            parts.append("*" if index == "*" else int(index))
        else:
            parts.append(plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(parts)


def join(path: str, key: str) -> str:
    """`path` extended by a key, quoted where it must be."""
    if not _PLAIN.match(key):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{escaped}"]'
    return f"{path}.{key}" if path else key


def covers(wanted: str, path: str) -> bool:
    """`wanted` names `path` or something around it. What providers give for a path is taken as it is if it is none."""
    outer = parse(wanted)
    try:
        inner = parse(path)
    except ValueError:
        inner = (path,)
    return len(outer) <= len(inner) and all(a in ("*", b) for a, b in zip(outer, inner, strict=False))


def reset(new: dict[str, Any], old: dict[str, Any], path: str) -> dict[str, Any]:
    """A copy of `new` in which `path` is as it is in `old`; absent there means absent here."""
    result: dict[str, Any] = deepcopy(new)
    _reset(result, old, parse(path))
    return result


def _inside(value: Any) -> Any:
    return value["value"] if wire.mark(value) == wire.SECRET else value


def _reset(new: Any, old: Any, parts: tuple[Part, ...]) -> None:
    new, old = _inside(new), _inside(old)
    if not parts or type(new) is not type(old) or not isinstance(new, dict | list):
        return
    head, rest = parts[0], parts[1:]
    if isinstance(new, list):
        indices = range(min(len(new), len(old))) if head == "*" else [head] if isinstance(head, int) else []
        for index in indices:
            if index < len(new) and index < len(old):
                if rest:
                    _reset(new[index], old[index], rest)
                else:
                    new[index] = deepcopy(old[index])
        return
    for key in sorted({*new, *old}) if head == "*" else [str(head)]:
        if rest:
            if key in new and key in old:
                _reset(new[key], old[key], rest)
        elif key in old:
            new[key] = deepcopy(old[key])
        else:
            new.pop(key, None)
