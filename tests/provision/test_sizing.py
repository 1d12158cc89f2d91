"""Which machines are asked for: cheapest for what they carry, never one that the scheduler would not use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iacorch.provision.decisions.sizing import Sizing, Supply, size
from iacorch.provision.decisions.virtual import Cluster, build
from iacorch.provision.pools.amounts import Amounts
from iacorch.scheduler.pod import PodInfo
from tests.provision.build import NOW, claim, info, node, offer, supply

SMALL = offer("small", 2, 8, 0.1)
LARGE = offer("large", 8, 32, 0.4)
SPOT = offer("large", 8, 32, 0.12, capacity_type="spot")


def sized(
    pods: list[PodInfo], *supplies: Supply, cluster: Cluster | None = None, taken: tuple[str, ...] = ()
) -> Sizing:
    return size(cluster or build([], [], []), pods, supplies, taken=taken, now=NOW)


def bought(sizing: Sizing) -> list[str]:
    return [f"{w.pool.name}:{w.offer.machine_type}:{w.offer.capacity_type}" for w in sizing.wanted]


def pods(count: int, cpu: str = "1", memory: str = "1Gi", **spec: Any) -> list[PodInfo]:
    return [info(f"p{number:03}", cpu, memory, **spec) for number in range(count)]


def test_nothing_waits_and_nothing_is_bought() -> None:
    assert sized([], supply([SMALL])) == Sizing()


def test_what_fits_on_nodes_that_are_there_buys_nothing() -> None:
    assert sized(pods(4), supply([SMALL]), cluster=build([node("n1")], [], [])) == Sizing()


def test_what_fits_on_a_machine_that_is_on_its_way_buys_nothing() -> None:
    coming = claim("burst-1", LARGE, ready=False)
    assert sized(pods(8), supply([SMALL]), cluster=build([], [], [coming])) == Sizing()


def test_a_machine_that_is_going_is_no_place() -> None:
    going = claim("burst-1", LARGE, annotations={"iacorch.dev/disruption": "Expired: old"})
    cluster = build([node("burst-1", "8", "32Gi")], [], [going])
    assert len(sized(pods(2), supply([SMALL]), cluster=cluster, taken=("burst-1",)).wanted) == 1


def test_one_small_pod_gets_the_cheapest_machine_that_takes_it() -> None:
    assert bought(sized(pods(1), supply([SMALL, LARGE]))) == ["burst:small:on-demand"]


def test_a_pod_that_only_a_large_machine_takes_gets_that() -> None:
    assert bought(sized(pods(1, "6"), supply([SMALL, LARGE]))) == ["burst:large:on-demand"]


def test_many_pods_share_what_is_cheapest_for_all_of_them() -> None:
    dear_small = offer("small", 2, 8, 0.2)
    sizing = sized(pods(16), supply([dear_small, LARGE]))
    assert bought(sizing) == ["burst:large:on-demand"] * 2
    assert [len(w.pods) for w in sizing.wanted] == [8, 8]


def test_owned_machines_go_before_cheap_ones_and_spot_before_on_demand() -> None:
    owned = offer("host", 8, 32, 0, capacity_type="owned", count=1)
    sizing = sized(pods(24), supply([LARGE, SPOT, owned]))
    assert bought(sizing) == ["burst:host:owned", "burst:large:spot", "burst:large:spot"]


def test_owned_hosts_in_use_are_not_offered_again() -> None:
    owned = offer("host", 8, 32, 0, capacity_type="owned", count=1)
    found = supply([LARGE, owned])
    used = Supply(found.pool, found.offers, found.held, found.spending, in_use={owned.key: 1})
    assert bought(sized(pods(1), used)) == ["burst:large:on-demand"]


def test_the_pool_of_the_higher_weight_is_used_first_though_it_is_dearer() -> None:
    light, heavy = supply([SMALL], "light"), supply([LARGE], "heavy", weight=10)
    assert bought(sized(pods(1), light, heavy)) == ["heavy:large:on-demand"]


def test_a_pool_whose_limit_is_reached_hands_over_to_the_next() -> None:
    heavy = supply([SMALL], "heavy", weight=10, limits={"machines": 1})
    sizing = sized(pods(4), supply([SMALL], "light"), heavy)
    assert bought(sizing) == ["heavy:small:on-demand", "light:small:on-demand"]
    assert sizing.cannot_grow["heavy"].reason == "MachinesLimit"


@pytest.mark.parametrize(
    ("limits", "machines", "reason"),
    [
        ({"machines": 2}, 2, "MachinesLimit"),
        ({"cpu": "5"}, 2, "CPULimit"),
        ({"memory": "16Gi"}, 2, "MemoryLimit"),
        ({"moneyPerHour": "0.2"}, 2, "MoneyPerHourLimit"),
        ({"moneyPerHour": "0.199999"}, 1, "MoneyPerHourLimit"),
        ({"moneyPerMonth": "72"}, 2, "MoneyPerMonthLimit"),  # 0.1 an hour for the 348 hours that are left
        ({"machines": 0}, 0, "MachinesLimit"),
    ],
)
def test_every_limit_is_kept_and_named(limits: dict[str, Any], machines: int, reason: str) -> None:
    sizing = sized(pods(20), supply([SMALL], limits=limits))
    assert len(sizing.wanted) == machines
    assert sizing.cannot_grow["burst"].reason == reason
    assert len(sizing.unhelped) == 20 - 2 * machines if machines else 20
    assert all("pool burst" in why for _, why in sizing.unhelped)


def test_what_the_pool_already_holds_counts() -> None:
    held = Amounts(machines=3)
    assert not sized(pods(1), supply([SMALL], held=held, limits={"machines": 3})).wanted


def test_taints_keep_away_who_does_not_tolerate_them() -> None:
    tainted = supply([SMALL], taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    tolerant = info("t", tolerations=[{"key": "gpu", "operator": "Exists"}])
    sizing = sized([info("a"), tolerant], tainted)
    assert [[p.name for p in w.pods] for w in sizing.wanted] == [["t"]]
    assert [p.name for p, _ in sizing.unhelped] == ["a"]


def test_a_selector_finds_the_pool_that_has_the_label_and_the_zone() -> None:
    east, west = offer("m", zone="east"), offer("m", zone="west")
    picky = info("a", nodeSelector={"topology.kubernetes.io/zone": "west", "disk": "ssd"})
    sizing = sized([picky], supply([east, west], "plain"), supply([east, west], "disks", labels={"disk": "ssd"}))
    assert [(w.pool.name, w.offer.zone) for w in sizing.wanted] == [("disks", "west")]


def test_pods_that_keep_apart_get_a_machine_each() -> None:
    rule = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}
    apart = pods(3, "500m", metadata={"labels": {"app": "db"}}, affinity=affinity)
    assert len(sized(apart, supply([SMALL])).wanted) == 3


def test_a_pod_that_wants_to_be_near_what_is_nowhere_is_told_so() -> None:
    rule = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [rule]}}
    sizing = sized([info("a", affinity=affinity)], supply([SMALL]))
    assert not sizing.wanted
    assert "affinity" in sizing.unhelped[0][1]


def test_a_daemon_takes_its_share_of_a_new_machine() -> None:
    daemon = info("agent-x", "1", owner="DaemonSet/agent")
    cluster = build([], [], [], daemons=[daemon])
    assert len(sized(pods(2), supply([SMALL]), cluster=cluster).wanted) == 2


def test_the_important_pod_gets_the_last_machine() -> None:
    low, high = info("low", "2"), info("high", "2", priority=100)
    sizing = sized([low, high], supply([SMALL], limits={"machines": 1}))
    assert [[p.name for p in w.pods] for w in sizing.wanted] == [["high"]]


def test_names_are_the_smallest_that_are_free() -> None:
    sizing = sized(pods(4), supply([SMALL]), taken=("burst-1", "burst-3"))
    assert [w.name for w in sizing.wanted] == ["burst-2", "burst-4"]


def test_why_names_pods_and_price() -> None:
    (wanted,) = sized(pods(2), supply([SMALL])).wanted
    words = "small/on-demand at 0.1 an hour, the cheapest of 1 offerings for what it carries"
    assert wanted.why == f"for default/p000, default/p001: {words}"


def test_no_pool_is_a_reason() -> None:
    assert sized(pods(1)).unhelped[0][1] == "no pool has an offering that may be tried now"


SIZES = st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 40_000)), max_size=25)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(0, 6))
def test_no_machine_is_ever_overfull_and_no_limit_exceeded(wants: list[tuple[int, int]], machines: int) -> None:
    asked = [info(f"p{i}", f"{cpu}m", f"{memory}Mi") for i, (cpu, memory) in enumerate(wants)]
    sizing = sized(asked, supply([SMALL, LARGE], limits={"machines": machines, "moneyPerHour": "1.1"}))
    assert len(sizing.wanted) <= machines
    assert sizing.price <= 1_100_000
    for wanted in sizing.wanted:
        assert wanted.pods
        total = {name: sum(dict(p.requests)[name] for p in wanted.pods) for name in ("cpu", "memory")}
        assert total["cpu"] <= 1000 * int(wanted.offer.capacity["cpu"])
        assert total["memory"] <= int(wanted.offer.capacity["memory"].removesuffix("Gi")) << 30
    helped = [p.uid for w in sizing.wanted for p in w.pods]
    assert sorted(helped + [p.uid for p, _ in sizing.unhelped]) == sorted(p.uid for p in asked)
