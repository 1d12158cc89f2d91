"""What forbids to disturb pods: annotations, pods that nobody would make again, PodDisruptionBudgets.

In: budgets as the API has them. Out: why a machine must be left alone. Used by `disruption`; draining asks the server
again for each pod (evictions), so this is only so as not to begin what cannot be finished. Pure but for its own count
of what one look at the fleet has already used up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.api.values.selectors import LabelSelector
from iacorch.provision.pools.words import KEEP
from iacorch.scheduler.pod import PodInfo


@dataclass(slots=True)
class _Budget:
    namespace: str
    name: str
    selector: LabelSelector
    left: int

    def covers(self, pod: PodInfo) -> bool:
        return pod.namespace == self.namespace and self.selector.matches(dict(pod.labels))


class Guard:
    """Made for one look at the fleet."""

    def __init__(self, budgets: Iterable[Object] = ()) -> None:
        self._budgets = [
            _Budget(
                objects.namespace(budget),
                objects.name(budget),
                selectors.from_object(objects.spec(budget).get("selector")),
                int(objects.status(budget).get("disruptionsAllowed") or 0),
            )
            for budget in budgets
        ]

    def blocks(self, node: Object | None, pods: Sequence[PodInfo]) -> str | None:
        """Why these pods must not be moved off this node now; None when they may."""
        if node is not None and objects.annotations(node).get(KEEP) == "true":
            return f"node {objects.name(node)} asks not to be disrupted"
        for pod in pods:
            if objects.annotations(pod.pod).get(KEEP) == "true":
                return f"pod {pod.namespace}/{pod.name} asks not to be disrupted"
            if not pod.workload:
                return f"nobody would make pod {pod.namespace}/{pod.name} again"
        for budget in self._budgets:
            count = sum(budget.covers(pod) for pod in pods)
            if count > budget.left:
                return f"budget {budget.namespace}/{budget.name} allows {budget.left} disruptions, {count} are needed"
        return None

    def spend(self, pods: Iterable[PodInfo]) -> None:
        """These pods are going to be moved."""
        for pod in pods:
            for budget in self._budgets:
                if budget.covers(pod):
                    budget.left -= 1
