"""Deployment: which ReplicaSets exist, how large each is, and what the status says.

In: the Deployment and the ReplicaSets it controls or could adopt. Out: a `Plan`. Called by `controller.py`. Writes:
ReplicaSets (create, delete, `spec.replicas`, `spec.minReadySeconds`, revision annotations, ownerReferences), the
Deployment's `status` and its annotation `deployment.kubernetes.io/revision`.

One pass: claim ReplicaSets; then, if paused or rescaled, keep the balance (`rolling.scaled`); otherwise make or find
the ReplicaSet of the template and take one step of the rollout (`rolling.rolled`); then tidy the history; then report.
`kubectl rollout undo` patches an old template back in: the old ReplicaSet is found by its template and gets a new
revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, REPLICA_SET
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.controllers import naming
from iacorch.controllers.actions import Action, Create, Patch, Plan, Replace, Say, delete, replace_status
from iacorch.controllers.deployment import rolling, status
from iacorch.controllers.deployment.observed import (
    DESIRED,
    HASH_LABEL,
    MAX,
    REVISION,
    REVISION_HISTORY,
    Fleet,
    Observed,
    Sized,
    Strategy,
    fleet_of,
    plain_template,
    revision_of,
    strategy_of,
)

_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED, MAX})


def plan(observed: Observed, *, now: datetime) -> Plan:
    """See the module docstring."""
    deployment = observed.deployment
    owned, claims = _claim(deployment, observed.replicasets)
    fleet = fleet_of(deployment, owned)
    strategy = strategy_of(deployment)
    if objects.is_deleting(deployment):
        reported = status.report(deployment, fleet, strategy, status.News(), now=now)
        return Plan(replace_status(DEPLOYMENT, deployment, reported.status), why="being deleted")
    if strategy.paused or rolling.needs_scaling(fleet, strategy):
        wanted, news = rolling.scaled(fleet, strategy), status.News()
        revision = revision_of(fleet.new.replicaset) if fleet.new is not None else 0
    elif fleet.new is None:
        return _begin(observed, fleet, strategy, claims, now=now)
    else:
        revision = _revision(fleet)
        found = objects.condition(deployment, "Progressing") is None or revision > revision_of(fleet.new.replicaset)
        news = status.News("FoundNewReplicaSet", objects.name(fleet.new.replicaset)) if found else status.News()
        wanted = rolling.rolled(fleet, strategy, old_pods=observed.old_pods)
    changes = _resize(deployment, wanted, strategy, revision=revision)
    history = _tidy(deployment, wanted, strategy)
    reported = status.report(deployment, fleet, strategy, news, now=now)
    actions = (
        *claims,
        *changes,
        *history,
        *replace_status(DEPLOYMENT, deployment, reported.status),
        *_annotate(deployment, revision),
    )
    sizes = ", ".join(
        f"{objects.name(entry.replicaset)}: {entry.now} -> {entry.size}"
        for entry in wanted.all
        if entry.size or entry.now
    )
    return Plan(actions, again_seconds=reported.again_seconds, why=sizes)


@dataclass(frozen=True, slots=True)
class _Child:
    """The name and hash that the current template gives."""

    name: str
    hash: str


def _child(deployment: Object) -> _Child:
    template = objects.spec(deployment).get("template") or {}
    hashed = naming.template_hash(plain_template(template), objects.status(deployment).get("collisionCount") or 0)
    return _Child(f"{objects.name(deployment)}-{hashed}", hashed)


def _begin(observed: Observed, fleet: Fleet, strategy: Strategy, claims: tuple[Action, ...], *, now: datetime) -> Plan:
    """No ReplicaSet has the template: make one, with as many replicas as there is room for."""
    deployment, child = observed.deployment, _child(observed.deployment)
    if child.name in observed.taken:
        # Something else bears the name. Count the collision, and the next pass derives another one.
        reported = status.report(deployment, fleet, strategy, status.News(collisions=1), now=now)
        return Plan((*claims, *replace_status(DEPLOYMENT, deployment, reported.status)), why=f"{child.name} is taken")
    revision = 1 + max((revision_of(entry.replicaset) for entry in fleet.old), default=0)
    obj = _replicaset(deployment, child, strategy, revision=revision)
    if strategy.recreate:
        size = 0 if observed.old_pods or any(entry.size for entry in fleet.old) else strategy.replicas
    else:
        size = max(0, min(strategy.replicas, strategy.most_pods - fleet.total))
    obj["spec"]["replicas"] = size
    old = rolling.rolled(Fleet(fleet.old, Sized(obj, 0)), strategy, old_pods=True).old if strategy.recreate else ()
    news = status.News("NewReplicaSetCreated", child.name)
    reported = status.report(deployment, fleet, strategy, news, now=now)
    actions = (
        *claims,
        *_resize(deployment, Fleet(old, None), strategy, revision=0),
        Create(REPLICA_SET, obj),
        Say(deployment, "Normal", "ScalingReplicaSet", f"Scaled up replica set {child.name} from 0 to {size}"),
        *replace_status(DEPLOYMENT, deployment, reported.status),
        *_annotate(deployment, revision),
    )
    return Plan(actions, again_seconds=reported.again_seconds, why=f"new template, revision {revision}")


def _replicaset(deployment: Object, child: _Child, strategy: Strategy, *, revision: int) -> Object:
    spec = objects.spec(deployment)
    template = objects.deep_copy(spec.get("template") or {})
    labels = {**objects.labels(template), HASH_LABEL: child.hash}
    template["metadata"] = {**objects.metadata(template), "labels": labels}
    selector = objects.deep_copy(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: child.hash}
    body: dict[str, Any] = {"selector": selector, "template": template}
    if strategy.min_ready_seconds:
        body["minReadySeconds"] = strategy.min_ready_seconds
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": child.name,
            "namespace": objects.namespace(deployment),
            "labels": labels,
            "annotations": _copied(deployment) | _sizes(strategy) | {REVISION: str(revision)},
            "ownerReferences": [objects.owner_reference(deployment)],
        },
        "spec": body,
    }


def _claim(deployment: Object, candidates: tuple[Object, ...]) -> tuple[tuple[Object, ...], tuple[Action, ...]]:
    """The ReplicaSets that are ours; adopts orphans that the selector matches, releases those it no longer does."""
    selector = selectors.from_object(objects.spec(deployment).get("selector"))
    ours: list[Object] = []
    actions: list[Action] = []
    for replicaset in candidates:
        matches = selector.matches(objects.labels(replicaset))
        owners = objects.owner_references(replicaset)
        if objects.is_controlled_by(replicaset, deployment):
            if matches:
                ours.append(replicaset)
            else:
                actions.append(_set_owners(replicaset, [r for r in owners if r.get("uid") != objects.uid(deployment)]))
        elif matches and objects.controller_of(replicaset) is None and not objects.is_deleting(replicaset):
            if objects.is_deleting(deployment):
                continue
            # The adopting write changes the version, so the set is sized on the next pass.
            actions.append(_set_owners(replicaset, [*owners, objects.owner_reference(deployment)]))
    return tuple(ours), tuple(actions)


def _set_owners(replicaset: Object, owners: list[dict[str, Any]]) -> Patch:
    metadata = {"ownerReferences": owners, "resourceVersion": objects.resource_version(replicaset)}
    return Patch(
        REPLICA_SET,
        objects.namespace(replicaset),
        objects.name(replicaset),
        objects.uid(replicaset),
        {"metadata": metadata},
    )


def _revision(fleet: Fleet) -> int:
    """The new ReplicaSet is always the highest revision; going back to an old template makes it that."""
    assert fleet.new is not None
    highest_old = max((revision_of(entry.replicaset) for entry in fleet.old), default=0)
    return max(revision_of(fleet.new.replicaset), highest_old + 1)


def _copied(deployment: Object) -> dict[str, str]:
    """Annotations that a ReplicaSet takes over, such as `kubernetes.io/change-cause`."""
    return {field: value for field, value in objects.annotations(deployment).items() if field not in _NOT_COPIED}


def _sizes(strategy: Strategy) -> dict[str, str]:
    return {DESIRED: str(strategy.replicas), MAX: str(strategy.most_pods)}


def _resize(deployment: Object, fleet: Fleet, strategy: Strategy, *, revision: int) -> tuple[Action, ...]:
    """Write sizes and annotations where they differ."""
    actions: list[Action] = []
    for entry in fleet.all:
        replicaset = entry.replicaset
        annotations = dict(objects.annotations(replicaset))
        if entry.size > 0 or entry.size != entry.now:
            annotations |= _sizes(strategy)
        spec = dict(objects.spec(replicaset))
        if entry is fleet.new:
            annotations |= _copied(deployment)
            annotations = _with_revision(annotations, revision)
            if int(spec.get("minReadySeconds") or 0) != strategy.min_ready_seconds:
                spec["minReadySeconds"] = strategy.min_ready_seconds
        if entry.size != entry.now:
            spec["replicas"] = entry.size
            up = "up" if entry.size > entry.now else "down"
            message = f"Scaled {up} replica set {objects.name(replicaset)} from {entry.now} to {entry.size}"
            actions.append(Say(deployment, "Normal", "ScalingReplicaSet", message))
        if spec != objects.spec(replicaset) or annotations != objects.annotations(replicaset):
            changed = objects.with_metadata({**replicaset, "spec": spec}, annotations=annotations)
            # The write comes before the words about it.
            at = len(actions) - 1 if entry.size != entry.now else len(actions)
            actions.insert(at, Replace(REPLICA_SET, changed))
    return tuple(actions)


def _with_revision(annotations: dict[str, str], revision: int) -> dict[str, str]:
    before = annotations.get(REVISION)
    if before == str(revision) or revision == 0:
        return annotations
    changed = {**annotations, REVISION: str(revision)}
    if before:
        past = [part for part in annotations.get(REVISION_HISTORY, "").split(",") if part]
        changed[REVISION_HISTORY] = ",".join([*past, before])
    return changed


def _annotate(deployment: Object, revision: int) -> tuple[Action, ...]:
    if revision == 0 or revision_of(deployment) == revision:
        return ()
    patch = {"metadata": {"annotations": {REVISION: str(revision)}}}
    return (Patch(DEPLOYMENT, objects.namespace(deployment), objects.name(deployment), objects.uid(deployment), patch),)


def _tidy(deployment: Object, fleet: Fleet, strategy: Strategy) -> tuple[Action, ...]:
    """Delete the oldest empty ReplicaSets beyond `revisionHistoryLimit` once the rollout is over."""
    if fleet.new is None or fleet.new.available < strategy.replicas or strategy.paused:
        return ()
    limit = objects.spec(deployment).get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    empty = [
        entry.replicaset
        for entry in fleet.old
        if entry.size == 0
        and entry.now == 0
        and not objects.status(entry.replicaset).get("replicas")
        and not objects.is_deleting(entry.replicaset)
    ]
    surplus = sorted(empty, key=revision_of)[: max(0, len(empty) - keep)]
    return tuple(delete(REPLICA_SET, replicaset) for replicaset in surplus)
