"""DriftPolicy: whether somebody looks as often as the schedule says.

In: a policy, the moment. Out: a `Plan`. Called by `controller.py`. Writes: the condition `Watched`; the rest of the
status is of whoever checks (`iacorch drift --watch`, where states and credentials are). Checks cannot be made here,
but that they are missing is seen here: drift that nobody looks for is the worst kind.

    policy                                        Watched
    no schedule                                   not said
    suspended                                     False, Suspended
    a schedule that cron does not know            False, InvalidSchedule
    a check was due, and its grace is over        False, Overdue (and an event)
    checked as scheduled                          True
    not due yet since it was made                 Unknown, NotDueYet
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from iacorch.api import objects
from iacorch.api.catalogue import DRIFT_POLICY
from iacorch.api.objects import Object
from iacorch.controllers.actions import NOTHING, Action, Plan, Say, replace_status
from iacorch.errors import ConfigError
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339, rfc3339
from iacorch.kit.schedule import Schedule

WATCHED: Final = "Watched"
_GRACE: Final = timedelta(seconds=limits.DRIFT_OVERDUE_SECONDS)


def plan(policy: Object, *, now: datetime) -> Plan:
    """See the table in the module docstring."""
    spec = objects.spec(policy)
    if not spec.get("schedule"):
        return NOTHING if objects.condition(policy, WATCHED) is None else _without(policy)
    if spec.get("suspend"):
        return _say(policy, "False", "Suspended", "no checks are made while `suspend` is set", now=now)
    try:
        schedule = Schedule(spec["schedule"], spec.get("timeZone") or "UTC")
    except ConfigError as error:
        return _say(policy, "False", "InvalidSchedule", error.message, now=now)
    checked = objects.status(policy).get("lastScheduleTime")
    due = schedule.after(parse_rfc3339(checked or objects.metadata(policy)["creationTimestamp"]))
    if due is not None and now >= due + _GRACE:
        last = f"the last check was at {checked}" if checked else "it was never checked"
        how = "run `iacorch drift --watch` where states and credentials are"
        message = f"a check was due at {rfc3339(due)} and {last}: {how}"
        return _say(policy, "False", "Overdue", message, now=now)
    again = None if due is None else (due + _GRACE - now).total_seconds()
    if checked:
        return _say(policy, "True", "CheckedOnTime", "checks are made as scheduled", now=now, again=again)
    return _say(policy, "Unknown", "NotDueYet", "no check was due yet", now=now, again=again)


def _say(policy: Object, status: str, reason: str, message: str, *, now: datetime, again: float | None = None) -> Plan:
    before = objects.condition(policy, WATCHED) or {}
    conditions = objects.set_condition(
        objects.conditions(policy), WATCHED, status, reason=reason, message=message, now=now
    )
    actions: tuple[Action, ...] = replace_status(
        DRIFT_POLICY, policy, {**objects.status(policy), "conditions": conditions}
    )
    if reason == "Overdue" and before.get("reason") != reason:
        actions = (*actions, Say(policy, "Warning", reason, message))
    return Plan(actions, again_seconds=again, why=reason)


def _without(policy: Object) -> Plan:
    rest = [entry for entry in objects.conditions(policy) if entry["type"] != WATCHED]
    return Plan(
        replace_status(DRIFT_POLICY, policy, {**objects.status(policy), "conditions": rest}), why="it has no schedule"
    )
