"""Scores by how full a node would be: the emptier the better, or the fuller the better."""

from __future__ import annotations

import numpy as np

from iacorch.scheduler.pod import CPU, MEMORY, PodInfo
from iacorch.scheduler.snapshot import BALANCED, Column, Snapshot

_ASSUMED = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What a pod that asks for nothing is taken to need, as in Kubernetes, so that such pods spread too."""


class Allocation:
    """The mean over cpu and memory of the fraction that would be used."""

    def fraction(self, pod: PodInfo, snapshot: Snapshot) -> Column:
        requests = dict(pod.requests)
        cpu, memory = (
            (snapshot.used(resource) + (requests.get(resource) or _ASSUMED[resource])) * snapshot.per_unit(resource)
            for resource in BALANCED
        )
        return (cpu + memory) * 0.5


class LeastAllocated(Allocation):
    name = "LeastAllocated"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        return np.floor(100.0 - self.fraction(pod, snapshot) * 100.0)


class MostAllocated(Allocation):
    name = "MostAllocated"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        return np.floor(self.fraction(pod, snapshot) * 100.0)
