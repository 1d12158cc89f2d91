"""Times by cron, with a time zone. Pure; the moment is an argument.

In: cron text of five fields, a time zone, a moment. Out: the next time, whether one has come. On the day the clocks
change, a time that does not exist happens at the change and one that happens twice happens once, as with Debian's cron.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from iacorch.errors import ConfigError


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
