"""What a score is. See the package's docstring."""

from __future__ import annotations

from typing import Protocol

from iacorch.scheduler.pod import PodInfo
from iacorch.scheduler.snapshot import Column, Snapshot


class Score(Protocol):
    """Stateless."""

    @property
    def name(self) -> str: ...

    def score(self, pod: PodInfo, snapshot: Snapshot) -> Column | None:
        """0 to 100 for each row; None when all rows are equal."""
        ...
