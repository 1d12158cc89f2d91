"""Durations as people write them: `90s`, `10m`, `720h`, `1h30m`.

In: text. Out: seconds. Our own kinds use them (`expireAfter`, `consolidateAfter`, patience with a repair); `Never` is
None, and what is left out is the reader's default.
"""

from __future__ import annotations

import re
from typing import Final

NEVER: Final = "Never"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def seconds(text: str) -> float | None:
    """`1h30m` -> 5400.0; `Never` -> None. Raises ValueError on anything else."""
    if text == NEVER:
        return None
    if not _WHOLE.fullmatch(text):
        raise ValueError('must be a duration such as "90s", "10m" or "720h", or "Never"')
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def seconds_or(text: str | None, default: float | None) -> float | None:
    """The same, with a default for what is left out."""
    return seconds(text) if text else default
