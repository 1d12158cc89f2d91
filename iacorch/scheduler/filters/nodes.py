"""Filters that ask a node about itself: cordoned, ready, taints, selectors and affinity.

Each is a column of the snapshot, computed once for each different question and kept up to date row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values.tolerations import tolerates
from iacorch.scheduler.filters.contract import Change
from iacorch.scheduler.pod import NodeTerm, PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
Toleration = tuple[tuple[str, str], ...]


class NodeUnschedulable:
    """Cordoned nodes, unless the pod tolerates that."""

    name = "NodeUnschedulable"
    woken_by = Change.NODE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        taint = {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}
        if any(tolerates(dict(toleration), taint) for toleration in pod.tolerations):
            return None
        return snapshot.mask(self.name, _is_schedulable)

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        return {"node(s) were unschedulable": len(rows)}


class NodeReady:
    """Nodes whose agent says that it is ready. A pod that tolerates everything may go anywhere."""

    name = "NodeReady"
    woken_by = Change.NODE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if any(not dict(entry).get("key") and dict(entry).get("operator") == "Exists" for entry in pod.tolerations):
            return None
        return snapshot.mask(self.name, _is_ready)

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        return {"node(s) were not ready": len(rows)}


class TaintToleration:
    """Taints NoSchedule and NoExecute that the pod does not tolerate."""

    name = "TaintToleration"
    woken_by = Change.NODE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        tolerations = tuple(dict(entry) for entry in pod.tolerations)

        def passes(node: Object) -> bool:
            return untolerated(node, tolerations) is None

        return snapshot.mask((self.name, pod.tolerations), passes)

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        tolerations = tuple(dict(entry) for entry in pod.tolerations)
        reasons: Counter[str] = Counter()
        for row in rows:
            taint = untolerated(snapshot.nodes[row] or {}, tolerations) or {}
            reasons[f"node(s) had untolerated taint {{{taint.get('key', '')}: {taint.get('value', '')}}}"] += 1
        return reasons


class NodeAffinity:
    """`nodeSelector` and the required node affinity."""

    name = "NodeAffinity"
    woken_by = Change.NODE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if not pod.node_selector and pod.required_nodes is None:
            return None
        selector, terms = dict(pod.node_selector), pod.required_nodes

        def passes(node: Object) -> bool:
            labels = objects.labels(node)
            if not selector.items() <= labels.items():
                return False
            return terms is None or any(matches(term, node) for term in terms)

        return snapshot.mask((self.name, pod.node_selector, terms), passes)

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        return {"node(s) didn't match Pod's node affinity/selector": len(rows)}


def matches(term: NodeTerm, node: Object) -> bool:
    """Whether a node affinity term selects a node."""
    if (term.names is not None and objects.name(node) not in term.names) or objects.name(node) in term.barred:
        return False
    return term.selector.matches(objects.labels(node))


def untolerated(
    node: Object,
    tolerations: tuple[Mapping[str, str], ...],
    effects: tuple[str, ...] = ("NoSchedule", "NoExecute"),
) -> dict[str, Any] | None:
    """The first taint of these effects that nothing tolerates."""
    for taint in objects.spec(node).get("taints") or ():
        if taint.get("effect") in effects and not any(tolerates(entry, taint) for entry in tolerations):
            return dict(taint)
    return None


def _is_schedulable(node: Object) -> bool:
    return not objects.spec(node).get("unschedulable")


def _is_ready(node: Object) -> bool:
    return objects.condition_is(node, "Ready")
