"""Topology spread constraints that must hold (whenUnsatisfiable: DoNotSchedule).

Source: KEP-895, KEP-3022 (minDomains). Only domains with a node that the pod's own selectors allow are counted, as is
Kubernetes' default.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iacorch.scheduler.domains import skew
from iacorch.scheduler.filters.contract import Change
from iacorch.scheduler.filters.nodes import NodeAffinity
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot

_RULES = "node(s) didn't match pod topology spread constraints"


class TopologySpread:
    """See the module docstring."""

    name = "PodTopologySpread"
    woken_by = Change.NODE | Change.POD_GONE | Change.POD_PLACED

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        terms = [term for term in pod.spread if term.is_required]
        if not terms:
            return None
        chosen = NodeAffinity().check(pod, snapshot)
        eligible = snapshot.present if chosen is None else snapshot.present & chosen
        allowed = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for term in terms:
            fits = np.zeros(len(snapshot.nodes), dtype=np.bool_)
            for row, by in skew(pod, term, snapshot, eligible).items():
                fits[row] = by <= term.max_skew
            allowed &= fits
        return allowed

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        keys = [term.topology_key for term in pod.spread if term.is_required]
        without = 0
        for row in rows:
            node = snapshot.nodes[int(row)]
            labels = (node or {}).get("metadata", {}).get("labels") or {}
            without += any(key not in labels for key in keys)
        reasons = {f"{_RULES} (missing required label)": without, _RULES: len(rows) - without}
        return {reason: count for reason, count in reasons.items() if count}
