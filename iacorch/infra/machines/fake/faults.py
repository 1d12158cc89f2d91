"""How the fake cloud fails: by rates, for simulations, and by script, for one test row. Pure data.

A script is a queue per operation of the cloud's API (`run`, `describe`, `list`, `terminate`, `tag`, `power`,
`console`): its next entry decides the next call, `Fault.NONE` lets one pass. Rates are fractions of calls, drawn from
the cloud's `Ids`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """What happens to one call."""

    NONE = "none"
    THROTTLE = "throttle"
    LOSE_REQUEST = "lose-request"
    """It never arrives; the caller hears nothing."""
    LOSE_ANSWER = "lose-answer"
    """It is carried out; the caller hears nothing."""
    HALF_ANSWER = "half-answer"
    """It is carried out; the answer breaks off in the middle and cannot be read."""
    NO_CAPACITY = "no-capacity"


@dataclass(slots=True)
class Faults:
    """What goes wrong, and how slow things are. Change it while the cloud runs."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    script: dict[str, deque[Fault]] = field(default_factory=dict)
    never_boot_rate: float = 0.0
    break_rate: float = 0.0
    latency_seconds: float = 0.05
    visible_after_seconds: float = 0.0
    """Until what was made is found by `describe` and `list`."""
    boot_seconds: float = 20.0
    delete_seconds: float = 5.0
    dry: set[tuple[str, str, str]] = field(default_factory=set)
    """Keys of offerings (instance type, zone, capacity type) of which there are none now."""
    brittle: set[tuple[str, str, str]] = field(default_factory=set)
    """Keys of offerings whose machines break where others begin to run."""

    def then(self, operation: str, *faults: Fault) -> None:
        """Script the next calls of one operation."""
        self.script.setdefault(operation, deque()).extend(faults)

    def next(self, operation: str, fraction: float) -> Fault:
        """What happens to this call; `fraction` in [0, 1) decides between the rates."""
        if waiting := self.script.get(operation):
            return waiting.popleft()
        for fault, rate in self.rates.items():
            if fraction < rate:
                return fault
            fraction -= rate
        return Fault.NONE


@dataclass(slots=True)
class Quotas:
    """What the account may have at once. None: no bound."""

    machines: int | None = None
    cores: int | None = None
    calls_per_second: int | None = None
