"""One check, decided: observations in, decisions and the memory after them out. Pure.

The order: fields that a policy ignores and values that were adopted fall away, the memory learns what was seen, then
each observation is decided upon, worst first within the budget of its policy. Called by `check`, by tests and by the
benchmark, all with the same arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from iacorch.drift.decisions.decide import Decision, Outcome, decide
from iacorch.drift.decisions.fights import Fight
from iacorch.drift.decisions.memory import Memory, after_check
from iacorch.drift.decisions.policy import Policies
from iacorch.drift.model import Layer, Observation


@dataclass(frozen=True, slots=True)
class Assessment:
    """Decisions in the order of their keys, the fights that are going on, and what to remember."""

    decisions: tuple[Decision, ...]
    fights: tuple[Fight, ...]
    memory: Memory

    def with_outcome(self, outcome: Outcome) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if d.outcome is outcome)


def assess(
    observations: Iterable[Observation],
    policies: Policies,
    memory: Memory,
    now: datetime,
    *,
    layers: Sequence[Layer] = tuple(Layer),
) -> Assessment:
    """Decide upon every observation of a check that looked at `layers`."""
    seen = sorted((memory.without_adopted(policies.narrowed(o)) for o in observations), key=lambda o: o.key)
    after = after_check(memory, seen, now, layers=layers)
    fights = after.fights(now)
    by_resource: dict[str, Fight] = {fight.resource: fight for fight in fights}
    decisions = [decide(o, policies.choose(o), after, now, fights=by_resource) for o in seen]
    return Assessment(tuple(_within_budget(decisions)), fights, after)


def _within_budget(decisions: Sequence[Decision]) -> Iterable[Decision]:
    """No more corrections at once than a policy allows: when everything seems wrong, the fault may be on our side."""
    spent: Counter[str] = Counter()
    for decision in decisions:
        most = decision.chosen.max_corrections
        policy = decision.chosen.by.partition("/")[0]
        if decision.outcome is not Outcome.CORRECT or most is None:
            yield decision
            continue
        spent[policy] += 1
        if spent[policy] <= most:
            yield decision
        else:
            why = f"policy {policy} corrects at most {most} at once"
            yield replace(decision, outcome=Outcome.WAITING, why=why)
