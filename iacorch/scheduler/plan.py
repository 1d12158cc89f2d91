"""One decision: where a pod goes, or why it goes nowhere.

In: a `PodInfo` and a `Snapshot`. Out: a `Placement`, or `Unschedulable` with a count for each reason. Called by `loop`
and by `benchmarks/scheduler`. Pure: the same input gives the same node; between equal nodes a hash of pod and node
decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from iacorch.scheduler import filters, scores
from iacorch.scheduler.filters import Change
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot


@dataclass(frozen=True, slots=True)
class Placement:
    """The node, and its score among those that fit."""

    node: str
    score: float
    fitting: int


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """How many nodes refused for which reason, and which changes may help."""

    nodes: int
    reasons: tuple[tuple[str, int], ...]
    woken_by: Change

    @property
    def message(self) -> str:
        """As Kubernetes words it: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
        if not self.nodes:
            return "0/0 nodes are available: no nodes available to schedule pods"
        parts = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons))
        return f"0/{self.nodes} nodes are available: {parts}."


def plan(pod: PodInfo, snapshot: Snapshot, profile: scores.Profile = scores.DEFAULT) -> Placement | Unschedulable:
    """Filter, score, choose."""
    fitting = snapshot.present
    checks: list[tuple[filters.Filter, Mask]] = []
    for entry in filters.ALL:
        if (mask := entry.check(pod, snapshot)) is not None:
            fitting = fitting & mask
            checks.append((entry, mask))
    count = int(np.count_nonzero(fitting))
    if not count:
        return _explained(pod, snapshot, checks)
    total = np.zeros(len(snapshot.nodes), dtype=np.float64)
    for weight, score in profile.scores:
        if (column := score.score(pod, snapshot)) is not None:
            total += weight * column
    total[~fitting] = -1.0
    best = float(total.max())
    row = _tied(pod, snapshot, np.flatnonzero(total == best))
    node = snapshot.nodes[row]
    assert node is not None
    return Placement(node["metadata"]["name"], best, count)


def _tied(pod: PodInfo, snapshot: Snapshot, rows: Rows) -> int:
    """One of equally good rows: the one whose hash, mixed with the pod's, is the smallest."""
    if len(rows) == 1:
        return int(rows[0])
    mine = np.uint64(int.from_bytes(hashlib.sha256(pod.uid.encode()).digest()[:8], "big") | 1)
    return int(rows[np.argmin(snapshot.tie[rows] * mine)])


def _explained(pod: PodInfo, snapshot: Snapshot, checks: list[tuple[filters.Filter, Mask]]) -> Unschedulable:
    reasons: Counter[str] = Counter()
    woken_by = Change.NODE
    left = snapshot.present.copy()
    for entry, mask in checks:
        refused = np.flatnonzero(left & ~mask)
        if len(refused):
            reasons.update(entry.explain(pod, snapshot, refused))
            woken_by |= entry.woken_by
        left &= mask
    return Unschedulable(int(np.count_nonzero(snapshot.present)), tuple(sorted(reasons.items())), woken_by)
