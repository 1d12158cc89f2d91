"""Whether a DriftPolicy is watched: the table in `controllers/driftpolicy/plan.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.controllers.actions import Replace, Say
from iacorch.controllers.driftpolicy.plan import plan
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339

MADE = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
GRACE = timedelta(seconds=limits.DRIFT_OVERDUE_SECONDS)
FIRST = datetime(2026, 1, 1, 12, 15, tzinfo=UTC)


def policy(checked: datetime | None = None, **spec: Any) -> Object:
    status = {"lastScheduleTime": rfc3339(checked), "lastReport": "kept"} if checked else {}
    return {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": rfc3339(MADE)},
        "spec": {"schedule": "*/15 * * * *", **spec},
        "status": status,
    }


@pytest.mark.parametrize(
    ("given", "now", "status", "reason"),
    [
        pytest.param(policy(), MADE, "Unknown", "NotDueYet", id="new"),
        pytest.param(policy(), FIRST + GRACE - timedelta(seconds=1), "Unknown", "NotDueYet", id="within the grace"),
        pytest.param(policy(), FIRST + GRACE, "False", "Overdue", id="never checked"),
        pytest.param(policy(FIRST), FIRST + GRACE, "True", "CheckedOnTime", id="checked"),
        pytest.param(policy(FIRST), FIRST + timedelta(hours=1), "False", "Overdue", id="not checked any more"),
        pytest.param(policy(suspend=True), FIRST + GRACE, "False", "Suspended", id="suspended"),
        pytest.param(policy(schedule="61 * * * *"), MADE, "False", "InvalidSchedule", id="no cron"),
        pytest.param(policy(timeZone="Asia/Tokyo"), FIRST + GRACE, "False", "Overdue", id="elsewhere"),
    ],
)
def test_whether_somebody_looks(given: Object, now: datetime, status: str, reason: str) -> None:
    made = plan(given, now=now)
    write = made.actions[0]
    assert isinstance(write, Replace)
    said = objects.condition(write.obj, "Watched")
    assert said is not None
    assert (said["status"], said["reason"]) == (status, reason)
    assert objects.status(write.obj).get("lastReport") == objects.status(given).get("lastReport"), "another's"
    assert any(isinstance(action, Say) for action in made.actions) == (reason == "Overdue")
    again = plan(write.obj, now=now)
    assert again.actions == (), "said once"


def test_it_wakes_when_the_grace_of_the_next_check_is_over() -> None:
    assert plan(policy(), now=MADE).again_seconds == (FIRST + GRACE - MADE).total_seconds()
    assert plan(policy(FIRST), now=FIRST).again_seconds == (timedelta(minutes=15) + GRACE).total_seconds()


def test_without_a_schedule_nothing_is_said() -> None:
    assert plan(policy(schedule=""), now=MADE).actions == ()
    write = plan(policy(), now=MADE).actions[0]
    assert isinstance(write, Replace)
    dropped = plan({**write.obj, "spec": {}}, now=MADE).actions[0]
    assert isinstance(dropped, Replace)
    assert objects.conditions(dropped.obj) == []
