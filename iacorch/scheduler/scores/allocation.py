"""Scores by how full a node would be: the emptier the better, or the fuller the better."""

from __future__ import annotations

import numpy as np

from iacorch.scheduler.pod import CPU, MEMORY, PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot

_ASSUMED = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What a pod that asks for nothing is taken to need, as in Kubernetes, so that such pods spread too."""


class Allocation:
    """The mean over cpu and memory of the fraction that would be used."""

    def fraction(self, pod: PodInfo, snapshot: Snapshot) -> Column:
        requests = dict(pod.requests)
        total = np.zeros(len(snapshot.nodes), dtype=np.float64)
        for resource in (CPU, MEMORY):
            wanted = requests.get(resource) or _ASSUMED[resource]
            allocatable = np.maximum(snapshot.allocatable(resource), 1)
            total += np.minimum((snapshot.used(resource) + wanted) / allocatable, 1.0)
        return total / 2


class LeastAllocated(Allocation):
    name = "LeastAllocated"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        return np.floor((1.0 - self.fraction(pod, snapshot)) * 100)


class MostAllocated(Allocation):
    name = "MostAllocated"

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        return np.floor(self.fraction(pod, snapshot) * 100)
