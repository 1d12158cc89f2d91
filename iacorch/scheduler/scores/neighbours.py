"""Scores by the pods that are there already: preferred pod affinity and anti-affinity, spread that may fail."""

from __future__ import annotations

import numpy as np

from iacorch.scheduler import domains
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot


class PreferredNeighbours:
    """50 where no preference holds; the weights of those that hold, of all, lift it to 100 or lower it to 0.

    What placed pods would rather have near them is not asked.
    """

    name = "PreferredNeighbours"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        if not pod.preferred_pods:
            return None
        column = np.zeros(len(snapshot.nodes), dtype=np.float64)
        for weight, term in pod.preferred_pods:
            near = domains.near(snapshot, term.topology_key, domains.hosts(snapshot, term))
            if near is not None:
                column += weight * near
        return 50.0 + 50.0 * column / max(1, sum(abs(weight) for weight, _ in pod.preferred_pods))


class PreferredSpread:
    """Topology spread constraints with ScheduleAnyway: each pod beyond what is allowed halves the score."""

    name = "PreferredSpread"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        terms = [term for term in pod.spread if not term.is_required]
        if not terms:
            return None
        column = np.zeros(len(snapshot.nodes), dtype=np.float64)
        for term in terms:
            for row, by in domains.skew(pod, term, snapshot, snapshot.present).items():
                column[row] += 100.0 / 2.0 ** min(30, max(0, by - term.max_skew)) / len(terms)
        return column
