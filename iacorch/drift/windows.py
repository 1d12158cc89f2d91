"""Schedules and maintenance windows: cron with a time zone. Pure; the moment is an argument.

In: cron text of five fields, a time zone, a moment. Out: whether a window is open, when the next one opens, when a
check is due. On the day the clocks change, a time that does not exist happens at the change and one that happens twice
happens once, as with Debian's cron. A window lasts its duration in real seconds whatever the clocks do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from iacorch.errors import ConfigError

_LOOK_AHEAD: Final = 1_000
"""Windows that are looked through for one that no other forbids."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Raises ConfigError when it is made of a text that cron does not know, or a zone that there is not."""

    text: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            CronSim(self.text, datetime(2000, 1, 1, tzinfo=ZoneInfo(self.zone or "UTC")))
        except (CronSimError, ValueError) as error:
            raise ConfigError(
                f"{self.text!r} is no schedule: {error}", hint="five fields: minute hour day month weekday"
            ) from error
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ConfigError(f"there is no time zone {self.zone!r}", hint="as in Europe/Berlin") from error

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None for a date that never comes."""
        try:
            found: datetime = next(CronSim(self.text, moment.astimezone(ZoneInfo(self.zone or "UTC"))))
        except StopIteration:
            return None
        return found.astimezone(UTC)

    def is_due(self, last: datetime, now: datetime) -> bool:
        """A time has come since `last`. Several that were slept through are one."""
        due = self.after(last)
        return due is not None and due <= now


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
