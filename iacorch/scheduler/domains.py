"""Topology domains: nodes that share a label's value (a zone, a rack, a host), and the pods in each.

In: a snapshot, a term of a pod. Out: columns over its rows. Filters and scores that look at other pods ask here.
Nothing is asked in clusters where no pod has such a term.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from iacorch.api import objects
from iacorch.scheduler.pod import PodInfo, PodTerm, SpreadTerm
from iacorch.scheduler.snapshot import Mask, Snapshot


def selects(term: PodTerm, pod: PodInfo) -> bool:
    return pod.namespace in term.namespaces and term.selector.matches(dict(pod.labels))


def hosts(snapshot: Snapshot, term: PodTerm) -> set[str]:
    """Nodes of the pods that a term selects."""
    return {node for other, node in snapshot.placed() if selects(term, other)}


def near(snapshot: Snapshot, key: str, nodes: Iterable[str]) -> Mask | None:
    """Rows in the same domain as one of the nodes; None when no node is known."""
    values = {value for name in nodes if (value := _value(snapshot, name, key)) is not None}
    if not values:
        return None
    rows = np.zeros(len(snapshot.nodes), dtype=np.bool_)
    for name, row in snapshot.rows.items():
        rows[row] = _value(snapshot, name, key) in values
    return rows


def skew(pod: PodInfo, term: SpreadTerm, snapshot: Snapshot, eligible: Mask) -> dict[int, int]:
    """By row: how many more pods its domain would have than the emptiest one, with `pod` there. Rows without the label
    are not in it. `eligible`: rows that the pod may use at all; only their domains count."""
    values = {row: value for name, row in snapshot.rows.items() if (value := _value(snapshot, name, term.topology_key))}
    counts = Counter({value: 0 for row, value in values.items() if eligible[row]})
    for other, name in snapshot.placed():
        if other.namespace == pod.namespace and term.selector.matches(dict(other.labels)) and other.uid != pod.uid:
            value = _value(snapshot, name, term.topology_key)
            if value is not None and value in counts:
                counts[value] += 1
    emptiest = min(counts.values(), default=0) if len(counts) >= term.min_domains else 0
    itself = int(term.selector.matches(dict(pod.labels)))
    return {row: counts[value] + itself - emptiest for row, value in values.items() if value in counts}


def _value(snapshot: Snapshot, name: str, key: str) -> str | None:
    row = snapshot.rows.get(name)
    node = snapshot.nodes[row] if row is not None else None
    return objects.labels(node).get(key) if node is not None else None
