"""Pods that wait for a node: those to try now, by priority and arrival, and those that wait for a change.

In: pods as they come, verdicts on them, changes of the cluster. Out: `pop`, the next pod to try. Used by `loop`; no
I/O, no clock, no task of its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from iacorch.scheduler.filters import Change
from iacorch.scheduler.pod import PodInfo


class SchedulingQueue:
    """Bounded by the number of pods that wait."""

    def __init__(self) -> None:
        self._active: list[tuple[int, int, str]] = []
        self._pods: dict[str, PodInfo] = {}
        self._queued: set[str] = set()
        self._waiting: dict[str, Change] = {}
        self._arrivals: dict[str, int] = {}
        self._counter = 0

    def add(self, pod: PodInfo) -> None:
        """Try `pod`; a changed pod that is known keeps its place in line."""
        self._pods[pod.uid] = pod
        self._waiting.pop(pod.uid, None)
        if pod.uid not in self._arrivals:
            self._counter += 1
            self._arrivals[pod.uid] = self._counter
        if pod.uid not in self._queued:
            self._queued.add(pod.uid)
            heapq.heappush(self._active, (-pod.priority, self._arrivals[pod.uid], pod.uid))

    def park(self, pod: PodInfo, woken_by: Change) -> None:
        """`pod` fits nowhere; try it again after one of these changes."""
        if pod.uid in self._pods and pod.uid not in self._queued:
            self._waiting[pod.uid] = woken_by

    def forget(self, uid: str) -> None:
        """The pod is bound or gone."""
        self._pods.pop(uid, None)
        self._waiting.pop(uid, None)
        self._arrivals.pop(uid, None)
        self._queued.discard(uid)

    def changed(self, change: Change) -> bool:
        """The cluster changed: whether that puts anything back in line."""
        woken = [uid for uid, woken_by in self._waiting.items() if woken_by & change]
        for uid in woken:
            self.add(self._pods[uid])
        return bool(woken)

    def pop(self) -> PodInfo | None:
        """The pod of the highest priority that has waited longest; None when nothing is to be tried."""
        while self._active:
            _, _, uid = heapq.heappop(self._active)
            if uid in self._queued:
                self._queued.discard(uid)
                return self._pods[uid]
        return None

    def known(self, uid: str) -> PodInfo | None:
        return self._pods.get(uid)

    @property
    def parked(self) -> Iterator[PodInfo]:
        return (self._pods[uid] for uid in self._waiting)

    def __len__(self) -> int:
        return len(self._queued)
