"""Words for people: what they may have meant, lists that end, tables that fit. Pure; knows no domain.

In: what was typed and what exists; rows and a width. Out: text. Called wherever somebody reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Final

_LISTED: Final = 8
_ALIKE: Final = 0.6


def near(word: str, known: Collection[str], *, most: int = 3) -> tuple[str, ...]:
    """The known words that `word` may have been meant to be, the likeliest first; capitals and `_` do not count."""
    plain = {_plain(name): name for name in sorted(known, reverse=True)}
    typed = _plain(word)
    found = [name for key, name in sorted(plain.items()) if typed and key.startswith(typed)]
    found += [plain[key] for key in get_close_matches(typed, list(plain), n=most, cutoff=_ALIKE)]
    return tuple(dict.fromkeys(found))[:most]


def did_you_mean(word: str, known: Collection[str], *, what: str = "") -> str:
    """`did you mean X?`, else all there is: `there are X, Y`. `what` says of what there is none, where that is so."""
    if not known:
        return f"there is no {what} yet" if what else ""
    if found := near(word, known):
        return f"did you mean {either(found)}?"
    return f"there {'is' if len(known) == 1 else 'are'} {listed(sorted(known))}"


def either(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def listed(words: Iterable[str], *, most: int = _LISTED) -> str:
    """`a, b, c`, and how many more where there are many."""
    every = list(words)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def shortened(text: str, width: int) -> str:
    """On one line and no wider than `width`; what is cut ends in an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: max(0, width - 3)]}..."


def plural(count: int, one: str, many: str = "") -> str:
    """`1 machine`, `2 machines`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def columns(rows: Sequence[Sequence[str]], *, width: int | None = None, gap: int = 2) -> list[str]:
    """Rows as aligned lines. Given a `width`, the widest columns are shortened until every line fits."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    if width is not None:
        room = max(width - gap * (len(widths) - 1), 4 * len(widths))
        while sum(widths) > room:
            widest = widths.index(max(widths))
            others = max((size for at, size in enumerate(widths) if at != widest), default=0)
            widths[widest] = max(min(others, widths[widest] - 1), widths[widest] - (sum(widths) - room))
    lines = []
    for row in rows:
        cells = row if width is None else [shortened(text, size) for text, size in zip(row, widths, strict=True)]
        padded = (text.ljust(size) for text, size in zip(cells, widths, strict=True))
        lines.append((" " * gap).join(padded).rstrip())
    return lines


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
