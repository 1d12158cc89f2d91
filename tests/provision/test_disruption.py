"""Which machines go: only when it is worth it, within budgets, and with a place for every pod."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from iacorch.api.objects import Object
from iacorch.provision.decisions.disruption import Decision, Fleet, plan
from iacorch.provision.decisions.guard import Guard
from iacorch.provision.decisions.sizing import Supply
from iacorch.provision.decisions.virtual import build
from iacorch.provision.pools.claim import Claim, held
from iacorch.provision.pools.money import Spending
from iacorch.provision.pools.offers import Offer
from iacorch.provision.pools.pool import Pool
from iacorch.scheduler.pod import PodInfo
from tests.provision.build import COIN, NOW, claim, info, node, offer, pool

OLD = NOW - timedelta(hours=2)
M = offer("m", 4, 16, 0.4)
SMALL = offer("s", 2, 8, 0.1)


def decide(
    machines: dict[str, list[PodInfo]],
    *,
    offers: tuple[Offer, ...] = (M,),
    on: Pool | None = None,
    of: Offer = M,
    conditions: dict[str, dict[str, str]] | None = None,
    annotations: dict[str, dict[str, str]] | None = None,
    others: tuple[Object, ...] = (),
    budgets: tuple[Object, ...] = (),
    spent: float = 0,
) -> list[Decision]:
    own = on or pool(disruption={"budgets": [{"machines": "100%"}]})
    claims: list[Claim] = []
    for name, pods in machines.items():
        states = {"Empty": "False" if pods else "True"} | (conditions or {}).get(name, {})
        claims.append(
            claim(name, of, created=OLD, on=own, conditions=states, annotations=(annotations or {}).get(name))
        )
    size = (of.capacity["cpu"], of.capacity["memory"])
    nodes = {c.node_name: node(c.node_name, *size) for c in claims}
    placed = [(pod, name) for name, pods in machines.items() for pod in pods]
    supply = Supply(own, offers, held(claims), Spending("2026-11", round(spent * COIN), NOW), hash="h")
    fleet = Fleet(
        claims=tuple(claims),
        supplies={own.name: supply},
        nodes=nodes,
        pods={name: tuple(pods) for name, pods in machines.items()},
        cluster=build([*nodes.values(), *others], placed, claims),
        guard=Guard(budgets),
    )
    return list(plan(fleet, now=NOW))


def told(decisions: list[Decision]) -> list[tuple[str, str, int]]:
    return [(d.claim.name, d.reason.value, len(d.wanted)) for d in decisions]


def pods(prefix: str, count: int, cpu: str = "1", **spec: Any) -> list[PodInfo]:
    return [info(f"{prefix}{number}", cpu, **spec) for number in range(count)]


def test_a_full_fleet_is_left_alone() -> None:
    assert decide({"burst-1": pods("a", 4), "burst-2": pods("b", 4)}) == []


def test_an_empty_machine_goes() -> None:
    assert told(decide({"burst-1": [], "burst-2": pods("b", 4)})) == [("burst-1", "Empty", 0)]


def test_the_last_empty_machine_goes_too() -> None:
    assert told(decide({"burst-1": []})) == [("burst-1", "Empty", 0)]


@pytest.mark.parametrize(
    ("spec", "gone"),
    [
        pytest.param({"consolidationPolicy": "Never"}, [], id="never"),
        pytest.param({"consolidateAfter": "3h"}, [], id="not yet"),
        pytest.param({"consolidateAfter": "Never"}, [], id="after never"),
        pytest.param({"consolidationPolicy": "WhenEmpty"}, ["burst-1"], id="when empty"),
    ],
)
def test_the_policy_decides_about_empty_machines(spec: dict[str, Any], gone: list[str]) -> None:
    assert [d.claim.name for d in decide({"burst-1": []}, on=pool(disruption=spec))] == gone


def test_pods_that_fit_elsewhere_free_their_machine() -> None:
    decisions = decide({"burst-1": pods("a", 1), "burst-2": pods("b", 2)})
    assert told(decisions) == [("burst-1", "Underutilized", 0)]
    assert decisions[0].why == "its 1 pods fit on other machines; saves 0.4 an hour"


def test_when_empty_moves_nobody() -> None:
    assert decide({"burst-1": pods("a", 1), "burst-2": pods("b", 2)},
                  on=pool(disruption={"consolidationPolicy": "WhenEmpty"})) == []  # fmt: skip


def test_a_machine_that_received_pods_does_not_go_in_the_same_look() -> None:
    decisions = decide({f"burst-{n}": pods(f"p{n}", 1) for n in (1, 2, 3)})
    assert len(decisions) <= 2
    assert all(d.reason == "Underutilized" for d in decisions)


def test_a_dear_machine_makes_way_for_a_cheaper_one() -> None:
    decisions = decide({"burst-1": pods("a", 1)}, offers=(SMALL, M))
    assert told(decisions) == [("burst-1", "Underutilized", 1)]
    assert decisions[0].wanted[0].offer == SMALL
    assert "saves 0.3 an hour" in decisions[0].why


def test_a_little_cheaper_is_not_worth_a_new_machine() -> None:
    assert decide({"burst-1": pods("a", 1)}, offers=(offer("t", 4, 16, 0.37), M)) == []


def test_spot_takes_over_when_it_is_back() -> None:
    spot = offer("m", 4, 16, 0.13, capacity_type="spot")
    decisions = decide({"burst-1": pods("a", 3)}, offers=(spot, M))
    assert [d.wanted[0].offer.capacity_type for d in decisions] == ["spot"]


def test_many_pods_are_not_moved_for_little_money() -> None:
    """A sixth of the money against two thirds of the pods."""
    cheap = offer("cheap", 4, 16, 0.1)
    crowd = pods("a", 20, "50m")
    others = {f"burst-{n}": pods(f"b{n}-", 2, "1900m") for n in range(2, 7)}
    assert [
        d for d in decide({"burst-1": crowd, **others}, of=cheap, offers=(cheap,)) if d.claim.name == "burst-1"
    ] == []


@pytest.mark.parametrize(
    ("pod", "budget"),
    [
        pytest.param(
            info("a", metadata={"annotations": {"iacorch.dev/do-not-disrupt": "true"}}), None, id="annotation"
        ),
        pytest.param(info("a", owner=""), None, id="nobody makes it again"),
        pytest.param(
            info("a", metadata={"labels": {"app": "db"}}),
            {
                "metadata": {"name": "db", "namespace": "default"},
                "spec": {"selector": {"matchLabels": {"app": "db"}}},
                "status": {"disruptionsAllowed": 0},
            },
            id="disruption budget",
        ),
    ],
)
def test_what_must_not_be_moved_keeps_its_machine(pod: PodInfo, budget: Object | None) -> None:
    assert decide({"burst-1": [pod], "burst-2": pods("b", 3)}, budgets=(budget,) if budget else ()) == [] or [
        d.claim.name for d in decide({"burst-1": [pod], "burst-2": pods("b", 3)}, budgets=(budget,) if budget else ())
    ] == ["burst-2"]


@pytest.mark.parametrize(("share", "count"), [("10%", 1), ("50%", 3), (0, 0), ("0%", 0), (2, 2), ("100%", 5)])
def test_budgets_bound_what_is_disrupted_at_once(share: str | int, count: int) -> None:
    own = pool(disruption={"budgets": [{"machines": share}]})
    assert len(decide({f"burst-{n}": [] for n in range(1, 6)}, on=own)) == count


def test_what_is_going_or_unhealthy_counts_in_the_budget() -> None:
    own = pool(disruption={"budgets": [{"machines": 2}]})
    decisions = decide(
        {f"burst-{n}": [] for n in range(1, 5)},
        on=own,
        conditions={"burst-1": {"Ready": "False"}},
        annotations={"burst-2": {"iacorch.dev/disruption": "Expired: old"}},
    )
    assert decisions == []


def test_a_budget_may_be_for_some_reasons_and_some_hours() -> None:
    quiet = {"machines": 0, "reasons": ["Empty"], "during": [{"days": ["Mon"], "from": "08:00", "until": "18:00"}]}
    night = {"machines": 0, "reasons": ["Empty"], "during": [{"days": ["Sun"], "from": "08:00", "until": "18:00"}]}
    assert decide({"burst-1": []}, on=pool(disruption={"budgets": [quiet]})) == []
    assert len(decide({"burst-1": []}, on=pool(disruption={"budgets": [night]}))) == 1


def test_an_expired_machine_waits_for_its_replacement() -> None:
    states = {"burst-1": {"Expired": "True"}}
    assert told(decide({"burst-1": pods("a", 4)}, conditions=states)) == [("burst-1", "Expired", 1)]


def test_an_expired_machine_whose_pods_fit_elsewhere_just_goes() -> None:
    states = {"burst-1": {"Expired": "True"}}
    assert told(decide({"burst-1": pods("a", 2), "burst-2": pods("b", 2)}, conditions=states))[0] == (
        "burst-1",
        "Expired",
        0,
    )


def test_where_limits_have_no_room_for_both_the_old_one_goes_first() -> None:
    own = pool(limits={"machines": 1}, disruption={"budgets": [{"machines": 1}]})
    decisions = decide({"burst-1": pods("a", 4)}, on=own, conditions={"burst-1": {"Drifted": "True"}})
    assert told(decisions) == [("burst-1", "Drifted", 0)]
    assert "goes first" in decisions[0].why


def test_a_closed_pool_gives_its_machines_back_at_once() -> None:
    own = pool(officeHours=[{"days": ["Tue"], "from": "08:00", "until": "18:00"}])
    decisions = decide({"burst-1": pods("a", 4), "burst-2": []}, on=own)
    assert told(decisions) == [("burst-2", "OfficeHours", 0), ("burst-1", "OfficeHours", 0)]


def test_a_pool_over_its_money_gives_back_what_disturbs_least() -> None:
    own = pool(limits={"moneyPerHour": "0.9"})
    decisions = decide({"burst-1": pods("a", 4), "burst-2": pods("b", 3), "burst-3": pods("c", 4)}, on=own)
    assert told(decisions) == [("burst-2", "OverLimit", 0)]


def test_a_months_money_that_is_spent_stops_everything() -> None:
    own = pool(limits={"moneyPerMonth": "100"})
    decisions = decide({"burst-1": pods("a", 4), "burst-2": pods("b", 4)}, on=own, spent=100)
    assert len(decisions) == 2


def test_owned_machines_go_only_when_empty() -> None:
    owned = offer("host", 4, 16, 0, capacity_type="owned")
    assert told(
        decide({"burst-1": pods("a", 1), "burst-2": [], "burst-3": pods("c", 1)}, of=owned, offers=(owned,))
    ) == [("burst-2", "Empty", 0)]


def test_machines_without_a_price_are_consolidated_by_size() -> None:
    free = offer("box", 4, 16, 0)
    assert len(decide({"burst-1": pods("a", 1), "burst-2": pods("b", 1)}, of=free, offers=(free,))) == 1


def test_an_interrupted_machine_is_nobodys_choice() -> None:
    assert decide({"burst-1": []}, conditions={"burst-1": {"Interrupted": "True"}}) == []
