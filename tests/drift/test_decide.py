"""What is done about a drift: rows of policy, memory and moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iacorch.drift.decisions.assess import assess
from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.decisions.memory import Approval, Memory, Tries, after_check, after_corrections, approve
from iacorch.drift.decisions.policy import Policies, Policy, Rule, policies_of
from iacorch.drift.decisions.windows import Window
from iacorch.drift.loop import due, noted
from iacorch.drift.model import Action, Field, Key, Layer, Observation, Place, Verdict, unknown
from iacorch.errors import ConfigError
from iacorch.kit import limits
from iacorch.kit.schedule import Schedule

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = Key(Layer.MACHINE, "prod", "aws:ec2/instance:Instance", "web")
SIZE = Field("instanceType", "small", "large", mark="l")
DRIFT = Observation(KEY, Verdict.DRIFTED, (SIZE,), place=Place(stack="prod", labels={"team": "shop"}))
REPLACES = replace(DRIFT, fields=(replace(SIZE, replaces=True),))
NIGHT = Window(Schedule("0 2 * * *"), 3_600)
NOON = Window(Schedule("0 12 * * *"), 3_600)


def decided(seen: Observation, *rules: Rule, memory: Memory = Memory(), **policy: Any) -> Decision:  # noqa: B008 - frozen
    policies = Policies((Policy("p", rules, **policy),))
    return assess([seen], policies, memory, NOW).decisions[0]


CORRECT = Rule(Action.CORRECT)


@pytest.mark.parametrize(
    ("seen", "rules", "policy", "outcome"),
    [
        (replace(DRIFT, verdict=Verdict.IN_SYNC), (CORRECT,), {}, Outcome.NOTHING),
        (unknown(KEY, "locked by ann"), (CORRECT,), {}, Outcome.OBSERVED),
        (DRIFT, (), {}, Outcome.OBSERVED),
        (DRIFT, (Rule(Action.IGNORE),), {}, Outcome.IGNORED),
        (DRIFT, (Rule(Action.PROPOSE),), {}, Outcome.PROPOSED),
        (DRIFT, (Rule(Action.ADOPT),), {}, Outcome.ADOPT),
        (replace(DRIFT, verdict=Verdict.MISSING, fields=()), (Rule(Action.ADOPT),), {}, Outcome.HELD),
        (DRIFT, (CORRECT,), {}, Outcome.CORRECT),
        (DRIFT, (Rule(Action.CORRECT, only_in_window=True),), {"windows": (NIGHT,)}, Outcome.WAITING),
        (DRIFT, (Rule(Action.CORRECT, only_in_window=True),), {"windows": (NOON,)}, Outcome.CORRECT),
        (REPLACES, (CORRECT,), {}, Outcome.PROPOSED),
        (REPLACES, (Rule(Action.CORRECT, replacement="never"),), {}, Outcome.HELD),
        (REPLACES, (Rule(Action.CORRECT, replacement="window"),), {"windows": (NIGHT,)}, Outcome.WAITING),
        (REPLACES, (Rule(Action.CORRECT, replacement="window"),), {"windows": (NOON,)}, Outcome.CORRECT),
        (REPLACES, (Rule(Action.CORRECT, replacement="window"),), {}, Outcome.PROPOSED),
        (replace(REPLACES, protected=True), (CORRECT,), {"windows": (NOON,)}, Outcome.HELD),
        (replace(DRIFT, settles="the agent"), (CORRECT,), {}, Outcome.WAITING),
        (DRIFT, (Rule(Action.IGNORE, fields=("instanceType",)), CORRECT), {}, Outcome.NOTHING),
        (DRIFT, (Rule(Action.PROPOSE, fields=("instance*",)), CORRECT), {}, Outcome.PROPOSED),
        (DRIFT, (Rule(Action.IGNORE, labels={"team": "shop"}), CORRECT), {}, Outcome.IGNORED),
        (DRIFT, (Rule(Action.IGNORE, labels={"team": "bank"}), CORRECT), {}, Outcome.CORRECT),
        (DRIFT, (Rule(Action.IGNORE, stacks=("dev-*",)), CORRECT), {}, Outcome.CORRECT),
        (DRIFT, (Rule(Action.IGNORE, kinds=("aws:*",)), CORRECT), {}, Outcome.IGNORED),
        (DRIFT, (Rule(Action.IGNORE, verdicts=("missing",)), CORRECT), {}, Outcome.CORRECT),
        (DRIFT, (CORRECT,), {"stacks": ("dev",)}, Outcome.OBSERVED),
        (DRIFT, (CORRECT,), {"layers": (Layer.NODE,)}, Outcome.OBSERVED),
        (DRIFT, (CORRECT,), {"max_corrections": 0}, Outcome.WAITING),
    ],
)
def test_outcomes(seen: Observation, rules: tuple[Rule, ...], policy: dict[str, Any], outcome: Outcome) -> None:
    assert decided(seen, *rules, **policy).outcome is outcome


def test_an_approval_is_for_exactly_one_drift_and_for_a_while() -> None:
    propose = Rule(Action.PROPOSE)
    memory = approve(Memory(), [REPLACES.id], "ann", NOW)
    found = decided(REPLACES, propose, memory=memory)
    assert (found.outcome, found.why) == (Outcome.CORRECT, "approved by ann")
    other = replace(REPLACES, fields=(replace(SIZE, seen="huge", mark="h", replaces=True),))
    assert decided(other, propose, memory=memory).outcome is Outcome.PROPOSED
    old = Memory(approvals={"x": Approval("ann", NOW - timedelta(seconds=limits.DRIFT_APPROVAL_SECONDS + 1))})
    assert after_check(old, [DRIFT], NOW).approvals == {}


@pytest.mark.parametrize(
    ("count", "seconds_ago", "outcome"),
    [
        (1, 59, Outcome.WAITING),
        (1, 60, Outcome.CORRECT),
        (2, 119, Outcome.WAITING),
        (2, 120, Outcome.CORRECT),
        (limits.DRIFT_TRIES, 100_000, Outcome.HELD),
    ],
)
def test_trying_again_takes_longer_and_longer_and_ends(count: int, seconds_ago: float, outcome: Outcome) -> None:
    memory = Memory(tries={str(KEY): Tries(count, NOW - timedelta(seconds=seconds_ago))})
    assert decided(DRIFT, CORRECT, memory=memory).outcome is outcome


def test_ages_count_from_when_it_was_first_seen_and_survive_an_unknown() -> None:
    memory = after_check(Memory(), [DRIFT], NOW)
    later = after_check(memory, [unknown(KEY, "locked")], NOW + timedelta(hours=1))
    assert later.age_seconds(DRIFT, NOW + timedelta(hours=2)) == 7_200
    mended = after_check(later, [replace(DRIFT, verdict=Verdict.IN_SYNC, fields=())], NOW + timedelta(hours=2))
    assert mended.age_seconds(DRIFT, NOW + timedelta(hours=2)) == 0


@pytest.mark.parametrize(("failed", "fights"), [(False, 1), (True, 0)])
def test_what_could_not_be_set_right_is_no_fight(failed: bool, fights: int) -> None:
    memory, now = Memory(), NOW
    for _ in range(limits.DRIFT_FIGHT_TURNS + 1):
        memory = after_check(memory, [DRIFT], now)
        memory = after_corrections(memory, [DRIFT], now, failed={DRIFT.id} if failed else ())
        now += timedelta(seconds=90)
    assert len(assess([DRIFT], Policies(), memory, now).fights) == fights


def test_a_layer_that_was_not_looked_at_is_remembered() -> None:
    memory = after_check(Memory(), [DRIFT], NOW)
    assert str(KEY) in after_check(memory, [], NOW, layers=(Layer.NODE,)).since
    assert str(KEY) not in after_check(memory, [], NOW, layers=(Layer.MACHINE,)).since


def test_no_more_corrections_at_once_than_allowed() -> None:
    seen = [replace(DRIFT, key=replace(KEY, name=str(n))) for n in range(5)]
    policies = Policies((Policy("p", (CORRECT,), max_corrections=2),))
    found = assess(seen, policies, Memory(), NOW)
    assert len(found.with_outcome(Outcome.CORRECT)) == 2


def test_policies_are_asked_by_priority() -> None:
    def obj(name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": spec}

    policies = policies_of([obj("a", action="ignore"), obj("b", action="correct", priority=5)])
    assert [policy.name for policy in policies.policies] == ["b", "a"]
    assert policies.choose(DRIFT).action is Action.CORRECT
    with pytest.raises(ConfigError, match=r"DriftPolicy c: spec\.windows\[0\]\.schedule"):
        policies_of([obj("c", windows=[{"schedule": "never", "durationSeconds": 60}])])


def test_a_new_policy_is_due_at_its_next_time_and_then_once() -> None:
    policies = Policies((Policy("p", schedule=Schedule("0 * * * *"), layers=(Layer.NODE,)),))
    memory = noted(Memory(), policies, (), NOW)
    assert due(policies, memory, NOW + timedelta(minutes=59)).names == ()
    ready = due(policies, memory, NOW + timedelta(minutes=200))
    assert (ready.names, ready.layers) == (("p",), (Layer.NODE,))
    after = noted(memory, policies, ready.names, NOW + timedelta(minutes=200))
    assert due(policies, after, NOW + timedelta(minutes=201)).names == ()
    assert due(Policies((replace(policies.policies[0], suspended=True),)), memory, NOW + timedelta(hours=3)).names == ()
