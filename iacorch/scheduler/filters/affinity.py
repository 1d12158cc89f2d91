"""Required pod affinity and anti-affinity, in both directions.

Nothing is asked of clusters where nobody uses it. A pod that must be near its own kind may start the group, as in
Kubernetes: when no placed pod matches a term that the pod itself matches, the term holds everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iacorch.api import objects
from iacorch.scheduler.domains import hosts, near, selects
from iacorch.scheduler.filters.contract import Change
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot


class InterPodAffinity:
    """See the module docstring."""

    name = "InterPodAffinity"
    woken_by = Change.NODE | Change.POD_GONE | Change.POD_PLACED

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        repelled = [
            (term, node) for other, node in snapshot.repelling for term in other.anti_affinity if selects(term, pod)
        ]
        if not (pod.affinity or pod.anti_affinity or repelled):
            return None
        allowed = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for term in pod.affinity:
            rows = near(snapshot, term.topology_key, hosts(snapshot, term))
            if rows is None:
                if not selects(term, pod):
                    return np.zeros(len(snapshot.nodes), dtype=np.bool_)
                rows = _has_label(snapshot, term.topology_key)
            allowed &= rows
        for term in pod.anti_affinity:
            rows = near(snapshot, term.topology_key, hosts(snapshot, term))
            if rows is not None:
                allowed &= ~rows
        for term, node in repelled:
            rows = near(snapshot, term.topology_key, (node,))
            if rows is not None:
                allowed &= ~rows
        return allowed

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        if pod.affinity:
            return {"node(s) didn't match pod affinity rules": len(rows)}
        if pod.anti_affinity:
            return {"node(s) didn't match pod anti-affinity rules": len(rows)}
        return {"node(s) didn't satisfy existing pods anti-affinity rules": len(rows)}


def _has_label(snapshot: Snapshot, key: str) -> Mask:
    return snapshot.mask(("has-label", key), lambda node: key in objects.labels(node))
