"""Rows of DriftPolicies and DriftReports."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, age, joined, since
from iacorch.api.objects import Object

_NAME: Final = Column("Name", format="name")
_AGE: Final = Column("Age")

DRIFT_POLICY_COLUMNS: Final = (
    _NAME,
    Column("Schedule"),
    Column("Action"),
    Column("Rules", "integer"),
    Column("Suspend"),
    Column("Last Check"),
    Column("Watched"),
    _AGE,
    Column("Layers", priority=1),
    Column("Next Check", priority=1),
)
DRIFT_REPORT_COLUMNS: Final = (
    _NAME,
    Column("In Sync", "integer"),
    Column("Drifted", "integer"),
    Column("Missing", "integer"),
    Column("Unexpected", "integer"),
    Column("Unknown", "integer"),
    Column("Checked"),
    _AGE,
    Column("Seconds", "number", priority=1),
    Column("Fights", "integer", priority=1),
)
_VERDICTS: Final = ("inSync", "drifted", "missing", "unexpected", "unknown")


def drift_policy(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    return [
        objects.name(obj),
        spec.get("schedule") or NONE,
        spec.get("action") or "observe",
        len(spec.get("rules") or ()),
        bool(spec.get("suspend")),
        since(status["lastScheduleTime"], now) if "lastScheduleTime" in status else NONE,
        (objects.condition(obj, "Watched") or {}).get("status") or NONE,
        age(obj, now),
        joined(spec.get("layers") or (), "all"),
        status.get("nextScheduleTime") or NONE,
    ]


def drift_report(obj: Object, now: datetime) -> list[Any]:
    status = objects.status(obj)
    counts = status.get("counts") or {}
    return [
        objects.name(obj),
        *(int(counts.get(verdict) or 0) for verdict in _VERDICTS),
        since(status["checkedTime"], now) if "checkedTime" in status else NONE,
        age(obj, now),
        status.get("durationSeconds") or 0.0,
        len(status.get("fights") or ()),
    ]
