"""Words that cells are made of: ages, selectors, lists of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from iacorch.api import objects

NONE: Final = "<none>"
UNKNOWN: Final = "<unknown>"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_536_000


def age(obj: Mapping[str, Any], now: datetime) -> str:
    """Since the object was made."""
    return since((objects.metadata(obj)).get("creationTimestamp"), now)


def since(text: str | None, now: datetime) -> str:
    try:
        then = objects.moment(text)
    except ValueError:
        return "<invalid>"
    return UNKNOWN if then is None else human(int((now - then).total_seconds()))


def human(seconds: int) -> str:
    """As kubectl writes durations: two units where they help, one where they do not."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    minutes = seconds // _MINUTE
    if minutes < 10:
        return _two(minutes, "m", seconds % _MINUTE, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = seconds // _HOUR
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = seconds // _DAY
    if hours < 8 * 24:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    years = seconds // _YEAR
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(whole: int, unit: str, rest: int, rest_unit: str) -> str:
    return f"{whole}{unit}{rest}{rest_unit}" if rest else f"{whole}{unit}"


def joined(values: Iterable[Any], otherwise: str = NONE) -> str:
    return ",".join(str(value) for value in values) or otherwise


def labels(found: Mapping[str, str] | None) -> str:
    return joined(f"{key}={value}" for key, value in sorted((found or {}).items()))


def containers(template: Mapping[str, Any]) -> tuple[str, str]:
    """Names and images of a pod template's containers."""
    found = objects.spec(template).get("containers") or []
    return joined((c.get("name") for c in found), ""), joined((c.get("image", "") for c in found), "")
