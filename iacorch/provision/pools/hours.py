"""When a pool is open, and when a budget is active: windows of the week in the pool's time zone.

In: windows as an object writes them, a moment. Out: open or not, and when that changes next. A window whose end is not
after its beginning goes on into the next day. No window at all means always. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

_DAYS: Final = {name: number for number, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))}
_MINUTES_A_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """From minute `start` of these days, for `length` minutes."""

    days: frozenset[int]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows of the week, in a time zone."""

    windows: tuple[Window, ...] = ()
    zone: str = "UTC"

    def is_open(self, now: datetime) -> bool:
        if not self.windows:
            return True
        local = now.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        return any(
            (today in w.days and w.start <= minute < w.start + w.length)
            or (yesterday in w.days and minute + _MINUTES_A_DAY < w.start + w.length)
            for w in self.windows
        )

    def changes_in_seconds(self, now: datetime) -> float | None:
        """Until it opens or closes; None when it never does. Looks a week ahead, minute boundaries only."""
        if not self.windows:
            return None
        local = now.astimezone(ZoneInfo(self.zone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        edges = sorted(
            midnight + timedelta(days=day, minutes=minute)
            for day in range(-1, 9)
            for window in self.windows
            if (midnight + timedelta(days=day)).weekday() in window.days
            for minute in (window.start, window.start + window.length)
        )
        is_open = self.is_open(now)
        for edge in edges:
            if edge > local and self.is_open(edge) != is_open:
                return (edge - local).total_seconds()
        return None


def hours_of(windows: Iterable[Mapping[str, Any]] | None, zone: str | None) -> Hours:
    """As a NodePool writes them. They were validated by the server."""
    return Hours(tuple(map(_window, windows or ())), zone or "UTC")


def _window(window: Mapping[str, Any]) -> Window:
    start, end = _minute(window["from"]), _minute(window["until"])
    length = end - start if end > start else end - start + _MINUTES_A_DAY
    return Window(frozenset(_DAYS[day] for day in window.get("days") or _DAYS), start, length)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)
