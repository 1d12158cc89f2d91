"""Spreads the pods of one workload over nodes: each one that is there already halves the score."""

from __future__ import annotations

import numpy as np

from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot

_HALVINGS: Column = 100.0 / np.exp2(np.arange(31, dtype=np.float64))


class WorkloadSpread:
    name = "WorkloadSpread"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        if not pod.workload:
            return None
        counts = snapshot.workload_spread(pod.workload)
        return _HALVINGS[np.minimum(counts, len(_HALVINGS) - 1)] if counts is not None else None
