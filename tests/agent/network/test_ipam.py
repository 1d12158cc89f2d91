from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.network import ipam
from iacorch.agent.network.contract import AddressesExhausted

RANGE = IPv4Network("10.244.3.0/24")
TINY = IPv4Network("10.244.3.0/29")  # .2 to .6: five pods


def fill(leases: ipam.Leases, *uids: str, pod_range: IPv4Network = RANGE, now: float = 0.0) -> ipam.Leases:
    for uid in uids:
        leases = ipam.lease(leases, uid, pod_range, now=now)
    return leases


def test_the_gateway_is_never_a_pods_address() -> None:
    leases = fill(ipam.Leases(), "a", "b")
    assert [str(a) for a in leases.held.values()] == ["10.244.3.2", "10.244.3.3"]


def test_a_pod_that_holds_an_address_keeps_it() -> None:
    leases = fill(ipam.Leases(), "a", "b")
    assert ipam.lease(leases, "a", RANGE, now=99) == leases


def test_an_address_given_back_is_not_the_next_one_out() -> None:
    leases = ipam.give_back(fill(ipam.Leases(), "a"), "a", now=0)
    assert str(fill(leases, "b", now=1e9).held["b"]) == "10.244.3.3"


def test_a_full_range_is_refused_with_counts() -> None:
    leases = fill(ipam.Leases(), *"abcde", pod_range=TINY)
    with pytest.raises(AddressesExhausted, match="5 held, 0 resting"):
        fill(leases, "f", pod_range=TINY)


def test_a_resting_address_is_not_given_out_before_it_cooled_down() -> None:
    leases = ipam.give_back(fill(ipam.Leases(), *"abcde", pod_range=TINY), "c", now=100)
    with pytest.raises(AddressesExhausted, match="4 held, 1 resting"):
        fill(leases, "f", pod_range=TINY, now=100 + ipam.COOL_DOWN_SECONDS - 1)
    assert str(fill(leases, "f", pod_range=TINY, now=100 + ipam.COOL_DOWN_SECONDS).held["f"]) == "10.244.3.4"


def test_a_new_pod_range_gives_a_held_pod_a_new_address() -> None:
    leases = fill(fill(ipam.Leases(), "a"), "a", pod_range=IPv4Network("10.244.9.0/24"))
    assert str(leases.held["a"]) == "10.244.9.2"


def test_giving_back_what_is_not_held_changes_nothing() -> None:
    assert ipam.give_back(ipam.Leases(), "a", now=1) == ipam.Leases()


@pytest.mark.parametrize(
    ("remembered", "found", "keep", "held", "resting"),
    [
        pytest.param({"a": 2}, {"a": 2}, {"a"}, {"a": 2}, set(), id="both-agree"),
        pytest.param({"a": 2}, {}, {"a"}, {"a": 2}, set(), id="link-gone-pod-alive-keeps-its-address"),
        pytest.param({"a": 2}, {"a": 2}, set(), {}, {2}, id="pod-gone"),
        pytest.param({}, {"a": 2}, {"a"}, {"a": 2}, set(), id="file-lost-link-wins"),
        pytest.param({"a": 3}, {"a": 2}, {"a"}, {"a": 2}, set(), id="they-differ-link-wins"),
        pytest.param({"a": 2}, {"b": 2}, {"a", "b"}, {"b": 2}, set(), id="two-on-one-address-the-link-wins"),
    ],
)
def test_after_a_start_what_exists_wins(
    remembered: dict[str, int], found: dict[str, int], keep: set[str], held: dict[str, int], resting: set[int]
) -> None:
    def addresses(numbers: dict[str, int]) -> dict[str, IPv4Address]:
        return {uid: RANGE.network_address + n for uid, n in numbers.items()}

    after = ipam.reconcile(ipam.Leases(addresses(remembered)), found=addresses(found), keep=keep, now=5)
    assert after.held == addresses(held)
    assert set(after.resting) == {RANGE.network_address + n for n in resting}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"), st.integers(0, 40))))
def test_no_two_pods_ever_hold_one_address_and_none_comes_back_too_soon(steps: list[tuple[bool, str, int]]) -> None:
    leases, now, freed = ipam.Leases(), 0.0, dict[IPv4Address, float]()
    for take, uid, seconds in steps:
        now += seconds
        if not take:
            if uid in leases.held:
                freed[leases.held[uid]] = now
            leases = ipam.give_back(leases, uid, now=now)
            continue
        new = uid not in leases.held
        try:
            leases = ipam.lease(leases, uid, TINY, now=now)
        except AddressesExhausted:
            continue
        address = leases.held[uid]
        assert address in TINY
        assert not new or now - freed.get(address, -1e9) >= ipam.COOL_DOWN_SECONDS
        assert len(set(leases.held.values())) == len(leases.held)
    assert ipam.from_json(ipam.to_json(leases)) == leases
