"""Two writers that fight over a field, found in the history of its values. Pure.

In: what each field was seen as, check after check, and what we set it to. Out: `Fight`s with the names of those who
write. A person who changes something back once is no fight; a field that comes back to the same wrong value after we
have set it right, twice within `DRIFT_FIGHT_SECONDS`, is. What is in a fight is not corrected until a person decides:
the field would flap for ever. Called by `memory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from iacorch.kit import limits

US = "iacorch"
SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class Flip:
    """At a moment a field turned into the value that `mark` names. `by` is who wrote it; ours are corrections."""

    at: datetime
    mark: str
    by: str = SOMEBODY


@dataclass(frozen=True, slots=True)
class Fight:
    """`flips` changes of one field by the named writers within the time that counts."""

    resource: str
    path: str
    writers: tuple[str, ...]
    flips: int

    def __str__(self) -> str:
        return f"{self.resource} {self.path}: {' and '.join(self.writers)} have changed it {self.flips} times"


def seen_as(history: Sequence[Flip], mark: str, by: str, now: datetime) -> tuple[Flip, ...]:
    """The history after a field was seen with a value: longer only when the value is another one than before."""
    kept = recent(history, now)
    if kept and kept[-1].mark == mark:
        return kept
    return (*kept, Flip(now, mark, by or SOMEBODY))[-limits.DRIFT_FLIPS_KEPT :]


def recent(history: Sequence[Flip], now: datetime) -> tuple[Flip, ...]:
    """What is young enough to count."""
    return tuple(flip for flip in history if (now - flip.at).total_seconds() <= limits.DRIFT_FIGHT_SECONDS)


def find(resource: str, path: str, history: Sequence[Flip], now: datetime) -> Fight | None:
    """The fight in a history: we set the field right, and it went wrong again, often enough."""
    flips = recent(history, now)
    undone = sum(1 for ours, theirs in pairwise(flips) if ours.by == US and theirs.by != US)
    others_flips = _changes_among_others(flips)
    if undone < limits.DRIFT_FIGHT_TURNS and others_flips < 2 * limits.DRIFT_FIGHT_TURNS:
        return None
    return Fight(resource, path, tuple(dict.fromkeys(flip.by for flip in flips)), len(flips))


def _changes_among_others(flips: Sequence[Flip]) -> int:
    """Times a field went back to a value it had before, without us: two others fight; correcting would be a third."""
    theirs = [flip for flip in flips if flip.by != US]
    return sum(1 for at in range(2, len(theirs)) if theirs[at].mark == theirs[at - 2].mark != theirs[at - 1].mark)
