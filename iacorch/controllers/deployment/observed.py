"""What a Deployment's decisions look at: its ReplicaSets, sorted out, and the numbers of its strategy.

In: dicts. Out: `Observed` (what the edge collects) and `Fleet` (old and new ReplicaSets with the wanted sizes so far).
Used by every module of this folder; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import intstr

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class Observed:
    """`replicasets`: those it controls or could adopt, in its namespace. `old_pods`: pods of its older ReplicaSets that
    are not over (needed by Recreate). `taken`: ReplicaSets that bear a name it might want, but are not its own."""

    deployment: Object
    replicasets: tuple[Object, ...]
    old_pods: bool = False
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Strategy:
    """The wish in numbers."""

    replicas: int
    recreate: bool
    max_surge: int
    max_unavailable: int
    min_ready_seconds: int
    paused: bool

    @property
    def most_pods(self) -> int:
        """Never more than this exist at once, not counting those that are ending."""
        return self.replicas + self.max_surge if self.replicas else 0

    @property
    def fewest_available(self) -> int:
        """Never fewer than this are available, as far as it is up to the rollout."""
        return self.replicas - self.max_unavailable


def strategy_of(deployment: Object) -> Strategy:
    """Percentages are of `replicas`: surge rounds up, unavailability down; both zero means one may be unavailable."""
    spec = objects.spec(deployment)
    replicas = 1 if spec.get("replicas") is None else int(spec["replicas"])
    strategy = spec.get("strategy") or {}
    recreate = strategy.get("type") == "Recreate"
    rolling = strategy.get("rollingUpdate") or {}
    surge = unavailable = 0
    if not recreate:
        surge = intstr.scaled(rolling.get("maxSurge", "25%"), replicas, round_up=True)
        unavailable = intstr.scaled(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
        if surge == 0 and unavailable == 0:
            unavailable = 1
    return Strategy(
        replicas,
        recreate,
        surge,
        min(unavailable, replicas),
        int(spec.get("minReadySeconds") or 0),
        bool(spec.get("paused")),
    )


@dataclass(frozen=True, slots=True)
class Sized:
    """A ReplicaSet and the size it is going to have: the size it has, until a decision changes it."""

    replicaset: Object
    size: int

    @property
    def now(self) -> int:
        return size_of(self.replicaset)

    @property
    def available(self) -> int:
        """A status may be older than a scale-down: no more than `size` can be counted on."""
        return min(int(objects.status(self.replicaset).get("availableReplicas") or 0), self.size)

    def sized(self, size: int) -> Sized:
        return replace(self, size=size)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Old ReplicaSets, oldest first, and the one of the current template (None when there is none yet)."""

    old: tuple[Sized, ...]
    new: Sized | None

    @property
    def all(self) -> tuple[Sized, ...]:
        return (*self.old, self.new) if self.new is not None else self.old

    @property
    def total(self) -> int:
        return sum(entry.size for entry in self.all)


def size_of(replicaset: Object) -> int:
    value = objects.spec(replicaset).get("replicas")
    return 1 if value is None else int(value)


def plain_template(template: dict[str, Any]) -> dict[str, Any]:
    """Without the hash label: what the Deployment itself would say."""
    labels = objects.labels(template)
    if HASH_LABEL not in labels:
        return template
    kept = {field: value for field, value in labels.items() if field != HASH_LABEL}
    metadata = {field: value for field, value in objects.metadata(template).items() if field != "labels"}
    return {**template, "metadata": metadata | ({"labels": kept} if kept else {})}


def same_template(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Equal but for the hash label and empty metadata."""

    def normal(template: dict[str, Any]) -> tuple[Any, ...]:
        plain = plain_template(template)
        metadata = {field: value for field, value in objects.metadata(plain).items() if value}
        return metadata, plain.get("spec")

    return normal(left) == normal(right)


def age(replicaset: Object) -> tuple[str, str]:
    """Sorts oldest first."""
    return str(objects.metadata(replicaset).get("creationTimestamp", "")), objects.name(replicaset)


def fleet_of(deployment: Object, owned: tuple[Object, ...]) -> Fleet:
    """The oldest ReplicaSet with the current template is the new one; all others are old."""
    template = objects.spec(deployment).get("template") or {}
    by_age = sorted(owned, key=age)
    new = next((rs for rs in by_age if same_template(objects.spec(rs).get("template") or {}, template)), None)
    old = tuple(Sized(rs, size_of(rs)) for rs in by_age if rs is not new)
    return Fleet(old, Sized(new, size_of(new)) if new is not None else None)


def revision_of(obj: Object) -> int:
    try:
        return int(objects.annotations(obj).get(REVISION, "0"))
    except ValueError:
        return 0
