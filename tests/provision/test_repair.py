"""The ladder: each rung once, in order, with patience; never too many at once; fenced before anything drastic ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from iacorch.provision.decisions import repair
from iacorch.provision.decisions.repair import History, Power, Rung, Verdict, Ward
from iacorch.provision.pools.pool import RepairPolicy
from tests.provision.build import NOW, pool


def policy(**spec: Any) -> RepairPolicy:
    return pool(repair=spec).repair


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def decide(
    history: History,
    *,
    ward: Ward | None = None,
    power: Power = Power.ON,
    failed: bool = False,
    spec: dict[str, Any] | None = None,
) -> Verdict:
    return repair.decide(history, policy(**(spec or {})), ward or Ward(3), power=power, failed=failed, now=NOW)


def on(rung: Rung, seconds: float) -> History:
    tried = tuple(Rung)[: tuple(Rung).index(rung) + 1]
    return History(ago(1000), rung, ago(seconds), tried)


@pytest.mark.parametrize(
    ("history", "rung"),
    [
        pytest.param(History(ago(59)), None, id="not yet"),
        pytest.param(History(ago(60)), Rung.RESTART_AGENT, id="one minute"),
        pytest.param(on(Rung.RESTART_AGENT, 59), None, id="agent: patience"),
        pytest.param(on(Rung.RESTART_AGENT, 60), Rung.BOOTSTRAP, id="agent did not help"),
        pytest.param(on(Rung.BOOTSTRAP, 300), Rung.REBOOT, id="bootstrap did not help"),
        pytest.param(on(Rung.REBOOT, 240), Rung.REIMAGE, id="reboot did not help"),
        pytest.param(on(Rung.REIMAGE, 900), Rung.REPLACE, id="a new image did not help"),
    ],
)
def test_rungs_follow_each_other_with_patience(history: History, rung: Rung | None) -> None:
    assert decide(history).rung is rung


def test_the_first_decision_comes_within_ninety_seconds_of_a_death() -> None:
    from iacorch.kit import limits

    lost = limits.LEASE_LOST_SECONDS + limits.LISTENING_TICK_SECONDS
    assert lost + limits.REPAIR_PATIENCE_SECONDS["Unhealthy"] + limits.MACHINE_LOOK_SECONDS < 90


def test_a_rung_that_failed_is_not_waited_for() -> None:
    assert decide(on(Rung.RESTART_AGENT, 1), failed=True).rung is Rung.BOOTSTRAP


def test_after_the_last_rung_a_person_is_asked() -> None:
    verdict = decide(on(Rung.REPLACE, 9000))
    assert verdict.stopped
    assert verdict.rung is None
    assert "nothing is left to try" in verdict.why


def test_a_machine_that_is_gone_is_replaced_at_once() -> None:
    assert decide(History(ago(1)), power=Power.GONE).rung is Rung.REPLACE


def test_a_machine_that_is_off_is_powered_on_not_talked_to() -> None:
    assert decide(History(ago(60)), power=Power.OFF).rung is Rung.REBOOT


@pytest.mark.parametrize(
    ("total", "unhealthy", "drastic"),
    [(1, 1, True), (2, 1, True), (2, 2, False), (3, 1, True), (3, 2, False), (5, 2, True), (5, 3, False), (10, 4, True),
     (10, 5, False)],
)  # fmt: skip
def test_when_too_much_fails_at_once_only_gentle_rungs_are_tried(total: int, unhealthy: int, drastic: bool) -> None:
    ward = Ward(total, unhealthy)
    gentle, hard = decide(History(ago(60)), ward=ward), decide(on(Rung.BOOTSTRAP, 300), ward=ward)
    assert gentle.rung is Rung.RESTART_AGENT
    assert (hard.rung is Rung.REBOOT) is drastic
    assert hard.stopped is not drastic
    if not drastic:
        assert "is left to a person" in hard.why


def test_one_machine_at_a_time_is_on_the_ladder_but_one_on_it_goes_on() -> None:
    ward = Ward(10, 2, on_ladder=1)
    assert decide(History(ago(60)), ward=ward).rung is None
    assert decide(on(Rung.RESTART_AGENT, 60), ward=ward).rung is Rung.BOOTSTRAP
    assert decide(History(ago(60)), ward=ward, spec={"maxAtOnce": 2}).rung is Rung.RESTART_AGENT


def test_replacing_waits_for_the_pools_back_off() -> None:
    ward = Ward(3, replace_not_before=NOW + timedelta(seconds=40))
    verdict = decide(on(Rung.REIMAGE, 900), ward=ward)
    assert (verdict.rung, verdict.again_seconds) == (None, 40.0)
    assert decide(on(Rung.REIMAGE, 900), ward=Ward(3, replace_not_before=NOW)).rung is Rung.REPLACE


@pytest.mark.parametrize(
    ("spec", "rung"),
    [
        pytest.param({"policy": "Never"}, None, id="never"),
        pytest.param({"rungs": ["Replace"]}, Rung.REPLACE, id="only replace"),
        pytest.param({"patience": {"Unhealthy": "10m"}}, None, id="more patience"),
        pytest.param({"patience": {"Unhealthy": "Never"}}, None, id="endless patience"),
    ],
)
def test_a_pool_chooses_its_rungs_and_patience(spec: dict[str, Any], rung: Rung | None) -> None:
    assert decide(History(ago(60)), spec=spec).rung is rung


def test_one_that_fails_again_soon_goes_on_where_it_stopped() -> None:
    mended = repair.healthy(on(Rung.RESTART_AGENT, 20), now=NOW)
    assert mended.tried == (Rung.RESTART_AGENT,)
    later = NOW + timedelta(seconds=300)
    again = repair.unhealthy(repair.healthy(mended, now=later), now=later)
    verdict = repair.decide(again, policy(), Ward(3), power=Power.ON, failed=False, now=later + timedelta(seconds=60))
    assert verdict.rung is Rung.BOOTSTRAP


def test_one_that_was_well_for_long_starts_over() -> None:
    mended = repair.healthy(on(Rung.RESTART_AGENT, 20), now=NOW)
    assert repair.healthy(mended, now=NOW + timedelta(seconds=599)).tried
    assert repair.healthy(mended, now=NOW + timedelta(seconds=600)) == History()
