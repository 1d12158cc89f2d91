"""What a filter is. See the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Protocol

from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot


class Change(Flag):
    """What may happen in the cluster that makes an unplaced pod fit."""

    NODE = auto()
    """A node came, or its labels, taints, readiness or allocatable changed."""
    POD_GONE = auto()
    """A placed pod is gone: its resources and ports are free, and nobody keeps away from it."""
    POD_PLACED = auto()
    """A pod was placed that others may want to be near."""


class Filter(Protocol):
    """Stateless."""

    @property
    def name(self) -> str: ...

    @property
    def woken_by(self) -> Change: ...

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """True for rows that pass; None when all do. Rows without a node may say anything."""
        ...

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        """Why these rows were refused: how many for which reason, in Kubernetes' words, which follow the count."""
        ...
