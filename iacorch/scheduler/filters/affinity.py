"""Required pod affinity and anti-affinity, in both directions.

Nothing is asked of clusters where nobody uses it. A pod that must be near its own kind may start the group, as in
Kubernetes: when no placed pod matches a term that the pod itself matches, the term holds everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from iacorch.api import objects
from iacorch.scheduler.filters.contract import Change
from iacorch.scheduler.pod import PodInfo, PodTerm
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot


class InterPodAffinity:
    """See the module docstring."""

    name = "InterPodAffinity"
    woken_by = Change.NODE | Change.POD_GONE | Change.POD_PLACED

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        repelled = [
            (term, node) for other, node in snapshot.repelling for term in other.anti_affinity if _selects(term, pod)
        ]
        if not (pod.affinity or pod.anti_affinity or repelled):
            return None
        allowed = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for term in pod.affinity:
            near = self._rows(snapshot, term, self._hosts(snapshot, term))
            if near is None:
                if not _selects(term, pod):
                    return np.zeros(len(snapshot.nodes), dtype=np.bool_)
                near = _has_label(snapshot, term.topology_key)
            allowed &= near
        for term in pod.anti_affinity:
            near = self._rows(snapshot, term, self._hosts(snapshot, term))
            if near is not None:
                allowed &= ~near
        for term, node in repelled:
            near = self._rows(snapshot, term, (node,))
            if near is not None:
                allowed &= ~near
        return allowed

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        if pod.affinity:
            return {"node(s) didn't match pod affinity rules": len(rows)}
        if pod.anti_affinity:
            return {"node(s) didn't match pod anti-affinity rules": len(rows)}
        return {"node(s) didn't satisfy existing pods anti-affinity rules": len(rows)}

    def _hosts(self, snapshot: Snapshot, term: PodTerm) -> set[str]:
        return {node for other, node in snapshot.placed() if _selects(term, other)}

    def _rows(self, snapshot: Snapshot, term: PodTerm, hosts: Iterable[str]) -> Mask | None:
        """Rows in the same topology domain as one of the hosts; None when no host is known."""
        values = set()
        for host in hosts:
            row = snapshot.rows.get(host)
            node = snapshot.nodes[row] if row is not None else None
            if node is not None and (value := objects.labels(node).get(term.topology_key)) is not None:
                values.add(value)
        if not values:
            return None
        near = np.zeros(len(snapshot.nodes), dtype=np.bool_)
        for row in snapshot.rows.values():
            node = snapshot.nodes[row]
            near[row] = node is not None and objects.labels(node).get(term.topology_key) in values
        return near


def _selects(term: PodTerm, pod: PodInfo) -> bool:
    return pod.namespace in term.namespaces and term.selector.matches(dict(pod.labels))


def _has_label(snapshot: Snapshot, key: str) -> Mask:
    return snapshot.mask(("has-label", key), lambda node: key in objects.labels(node))
