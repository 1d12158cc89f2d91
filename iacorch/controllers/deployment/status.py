"""What a Deployment's status says: the counts, and the conditions Available and Progressing.

In: the Deployment, its ReplicaSets, what was just decided, now. Out: the new status and when to look again for the
progress deadline. Called by `plan`; `kubectl rollout status` reads what is written here.

Progressing:

    reason                    status   when
    NewReplicaSetCreated      True     a ReplicaSet for the template was just made
    FoundNewReplicaSet        True     one of an earlier revision has the template
    ReplicaSetUpdated         True     counts moved towards the wish
    NewReplicaSetAvailable    True     done: all are new, all are available
    ProgressDeadlineExceeded  False    nothing moved for progressDeadlineSeconds
    DeploymentPaused/Resumed  Unknown  the user said so
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.controllers.deployment.observed import Fleet, Sized, Strategy
from iacorch.kit.clock import rfc3339

DEFAULT_DEADLINE_SECONDS = 600
NO_DEADLINE_SECONDS = 2**31 - 1
"""Kubernetes' way to say that a rollout may take for ever."""


@dataclass(frozen=True, slots=True)
class Report:
    """`again_seconds`: when the progress deadline is due."""

    status: dict[str, Any]
    again_seconds: float | None


@dataclass(frozen=True, slots=True)
class News:
    """What this pass decided about the new ReplicaSet: `reason` of Progressing, or "" for nothing new."""

    reason: str = ""
    replicaset: str = ""
    collisions: int = 0


def report(deployment: Object, fleet: Fleet, strategy: Strategy, news: News, *, now: datetime) -> Report:
    """The status after this pass."""
    old = objects.status(deployment)
    counts = _counts(fleet, strategy)
    status: dict[str, Any] = {"observedGeneration": objects.generation(deployment)}
    status |= {field: count for field, count in counts.items() if count}
    if collisions := old.get("collisionCount", 0) + news.collisions:
        status["collisionCount"] = collisions
    conditions = _available(objects.conditions(deployment), counts, strategy, now=now)
    conditions, again_seconds = _progressing(deployment, conditions, counts, strategy, news, fleet.new, now=now)
    status["conditions"] = conditions
    return Report(status, again_seconds)


def _counts(fleet: Fleet, strategy: Strategy) -> dict[str, int]:
    def total(field: str, entries: tuple[Sized, ...]) -> int:
        return sum(int(objects.status(entry.replicaset).get(field) or 0) for entry in entries)

    updated = (fleet.new,) if fleet.new is not None else ()
    available = total("availableReplicas", fleet.all)
    return {
        "replicas": total("replicas", fleet.all),
        "updatedReplicas": total("replicas", updated),
        "readyReplicas": total("readyReplicas", fleet.all),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(entry.now for entry in fleet.all) - available),
    }


def _available(
    conditions: list[dict[str, Any]], counts: dict[str, int], strategy: Strategy, *, now: datetime
) -> list[dict[str, Any]]:
    if counts["availableReplicas"] >= strategy.fewest_available:
        reason, message, verdict = "MinimumReplicasAvailable", "Deployment has minimum availability.", "True"
    else:
        reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        verdict = "False"
    return _put(conditions, "Available", verdict, reason, message, now=now, moved=False)


def _progressing(
    deployment: Object,
    conditions: list[dict[str, Any]],
    counts: dict[str, int],
    strategy: Strategy,
    news: News,
    new: Sized | None,
    *,
    now: datetime,
) -> tuple[list[dict[str, Any]], float | None]:
    deadline = objects.spec(deployment).get("progressDeadlineSeconds", DEFAULT_DEADLINE_SECONDS)
    if deadline >= NO_DEADLINE_SECONDS:
        return objects.without_condition(conditions, "Progressing"), None
    current = objects.condition(deployment, "Progressing") or {}
    name = news.replicaset or (objects.name(new.replicaset) if new is not None else "")
    if strategy.paused:
        if current.get("reason") == "DeploymentPaused":
            return conditions, None
        return _put(
            conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now=now, moved=True
        ), None
    if current.get("reason") == "DeploymentPaused":
        conditions = _put(
            conditions, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now=now, moved=True
        )
        current = next(entry for entry in conditions if entry["type"] == "Progressing")
    if news.reason:
        verb = "Created" if news.reason == "NewReplicaSetCreated" else "Found"
        message = f'{verb} new replica set "{name}"'
        conditions = _put(conditions, "Progressing", "True", news.reason, message, now=now, moved=True)
        return conditions, float(deadline)
    if _is_complete(counts, strategy):
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return _put(conditions, "Progressing", "True", "NewReplicaSetAvailable", message, now=now, moved=False), None
    if current.get("reason") == "NewReplicaSetAvailable" and counts["replicas"] == counts["updatedReplicas"]:
        # The rollout is done; pods that are replaced later are not a rollout.
        return conditions, None
    if _has_moved(deployment, counts) or not current:
        message = f'ReplicaSet "{name}" is progressing.'
        conditions = _put(conditions, "Progressing", "True", "ReplicaSetUpdated", message, now=now, moved=True)
        return conditions, float(deadline)
    if current.get("reason") == "ProgressDeadlineExceeded":
        return conditions, None
    since = objects.moment(current.get("lastUpdateTime") or current.get("lastTransitionTime")) or now
    left = float(deadline) - (now - since).total_seconds()
    if left > 0:
        return conditions, left
    message = f'ReplicaSet "{name}" has timed out progressing.'
    return _put(conditions, "Progressing", "False", "ProgressDeadlineExceeded", message, now=now, moved=True), None


def _is_complete(counts: dict[str, int], strategy: Strategy) -> bool:
    return (
        counts["updatedReplicas"] == strategy.replicas
        and counts["replicas"] == strategy.replicas
        and counts["availableReplicas"] == strategy.replicas
    )


def _has_moved(deployment: Object, counts: dict[str, int]) -> bool:
    before = objects.status(deployment)
    was_old = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return bool(
        counts["updatedReplicas"] > before.get("updatedReplicas", 0)
        or counts["replicas"] - counts["updatedReplicas"] < was_old
        or counts["readyReplicas"] > before.get("readyReplicas", 0)
        or counts["availableReplicas"] > before.get("availableReplicas", 0)
    )


def _put(
    conditions: list[dict[str, Any]], type_: str, status: str, reason: str, message: str, *, now: datetime, moved: bool
) -> list[dict[str, Any]]:
    """`moved` also moves lastUpdateTime when nothing else changes: it is what the progress deadline counts from."""
    changed = objects.set_condition(
        conditions, type_, status, reason=reason, message=message, now=now, lastUpdateTime=rfc3339(now)
    )
    if moved:
        return [entry | {"lastUpdateTime": rfc3339(now)} if entry["type"] == type_ else entry for entry in changed]
    return changed
