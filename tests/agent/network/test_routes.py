from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.network.routes import Change, Overlay, Peer, difference, overlay, peers, pod_range_of, tunnel_mac
from iacorch.api.networks import CLUSTER_NETWORK, NODE_PREFIX


def node(name: str, pod_range: str | None, *addresses: tuple[str, str]) -> dict[str, Any]:
    status = {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}
    return {"metadata": {"name": name}, "spec": {"podCIDR": pod_range} if pod_range else {}, "status": status}


def at(address: str) -> tuple[str, str]:
    return ("InternalIP", address)


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        pytest.param([], [], id="alone"),
        pytest.param([node("me", "10.244.0.0/24", at("192.0.2.1"))], [], id="not-myself"),
        pytest.param([node("b", "10.244.1.0/24", at("192.0.2.2"))], ["b"], id="one"),
        pytest.param([node("b", None, at("192.0.2.2"))], [], id="without-a-range"),
        pytest.param([node("b", "nonsense", at("192.0.2.2"))], [], id="with-an-unreadable-range"),
        pytest.param([node("b", "10.244.1.0/24")], [], id="without-an-address"),
        pytest.param([node("b", "10.244.1.0/24", ("Hostname", "b"), at("fd00::1"))], [], id="only-ipv6"),
        pytest.param(
            [node("c", "10.244.1.0/24", at("192.0.2.3")), node("b", "10.244.1.0/24", at("192.0.2.2"))],
            ["b"],
            id="two-claim-one-range",
        ),
        pytest.param(
            [node("a", "10.244.0.0/24", at("192.0.2.9")), node("me", "10.244.0.0/24", at("192.0.2.1"))],
            [],
            id="mine-claimed-by-another",
        ),
        pytest.param([node("b", "0.0.0.0/0", at("192.0.2.2"))], [], id="everything"),
        pytest.param([node("b", "10.244.0.0/16", at("192.0.2.2"))], [], id="everybodys-ranges"),
        pytest.param([node("b", "192.168.1.0/24", at("192.0.2.2"))], [], id="not-of-the-pod-network"),
    ],
)
def test_peers(nodes: list[dict[str, Any]], wanted: list[str]) -> None:
    assert [peer.node for peer in sorted(peers(nodes, "me", network=CLUSTER_NETWORK, prefix=NODE_PREFIX))] == wanted


def test_of_several_ranges_the_first_of_ipv4_counts() -> None:
    obj = {"metadata": {"name": "b"}, "spec": {"podCIDR": "fd00::/64", "podCIDRs": ["fd00::/64", "10.244.7.0/24"]}}
    assert pod_range_of(obj) == IPv4Network("10.244.7.0/24")


def test_what_the_tunnel_must_know() -> None:
    peer = Peer("b", IPv4Address("192.0.2.2"), IPv4Network("10.244.2.0/24"))
    assert overlay([peer]) == Overlay(
        frozenset({("0e:1a:0a:f4:02:00", "192.0.2.2")}),
        frozenset({("10.244.2.0", "0e:1a:0a:f4:02:00")}),
        frozenset({("10.244.2.0/24", "10.244.2.0")}),
    )


def test_a_node_that_moves_keeps_its_route() -> None:
    before = overlay([Peer("b", IPv4Address("192.0.2.2"), IPv4Network("10.244.2.0/24"))])
    after = overlay([Peer("b", IPv4Address("192.0.2.9"), IPv4Network("10.244.2.0/24"))])
    mac = tunnel_mac(IPv4Network("10.244.2.0/24"))
    assert difference(before, after) == Change(
        Overlay(frozenset({(mac, "192.0.2.2")})), Overlay(frozenset({(mac, "192.0.2.9")}))
    )


@given(st.sets(st.integers(0, 255)), st.sets(st.integers(0, 255)))
def test_a_difference_applied_gives_what_was_wanted_and_none_remains(old: set[int], new: set[int]) -> None:
    def of(numbers: set[int]) -> Overlay:
        return overlay(Peer(str(n), IPv4Address(3221225985 + n), IPv4Network(f"10.244.{n}.0/24")) for n in numbers)

    change = difference(of(old), of(new))
    assert (of(old).routes - change.remove.routes) | change.add.routes == of(new).routes
    assert bool(change) == (old != new)
    assert not difference(of(new), of(new))
