"""The row of a pod: STATUS says the most interesting thing about it in one word, as kubectl has always done."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, age, human
from iacorch.api.objects import Object

POD_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    Column("Age"),
    Column("IP", priority=1),
    Column("Node", priority=1),
    Column("Nominated Node", priority=1),
    Column("Readiness Gates", priority=1),
)


def pod(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    statuses = status.get("containerStatuses") or []
    sidecars = {c.get("name") for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    init = status.get("initContainerStatuses") or []
    ready = sum(1 for entry in statuses if entry.get("ready") and "running" in (entry.get("state") or {}))
    ready += sum(1 for entry in init if entry.get("name") in sidecars and entry.get("ready"))
    wanted = len(spec.get("containers") or []) + len(sidecars)
    return [
        objects.name(obj),
        f"{ready}/{wanted}",
        _status(obj, init, statuses, sidecars),
        _restarts(init if _is_initialising(init, sidecars) else [*statuses, *_only(init, sidecars)], now),
        age(obj, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(obj),
    ]


def _only(init: list[dict[str, Any]], sidecars: set[Any]) -> list[dict[str, Any]]:
    return [entry for entry in init if entry.get("name") in sidecars]


def _status(obj: Object, init: list[dict[str, Any]], statuses: list[dict[str, Any]], sidecars: set[Any]) -> str:
    status = objects.status(obj)
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    if (scheduled := objects.condition(obj, "PodScheduled")) and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    wanted = len(objects.spec(obj).get("initContainers") or [])
    initialising = _init_reason(init, wanted, sidecars)
    if initialising:
        reason = initialising
    else:
        reason = _container_reason(obj, statuses) or reason
    if objects.is_deleting(obj):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        # A pod that has ended says how it ended, also while it waits for its node or a finalizer.
        return reason if status.get("phase") in ("Succeeded", "Failed") else "Terminating"
    return reason


def _init_reason(init: list[dict[str, Any]], wanted: int, sidecars: set[Any]) -> str:
    """What the first init container that has not done its part is up to."""
    for index, entry in enumerate(init):
        state = entry.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if entry.get("name") in sidecars and entry.get("started"):
            continue
        if terminated is not None:
            return f"Init:{terminated.get('reason') or _ended(terminated)}"
        if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{wanted}"
    return ""


def _is_initialising(init: list[dict[str, Any]], sidecars: set[Any]) -> bool:
    return bool(_init_reason(init, len(init), sidecars))


def _container_reason(obj: Object, statuses: list[dict[str, Any]]) -> str:
    reason, running = "", False
    for entry in reversed(statuses):
        state = entry.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = terminated.get("reason") or _ended(terminated)
        elif entry.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        return "Running" if objects.condition_is(obj, "Ready") else "NotReady"
    return reason


def _ended(terminated: dict[str, Any]) -> str:
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(statuses: list[dict[str, Any]], now: datetime) -> str:
    count = sum(entry.get("restartCount", 0) for entry in statuses)
    ends = [((entry.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for entry in statuses]
    latest = max((end for end in ends if end), default=None)
    if not count or (moment := objects.moment(latest)) is None:
        return str(count)
    return f"{count} ({human(int((now - moment).total_seconds()))} ago)"


def _gates(obj: Object) -> str:
    gates = objects.spec(obj).get("readinessGates") or []
    if not gates:
        return NONE
    good = sum(1 for gate in gates if objects.condition_is(obj, gate.get("conditionType", "")))
    return f"{good}/{len(gates)}"
