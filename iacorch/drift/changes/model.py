"""A plan as a value: what would happen on each layer, what it costs, and on what it was based. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from iacorch.drift.model import Layer
from iacorch.infra.machines.contract import HOURS_PER_MONTH, MICROS_PER_UNIT


class Verb(StrEnum):
    """What happens to one thing, from harmless to not."""

    IMPORT = "import"
    CREATE = "create"
    CHANGE = "change"
    MOVE = "move"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. `micros_per_hour` is what it adds to the bill, None where no price is known.

    `data` says what is lost for good, where that is so. `details` are differences, secrets hidden; that of a long text
    has several lines.
    """

    layer: Layer
    verb: Verb
    kind: str
    name: str
    stack: str = ""
    details: tuple[str, ...] = ()
    micros_per_hour: int | None = 0
    data: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """Something the plan was based on: what it is called, its fingerprint, and words for people."""

    name: str
    fingerprint: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` in the order machine, node, workload. `stacks` are those that will be brought up, in order."""

    made_at: str
    stacks: tuple[str, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Input, ...]
    notes: tuple[str, ...] = ()
    refreshed: Mapping[str, int] = field(default_factory=dict)
    """Stack -> how many resources had drifted when it was made; the plan sets them right, too."""

    @property
    def is_empty(self) -> bool:
        return not self.steps

    @property
    def counts(self) -> dict[tuple[Layer, Verb], int]:
        return dict(Counter((step.layer, step.verb) for step in self.steps))

    @property
    def micros_per_hour(self) -> int:
        """What is known of the change of the bill."""
        return sum(step.micros_per_hour or 0 for step in self.steps)

    @property
    def without_price(self) -> int:
        return sum(step.micros_per_hour is None for step in self.steps)


def per_month(micros_per_hour: int) -> str:
    """`+12.34` a month, in the currency of the price list."""
    return f"{micros_per_hour * HOURS_PER_MONTH / MICROS_PER_UNIT:+,.2f}"
