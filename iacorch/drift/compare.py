"""Where what is seen differs from what is wanted. Pure.

In: two documents of any shape and `Rules`. Out: `Field`s by path, in the order of the wanted document. What is wanted
speaks only for what it names: a field that only the seen document has is somebody else's and no difference, unless
the rules call its place closed. Called by every layer.

Paths are dotted; entries of lists of named things go by name: `spec.template.spec.containers[web].image`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from iacorch.api.values import quantity
from iacorch.drift.model import HIDDEN, Field, mark_of, shown

_SECRET_NAME: Final = re.compile(
    r"(?i)(passw|secret|token|credential|private_?key|api_?key|access_?key|auth$|[._-]auth[._-])"
)
_QUANTITY: Final = re.compile(r"(^|\.)(limits|requests|hard|capacity|storage|sizeLimit)(\.|$)")
_KEYS: Final = ("name", "mountPath", "containerPort", "port", "key", "ip")
"""What tells the entries of a list apart, the first that all of them have."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Globs of paths: what is not compared, what is secret, what cannot change in place, where nothing may be added,
    and lists (`open`) that others may add to.

    `writers` names who owns a path (a field manager); a path that one of `others` owns is left to them.
    """

    ignore: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    writers: Mapping[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    salt: str = ""


def differences(wanted: Any, seen: Any, rules: Rules = Rules()) -> tuple[Field, ...]:
    """Every field that differs. Absent and empty are the same, and so are equal quantities written differently."""
    return tuple(_compare(wanted, seen, "", rules))


def matches(path: str, patterns: Iterable[str]) -> bool:
    """`path`, or something that holds it, is named by a pattern (`*` stands for anything)."""
    return any(
        path == pattern or path.startswith((f"{pattern}.", f"{pattern}[")) or fnmatch.fnmatchcase(path, pattern)
        for pattern in (p.replace("[", "[[]") if "*" in p else p for p in patterns)
    )


def is_secret(path: str, patterns: Iterable[str] = ()) -> bool:
    """By what the rules say, else by its name: better one value hidden too many."""
    return matches(path, patterns) or bool(_SECRET_NAME.search(path))


def difference(path: str, wanted: Any, seen: Any, rules: Rules) -> Field:
    """One field, hidden where it must be."""
    secret = is_secret(path, rules.secret)
    return Field(
        path,
        HIDDEN if secret and wanted is not None else wanted,
        HIDDEN if secret and seen is not None else seen,
        mark=mark_of(seen, salt=rules.salt if secret else ""),
        secret=secret,
        replaces=matches(path, rules.replaces),
        writer=_writer(path, rules.writers),
    )


def _compare(wanted: Any, seen: Any, path: str, rules: Rules) -> Iterator[Field]:
    if path and matches(path, rules.ignore):
        return
    if isinstance(wanted, Mapping):
        have = seen if isinstance(seen, Mapping) else {}
        for name, value in wanted.items():
            yield from _compare(value, have.get(name), join(path, str(name)), rules)
        if matches(path, rules.closed):
            for name in sorted(have.keys() - wanted.keys()):
                yield from _leaf(None, have[name], join(path, str(name)), rules)
        return
    if isinstance(wanted, list) and isinstance(seen, list | None) and matches(path, rules.open):
        for entry in wanted:
            if not any(_holds(entry, have) for have in seen or ()):
                yield from _leaf(entry, None, f"{path}[{shown(entry, whole=True)}]", rules)
        return
    if isinstance(wanted, list) and wanted and (key := _entry_key(wanted, seen)):
        yield from _compare_entries(wanted, seen, path, key, rules)
        return
    if isinstance(wanted, list) and isinstance(seen, list) and len(wanted) == len(seen):
        for index, (a, b) in enumerate(zip(wanted, seen, strict=True)):
            yield from _compare(a, b, f"{path}[{index}]", rules)
        return
    yield from _leaf(wanted, seen, path, rules)


def _compare_entries(wanted: list[Any], seen: Any, path: str, key: str, rules: Rules) -> Iterator[Field]:
    have = {str(entry[key]): entry for entry in seen or ()}
    for entry in wanted:
        name = str(entry[key])
        if name in have:
            yield from _compare(entry, have[name], f"{path}[{name}]", rules)
        else:
            yield from _leaf(entry, None, f"{path}[{name}]", rules)
    named = {str(entry[key]) for entry in wanted}
    for name in have:
        # Whoever declares a list declares all of it, unless the rest is a known addition.
        if name not in named:
            yield from _leaf(None, have[name], f"{path}[{name}]", rules)


def _holds(wanted: Any, seen: Any) -> bool:
    return not any(True for _ in _compare(wanted, seen, "", Rules()))


def _leaf(wanted: Any, seen: Any, path: str, rules: Rules) -> Iterator[Field]:
    if matches(path, rules.ignore) or _same(wanted, seen, path):
        return
    if rules.others and (writer := _writer(path, rules.writers)) and matches(writer, rules.others):
        return
    yield difference(path, wanted, seen, rules)


def _same(wanted: Any, seen: Any, path: str) -> bool:
    if wanted == seen or (_is_empty(wanted) and _is_empty(seen)):
        return True
    if wanted is None or seen is None or isinstance(wanted, bool) or isinstance(seen, bool):
        return False
    if isinstance(wanted, str | int | float) and isinstance(seen, str | int | float):
        if str(wanted) == str(seen):
            return True
        if _QUANTITY.search(path):
            return _as_quantity(wanted) is not None and bool(_as_quantity(wanted) == _as_quantity(seen))
    return False


def _as_quantity(value: Any) -> Any:
    try:
        return quantity.parse(str(value))
    except ValueError:
        return None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping | list | tuple | str) and not value)


def _entry_key(wanted: list[Any], seen: Any) -> str:
    entries = [*wanted, *(seen if isinstance(seen, list) else ())]
    if not all(isinstance(entry, Mapping) for entry in entries):
        return ""
    for key in _KEYS:
        names = [str(entry[key]) for entry in wanted if key in entry]
        if all(key in entry for entry in entries) and len(set(names)) == len(names):
            return key
    return ""


def _writer(path: str, writers: Mapping[str, str]) -> str:
    """The owner of the path, or of the nearest thing that holds it."""
    while path:
        if path in writers:
            return writers[path]
        path = path.rpartition("." if path.rfind(".") > path.rfind("[") else "[")[0]
    return writers.get("", "")


def join(path: str, name: str) -> str:
    """A field of `path`; names with dots in them are put in brackets."""
    if "." in name or "/" in name:
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name
