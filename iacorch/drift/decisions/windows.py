"""Maintenance windows: openings by schedule. Pure; the moment is an argument.

In: windows, a moment. Out: whether one is open, when the next one opens. A window lasts its duration in real seconds
whatever the clocks do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from iacorch.kit.schedule import Schedule

_LOOK_AHEAD: Final = 1_000
"""Windows that are looked through for one that no other forbids."""


@dataclass(frozen=True, slots=True)
class Window:
    """Opens by its schedule and stays open for a while; `deny`: nothing is done in it, whatever else is open."""

    schedule: Schedule
    seconds: int
    name: str = ""
    deny: bool = False

    def opened(self, now: datetime) -> datetime | None:
        """When the opening began in which `now` lies."""
        began = self.schedule.after(now - timedelta(seconds=self.seconds))
        return began if began is not None and began <= now else None


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """Some window is open and none forbids. Where only forbidding ones are named, the rest of the time is open."""
    given = tuple(windows)
    if any(window.deny and window.opened(now) is not None for window in given):
        return False
    allowing = [window for window in given if not window.deny]
    return not allowing or any(window.opened(now) is not None for window in allowing)


def next_open(windows: Iterable[Window], now: datetime) -> datetime | None:
    """The next moment at which something may be done; `now` if that is so already. None: not within sight."""
    given = tuple(windows)
    moment = now
    for _ in range(_LOOK_AHEAD):
        if is_open(given, moment):
            return moment
        ends = [began + timedelta(seconds=w.seconds) for w in given if w.deny and (began := w.opened(moment))]
        opens = [later for w in given if not w.deny and (later := w.schedule.after(moment))]
        ahead = [m for m in (*ends, *opens) if m > moment]
        if not ahead:
            return None
        moment = min(ahead)
    return None
