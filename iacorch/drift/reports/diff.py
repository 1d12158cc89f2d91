"""One difference for people: what it was and what it is, cut around where they differ. Pure.

In: a path and two values of any shape. Out: lines no wider than asked. Short values stand on one line; long texts and
documents become the lines that differ with one of context, so that a change at the end of a long file is seen.
Called by `page` (drift) and `changes.build` (plans).

Values that are hidden stay so; in texts that hold several values (a manifest, an environment) those whose name tells of
a secret, and all that a Secret holds, are hidden here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

import yaml

from iacorch.drift.compare import is_secret
from iacorch.drift.model import HIDDEN, shown
from iacorch.kit import limits
from iacorch.kit.text import shortened

_VALUE: Final = re.compile(
    r"^(?P<head>(?P<before>\s*(?:- )*)[\"']?(?P<name>[\w./-]+)[\"']?\s*(?::(?!\S)|[:=](?=\S)|=)\s*)(?P<value>.*)$"
)
_SECRET_KIND: Final = re.compile(r"[\"']?\bkind[\"']?\s*:\s*[\"']?Secret\b")
_HOLDERS: Final = ("data", "stringData")


@dataclass(frozen=True, slots=True)
class Words:
    """How the two sides are told apart: `one_line` for short values, `gone` and `new` where a side is absent."""

    one_line: str
    gone: str
    new: str
    block: str


PLANNED: Final = Words("{old} -> {new}", "{old} -> (none)", "(none) -> {new}", "(- before, + after)")
FOUND: Final = Words("wanted {old}, found {new}", "wanted {old}, found nothing", "found {new}, which nobody asked for",
                     "(- wanted, + found)")  # fmt: skip


def lines(
    path: str, old: Any, new: Any, *, words: Words = FOUND, width: int = limits.PAGE_COLUMNS, whole: bool = False,
    note: str = "",
) -> Iterator[str]:  # fmt: skip
    """The first line begins with the path, further ones are indented. `whole` leaves nothing out."""
    end = f" ({note})" if note else ""
    if old is None and new is None:
        yield f"{path}: changed{end}"
        return
    if HIDDEN in _plain(old, new):
        yield f"{path}: changed, a secret{end}"
        return
    one = _one_line(old, new, words)
    if one is not None and (len(path) + len(one) + len(end) + 2 <= width or None in (old, new)):
        text = f"{path}: {one}{end}"
        yield text if whole else shortened(text, width)
        return
    if one is not None and len(one) <= width - 2:
        yield f"{path}{end}:"
        yield f"  {one}"
        return
    if isinstance(old, str) and isinstance(new, str) and "\n" not in old.strip() + new.strip():
        if is_secret(old) or is_secret(new) or _SECRET_KIND.search(f"{old}\n{new}"):
            yield f"{path}: changed, and holds secrets{end}"
            return
        yield f"{path}: differs {words.block}{end}"
        for sign, text in zip("-+", _around(old, new, width - 4), strict=True):
            yield f"  {sign} {text}"
        return
    yield f"{path}: differs {words.block}{end}"
    yield from _block(_text(old), _text(new), width=None if whole else width - 2)


def _plain(*values: Any) -> list[Any]:
    return [value for value in values if isinstance(value, str)]


def _one_line(old: Any, new: Any, words: Words) -> str | None:
    """None where the values cannot stand on a line, or stand there alike: their difference is beyond what is shown."""
    if any(isinstance(value, str) and "\n" in value.strip() for value in (old, new)) and None not in (old, new):
        return None
    a, b = (shown(_masked_value(value), whole=True) for value in (old, new))
    if a == b:
        return None
    if old is None:
        return words.new.format(new=b)
    return words.gone.format(old=a) if new is None else words.one_line.format(old=a, new=b)


def _around(old: str, new: str, width: int) -> tuple[str, str]:
    """Both texts cut to what lies around their first difference."""
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - width // 3) if max(len(old), len(new)) > width else 0
    cut = [f"{'...' if start else ''}{text.strip()[start:]}" for text in (old, new)]
    return shortened(cut[0], width), shortened(cut[1], width)


def _block(old: Sequence[str], new: Sequence[str], *, width: int | None) -> Iterator[str]:
    """Hunks of a unified difference with one line of context; bounded unless `width` is None."""
    mask_old, mask_new = _masked(old), _masked(new)
    shown_lines, left = 0, 0
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(1):
        hunk = [f"@@ line {group[0][1] + 1} @@"]
        for tag, a, b, c, d in group:
            if tag == "equal":
                hunk += [f"  {text}" for text in mask_old[a:b]]
            else:
                hunk += [f"- {text}" for text in mask_old[a:b]] + [f"+ {text}" for text in mask_new[c:d]]
        for text in hunk:
            if width is not None and shown_lines >= limits.DIFF_LINES:
                left += 1
                continue
            shown_lines += 1
            yield f"  {text}" if width is None or len(text) <= width else f"  {text[: width - 3]}..."
    if left:
        yield f"  and {left} more lines; -o wide shows all"


def _text(value: Any) -> list[str]:
    """A text's lines, or those of a document."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.splitlines()
    return yaml.safe_dump(_jsonable(value), sort_keys=True, width=10_000).splitlines()


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _masked(text: Sequence[str]) -> list[str]:
    """Lines without what a Secret holds and without values named like secrets, however many lines they take."""
    mask = _Mask(holds_secrets=bool(_SECRET_KIND.search("\n".join(text))))
    return [mask.line(line) for line in text]


@dataclass(slots=True)
class _Mask:
    """Reads a document from its first line to its last. Columns are -1 where nothing is being hidden."""

    holds_secrets: bool
    holder: int = -1
    """Where the name stands under which a Secret holds its values."""
    child: int = -1
    """Where the names of these values stand."""
    secret: int = -1
    """Where a secret's name stands whose value may go on below it."""
    named: bool = False
    """An environment: the name was on the line before, and its value follows."""

    def line(self, line: str) -> str:
        indent = len(line) - len(line.lstrip())
        if line.strip():
            self._leave(line, indent)
        match = _VALUE.match(line)
        if self.holder >= 0:
            self.child = indent if self.child < 0 else self.child
            return f"{match['head'] if match is not None and indent == self.child else line[:indent]}{HIDDEN}"
        if self.secret >= 0:
            return f"{line[:indent]}{HIDDEN}" if line.strip() else line
        if match is None:
            return line
        name, value = match["name"], match["value"]
        is_value = name == "value" and self.named
        self.named = name == "name" and is_secret(value.strip("\"'"))
        if is_value or (name != "name" and is_secret(name)):
            self.secret = len(match["before"])
            return f"{match['head']}{HIDDEN}" if value.strip() else line
        if self.holds_secrets and name in _HOLDERS and value.strip() in ("", "{"):
            self.holder = indent
        return line

    def _leave(self, line: str, indent: int) -> None:
        """What stands no deeper than a name is not its value; a list may stand as deep as the name of it."""
        if self.holder >= 0 and indent <= self.holder:
            self.holder = self.child = -1
        if self.secret >= 0 and (
            indent < self.secret or (indent == self.secret and not line[indent:].startswith("- "))
        ):
            self.secret = -1


def _masked_value(value: Any, *, hidden: bool = False) -> Any:
    """The same for a value on one line."""
    match value:
        case Mapping():
            named = is_secret(str(value.get("name", "")))
            all_of_it = value.get("kind") == "Secret"
            return {
                key: _masked_value(
                    entry,
                    hidden=hidden
                    or is_secret(str(key))
                    or (named and key == "value")
                    or (all_of_it and key in _HOLDERS),
                )
                for key, entry in value.items()
            }
        case list() | tuple():
            return [_masked_value(entry, hidden=hidden) for entry in value]
        case None:
            return None
        case _:
            return HIDDEN if hidden and not isinstance(value, bool) else value
