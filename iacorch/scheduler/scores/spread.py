"""Spreads the pods of one workload over nodes: each one that is there already halves the score."""

from __future__ import annotations

import numpy as np

from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot


class WorkloadSpread:
    name = "WorkloadSpread"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        if not pod.workload:
            return None
        counts = snapshot.workload_counts(pod.workload)
        if not counts:
            return None
        column = np.full(len(snapshot.nodes), 100.0)
        for node, count in counts.items():
            if (row := snapshot.rows.get(node)) is not None:
                column[row] = 100.0 / 2.0 ** min(count, 30)
        return column
