"""What is done about each drift, and why, or why not. Pure.

In: an observation, what the policies say, the memory, the moment. Out: a `Decision`. Called by `assess` for every
observation of a check; correctors carry out those whose `outcome` is CORRECT and nothing else.

| observed                                  | outcome                                                        |
|-------------------------------------------|----------------------------------------------------------------|
| in sync                                   | nothing                                                        |
| unknown                                   | shown, never acted on                                          |
| ignored, observed                         | as the policy says                                             |
| somebody sets it right already            | wait for them, for a while                                     |
| two writers fight over it                 | held, with their names                                         |
| protected and would be replaced           | held                                                           |
| propose                                   | proposed, corrected once a person approved this very drift     |
| correct, replaces or deletes              | only in a window, or approved (the rule's `replacement`)       |
| correct, only in a window                 | waits for the next one                                         |
| correct, tried before                     | waits longer each time, held after `DRIFT_TRIES`               |
| correct                                   | corrected                                                      |
| adopt                                     | what is seen becomes what is wanted                            |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from iacorch.drift.decisions import windows
from iacorch.drift.decisions.fights import Fight
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Chosen
from iacorch.drift.model import Action, Observation, Verdict
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339


class Outcome(StrEnum):
    NOTHING = "nothing"
    IGNORED = "ignored"
    OBSERVED = "observed"
    PROPOSED = "proposed"
    WAITING = "waiting"
    HELD = "held"
    CORRECT = "correct"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one observation. `why` is a sentence for people; `again` is when it may be otherwise."""

    seen: Observation
    outcome: Outcome
    chosen: Chosen
    why: str = ""
    again: datetime | None = None
    age_seconds: float = 0.0
    approved: bool = False
    """A person agreed to it, replacement included."""


def decide(
    seen: Observation, chosen: Chosen, memory: Memory, now: datetime, *, fights: dict[str, Fight] | None = None
) -> Decision:
    """For an observation that is narrowed by the policies already."""
    age = memory.age_seconds(seen, now)
    base = Decision(seen, Outcome.NOTHING, chosen, age_seconds=age)
    if seen.verdict is Verdict.IN_SYNC:
        return base
    if seen.verdict is Verdict.UNKNOWN:
        return replace(base, outcome=Outcome.OBSERVED, why=seen.reason)
    by = f"policy {chosen.by}" if chosen.by else "no DriftPolicy covers it; `iacorch drift --correct` sets it right now"
    match chosen.action:
        case Action.IGNORE:
            return replace(base, outcome=Outcome.IGNORED, why=by)
        case Action.OBSERVE:
            return replace(base, outcome=Outcome.OBSERVED, why=by)
        case Action.ADOPT:
            if seen.verdict is Verdict.DRIFTED and seen.fields:
                return replace(base, outcome=Outcome.ADOPT, why=by)
            return replace(base, outcome=Outcome.HELD, why=f"{seen.verdict}: only a changed field can be adopted")
        case Action.PROPOSE | Action.CORRECT:
            return _may_correct(base, memory, now, fights or {})


def _may_correct(base: Decision, memory: Memory, now: datetime, fights: dict[str, Fight]) -> Decision:
    seen, chosen = base.seen, base.chosen
    approval = memory.approvals.get(seen.id)
    if seen.settles and base.age_seconds < limits.DRIFT_SETTLE_SECONDS:
        again = now + timedelta(seconds=limits.DRIFT_SETTLE_SECONDS - base.age_seconds)
        return replace(base, outcome=Outcome.WAITING, why=f"{seen.settles} sets it right", again=again)
    if (fight := fights.get(str(seen.key))) is not None and approval is None:
        return replace(base, outcome=Outcome.HELD, why=f"a fight: {fight}; approve it, or take one writer away")
    if seen.protected and seen.replaces:
        return replace(base, outcome=Outcome.HELD, why="it is protected, and setting it right would replace or delete")
    if approval is not None:
        return _unless_tried(replace(base, approved=True), memory, now, f"approved by {approval.by}")
    if chosen.action is Action.PROPOSE:
        return replace(base, outcome=Outcome.PROPOSED, why=f"approve with: iacorch drift approve {seen.id}")
    if seen.replaces and not _may_replace(chosen, now):
        return _not_replaced(base, now)
    if chosen.only_in_window and not windows.is_open(chosen.windows, now):
        opens = windows.next_open(chosen.windows, now)
        return replace(base, outcome=Outcome.WAITING, why=f"for its window, {_when(opens)}", again=opens)
    return _unless_tried(base, memory, now, f"policy {chosen.by}")


def _may_replace(chosen: Chosen, now: datetime) -> bool:
    return chosen.replacement == "window" and bool(chosen.windows) and windows.is_open(chosen.windows, now)


def _not_replaced(base: Decision, now: datetime) -> Decision:
    chosen, id_ = base.chosen, base.seen.id
    if chosen.replacement == "never":
        return replace(base, outcome=Outcome.HELD, why="its policy never replaces or deletes")
    if chosen.replacement == "window" and chosen.windows:
        opens = windows.next_open(chosen.windows, now)
        why = f"to be replaced or deleted in its window, {_when(opens)}, or after: iacorch drift approve {id_}"
        return replace(base, outcome=Outcome.WAITING, why=why, again=opens)
    why = f"it would have to be replaced or deleted; approve with: iacorch drift approve {id_}"
    return replace(base, outcome=Outcome.PROPOSED, why=why)


def _unless_tried(base: Decision, memory: Memory, now: datetime, why: str) -> Decision:
    """Correct, but with longer and longer pauses where correcting does not help."""
    tries = memory.tries.get(str(base.seen.key))
    if tries is None:
        return replace(base, outcome=Outcome.CORRECT, why=why)
    if tries.count >= limits.DRIFT_TRIES:
        held = f"it was corrected {tries.count} times and is still wrong; see what undoes it"
        return replace(base, outcome=Outcome.HELD, why=held)
    pause = min(limits.DRIFT_PAUSE_START_SECONDS * 2.0 ** (tries.count - 1), limits.DRIFT_PAUSE_MAX_SECONDS)
    due = tries.last + timedelta(seconds=pause)
    if now < due:
        return replace(base, outcome=Outcome.WAITING, why=f"tried {tries.count} times, again {_when(due)}", again=due)
    return replace(base, outcome=Outcome.CORRECT, why=why)


def _when(moment: datetime | None) -> str:
    return "which does not come" if moment is None else f"at {rfc3339(moment)}"
