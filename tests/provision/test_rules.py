"""Hours, money, offers, and who is nobody's machine: rules as rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iacorch.api.objects import Object
from iacorch.errors import IacorchError
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.infra.machines.contract import MachineId
from iacorch.infra.machines.errors import InsufficientCapacity, NeverBooted
from iacorch.kit import limits
from iacorch.provision.machines import reaper
from iacorch.provision.machines.contract import Owned
from iacorch.provision.machines.operations import refusal_in
from iacorch.provision.pools import money, offers
from iacorch.provision.pools.hours import hours_of
from iacorch.provision.pools.money import Rent, Spending, settled
from iacorch.provision.pools.offers import OfferKey, Refused
from tests.provision.build import COIN, NOW, offer

OFFICE = [{"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "08:00", "until": "18:00"}]
NIGHT = [{"days": ["Fri"], "from": "22:00", "until": "06:00"}]


@pytest.mark.parametrize(
    ("windows", "zone", "moment", "is_open"),
    [
        pytest.param([], "UTC", "2026-11-15T03:00", True, id="no hours"),
        pytest.param(OFFICE, "UTC", "2026-11-16T08:00", True, id="opens on the minute"),
        pytest.param(OFFICE, "UTC", "2026-11-16T07:59", False, id="before"),
        pytest.param(OFFICE, "UTC", "2026-11-16T18:00", False, id="closes on the minute"),
        pytest.param(OFFICE, "UTC", "2026-11-15T12:00", False, id="sunday"),
        pytest.param(OFFICE, "Europe/Berlin", "2026-11-16T07:30", True, id="winter time"),
        pytest.param(OFFICE, "Europe/Berlin", "2026-07-13T06:30", True, id="summer time"),
        pytest.param(NIGHT, "UTC", "2026-11-21T05:59", True, id="into saturday"),
        pytest.param(NIGHT, "UTC", "2026-11-20T05:59", False, id="not into friday"),
        pytest.param([{"from": "00:00", "until": "24:00"}], "UTC", "2026-11-15T23:59", True, id="all day"),
    ],
)
def test_office_hours(windows: list[dict[str, Any]], zone: str, moment: str, is_open: bool) -> None:
    assert hours_of(windows, zone).is_open(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is is_open


@pytest.mark.parametrize(
    ("moment", "seconds"), [("2026-11-16T07:00", 3600), ("2026-11-16T17:59", 60), ("2026-11-14T08:00", 48 * 3600)]
)
def test_when_the_hours_change(moment: str, seconds: int) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert hours_of(OFFICE, "UTC").changes_in_seconds(now) == seconds


def test_an_account_is_settled_once_for_each_second() -> None:
    rents = [Rent(COIN, NOW - timedelta(hours=5)), Rent(2 * COIN, NOW - timedelta(hours=3), NOW - timedelta(hours=2))]
    once = settled(None, rents, now=NOW)
    assert once == Spending("2026-11", 7 * COIN, NOW)
    assert settled(once, rents, now=NOW) == once
    assert settled(once, rents, now=NOW + timedelta(hours=1)).micros == 8 * COIN


def test_a_month_begins_with_nothing_spent_but_what_runs_is_paid_from_its_first_second() -> None:
    before = Spending("2026-10", 99 * COIN, datetime(2026, 10, 31, 23, tzinfo=UTC))
    now = datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert settled(before, [Rent(COIN, before.as_of)], now=now) == Spending("2026-11", 2 * COIN, now)


def test_a_clock_that_was_set_back_costs_nothing_twice() -> None:
    ahead = Spending("2026-11", 5 * COIN, NOW + timedelta(minutes=5))
    assert settled(ahead, [Rent(COIN, NOW - timedelta(hours=1))], now=NOW) == ahead


def test_what_is_committed_is_what_the_month_will_have_cost() -> None:
    assert money.committed(Spending("2026-11", COIN, NOW), COIN, now=NOW) == (1 + 348) * COIN


def test_offers_are_tried_in_the_order_of_preference() -> None:
    found = [
        offer("d", price=0.4),
        offer("c", price=0.3),
        offer("b", price=0.3, capacity_type="spot"),
        offer("a", price=0, capacity_type="owned"),
    ]
    assert [o.machine_type for o in offers.usable(found, (), now=NOW)] == ["a", "b", "c", "d"]


def test_a_refusal_is_remembered_longer_each_time_and_lapses() -> None:
    key = OfferKey("m", "a", "spot")
    known: tuple[Refused, ...] = ()
    lengths = []
    now = NOW
    for _ in range(7):
        entry = offers.remembered(known, key, "InsufficientCapacity", "none", now=now)
        known = offers.kept((*known, entry), now=now)
        lengths.append((entry.until - entry.since).total_seconds())
        now = entry.until
    assert lengths[:3] == [limits.OFFER_REFUSED_SECONDS * factor for factor in (1, 2, 4)]
    assert lengths[-1] == limits.OFFER_REFUSED_MAX_SECONDS
    spot = offer("m", zone="a", capacity_type="spot")
    assert offers.usable([spot], known, now=now - timedelta(seconds=1)) == ()
    assert offers.usable([spot], known, now=now) == (spot,)
    assert offers.kept(known, now=now + timedelta(seconds=limits.OFFER_FORGOTTEN_SECONDS)) == ()


@pytest.mark.parametrize(
    ("claim", "nobodys"), [("uid-1", False), ("uid-gone", True), ("", False)], ids=["owned", "gone", "a program's"]
)
def test_only_machines_of_claims_that_are_gone_are_nobodys(claim: str, nobodys: bool) -> None:
    claims: list[Object] = [{"metadata": {"name": "burst-1", "uid": "uid-1"}}]
    machine = Owned("i-1", "burst-1", claim)
    assert reaper.ownerless([machine], claims) == ((machine,) if nobodys else ())


@pytest.mark.parametrize(
    ("error", "name"),
    [
        pytest.param(InsufficientCapacity(zone="a", instance_type="m"), "InsufficientCapacity", id="by a driver"),
        pytest.param(ResourceFailed("QuotaExceeded: the quota is used up"), "QuotaExceeded", id="through a stack"),
        pytest.param(ResourceFailed("x: UnknownSize: there is no m"), "UnknownSize", id="a special case of one"),
        pytest.param(
            NeverBooted(MachineId("i-1"), waited_seconds=3, seen="broken"), "NeverBooted", id="made, and of no use"
        ),
        pytest.param(ResourceFailed("x: 1 error: NeverBooted: i-1 was not running"), "NeverBooted", id="half-made"),
        pytest.param(ResourceFailed("CloudUnavailable: later"), "", id="no refusal"),
        pytest.param(ResourceFailed("a QuotaExceeded that is only spoken of"), "", id="not named"),
    ],
)
def test_a_refusal_is_known_by_its_name(error: IacorchError, name: str) -> None:
    assert refusal_in(error) == name
