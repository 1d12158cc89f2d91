"""Schedules and windows, above all on the two nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iacorch.drift.decisions.windows import Window, is_open, next_open
from iacorch.errors import ConfigError
from iacorch.kit.schedule import Schedule

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "moment", "expected"),
    [
        (Schedule("0 2 * * *"), "2026-11-23 01:00", "2026-11-23 02:00"),
        (Schedule("0 2 * * *"), "2026-11-23 02:00", "2026-11-24 02:00"),
        (Schedule("0 2 * * *", BERLIN), "2026-11-23 00:30", "2026-11-23 01:00"),  # winter: one hour ahead of UTC
        (Schedule("0 2 * * *", BERLIN), "2026-07-01 01:00", "2026-07-02 00:00"),  # summer: two
        # 29 March 2026: 02:30 does not exist in Berlin; it happens when the clocks go from 2 to 3.
        (Schedule("30 2 * * *", BERLIN), "2026-03-28 23:00", "2026-03-29 01:00"),
        # 25 October 2026: 02:30 comes twice; it happens once.
        (Schedule("30 2 * * *", BERLIN), "2026-10-24 23:00", "2026-10-25 00:30"),
        (Schedule("30 2 * * *", BERLIN), "2026-10-25 00:30", "2026-10-26 01:30"),
        (Schedule("*/15 * * * 1-5"), "2026-11-21 10:01", "2026-11-23 00:00"),  # from a Saturday to Monday
    ],
)
def test_when_it_is_next(schedule: Schedule, moment: str, expected: str) -> None:
    assert schedule.after(at(moment)) == at(expected)


@pytest.mark.parametrize("text", ["", "hourly", "61 * * * *", "* * * *"])
def test_what_is_no_schedule_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="is no schedule"):
        Schedule(text)


def test_a_zone_that_there_is_not_is_said() -> None:
    with pytest.raises(ConfigError, match="Mars"):
        Schedule("0 2 * * *", "Mars/Olympus")


def test_several_times_that_were_slept_through_are_one() -> None:
    assert Schedule("0 * * * *").is_due(at("2026-11-23 01:30"), at("2026-11-23 09:00"))
    assert not Schedule("0 * * * *").is_due(at("2026-11-23 09:00"), at("2026-11-23 09:59"))


NIGHT = Window(Schedule("0 2 * * *", BERLIN), 7_200, "night")
FREEZE = Window(Schedule("0 0 24 12 *", BERLIN), 3 * 86_400, "holidays", deny=True)


@pytest.mark.parametrize(
    ("windows", "moment", "opened"),
    [
        ((), "2026-11-23 12:00", True),
        ((NIGHT,), "2026-11-23 00:59", False),
        ((NIGHT,), "2026-11-23 01:00", True),
        ((NIGHT,), "2026-11-23 02:59", True),
        ((NIGHT,), "2026-11-23 03:00", False),
        ((NIGHT, FREEZE), "2026-12-25 01:30", False),
        ((FREEZE,), "2026-12-27 12:00", True),
        ((FREEZE,), "2026-12-25 12:00", False),
        # The night of 25 October is an hour longer on the clock, not in the window.
        ((NIGHT,), "2026-10-25 01:59", True),
        ((NIGHT,), "2026-10-25 02:01", False),
    ],
)
def test_whether_it_is_open(windows: tuple[Window, ...], moment: str, opened: bool) -> None:
    assert is_open(windows, at(moment)) is opened


@pytest.mark.parametrize(
    ("windows", "moment", "expected"),
    [
        ((NIGHT,), "2026-11-23 12:00", "2026-11-24 01:00"),
        ((NIGHT,), "2026-11-23 01:30", "2026-11-23 01:30"),
        ((NIGHT, FREEZE), "2026-12-23 23:30", "2026-12-27 01:00"),
        ((FREEZE,), "2026-12-25 12:00", "2026-12-26 23:00"),
        ((NIGHT, Window(Schedule("0 0 * * *"), 86_400, deny=True)), "2026-11-23 12:00", None),
    ],
)
def test_when_it_opens_next(windows: tuple[Window, ...], moment: str, expected: str | None) -> None:
    assert next_open(windows, at(moment)) == (at(expected) if expected else None)
