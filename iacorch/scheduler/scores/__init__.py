"""Scores: which of the nodes that can run a pod is best.

Each score gives every row 0 to 100, 100 being best, in absolute terms: no row's score depends on another row. `Profile`
weighs them. Ties are broken by a hash in `plan`, so that equal nodes fill evenly without a random number.
"""

from __future__ import annotations

from dataclasses import dataclass

from iacorch.scheduler.scores.allocation import Allocation, LeastAllocated, MostAllocated
from iacorch.scheduler.scores.contract import Score
from iacorch.scheduler.scores.neighbours import PreferredNeighbours, PreferredSpread
from iacorch.scheduler.scores.preferences import PreferredNodes, PreferredTaints
from iacorch.scheduler.scores.spread import WorkloadSpread

__all__ = ["DEFAULT", "PACKING", "PROFILES", "Allocation", "Profile", "Score"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Scores with their weights."""

    scores: tuple[tuple[int, Score], ...]


_PREFERRED = ((2, PreferredNodes()), (3, PreferredTaints()), (2, PreferredNeighbours()), (2, PreferredSpread()))
DEFAULT = Profile(((2, WorkloadSpread()), (1, LeastAllocated()), *_PREFERRED))
"""Spread first: a workload should survive the loss of a node."""
PACKING = Profile(((1, WorkloadSpread()), (2, MostAllocated()), *_PREFERRED))
"""Fill nodes one after the other, so that empty ones can be given back."""
PROFILES = {"spread": DEFAULT, "pack": PACKING}
"""By the name that people choose one with."""
