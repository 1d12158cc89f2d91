"""Scores by what a pod or a node would rather have: preferred node affinity, taints PreferNoSchedule."""

from __future__ import annotations

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values.tolerations import tolerates
from iacorch.scheduler.filters.nodes import matches
from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot


class PreferredNodes:
    """The weights of the terms that a node matches, of all the weights."""

    name = "PreferredNodes"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        terms = pod.preferred_nodes
        if not terms:
            return None
        whole = sum(weight for weight, _ in terms)

        def preferred(node: Object) -> float:
            return 100.0 * sum(weight for weight, term in terms if matches(term, node)) / max(1, whole)

        return snapshot.column((self.name, terms), preferred)


class PreferredTaints:
    """Halved for each PreferNoSchedule taint that is not tolerated."""

    name = "PreferredTaints"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        tolerations = [dict(entry) for entry in pod.tolerations]

        def preferred(node: Object) -> float:
            taints = objects.spec(node).get("taints") or ()
            against = [taint for taint in taints if taint.get("effect") == "PreferNoSchedule"]
            refused = [taint for taint in against if not any(tolerates(entry, taint) for entry in tolerations)]
            return 100.0 / 2.0 ** len(refused)

        return snapshot.column((self.name, pod.tolerations), preferred)
