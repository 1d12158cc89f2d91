"""Cluster addresses and node ports, without a server: given a Service and what others hold, what does it get?"""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iacorch.api.networks import SERVICE_NETWORK
from iacorch.errors import Invalid
from iacorch.server.admission.addresses import NODE_PORTS, Taken, assign

NOTHING = Taken(frozenset(), frozenset())


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s", "uid": "u"}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **spec}}


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_an_address_is_in_the_network_and_not_reserved(draw: float) -> None:
    address = assign(None, service(), NOTHING, draw=draw)["spec"]["clusterIP"]
    assert ipaddress.IPv4Address(address) in SERVICE_NETWORK
    assert not address.startswith("10.96.0.")


def test_what_is_held_is_kept_for_life() -> None:
    first = assign(None, service(type="NodePort"), NOTHING, draw=0.3)
    again = assign(first, service(type="NodePort"), NOTHING, draw=0.9)
    assert again["spec"] == first["spec"]


def test_the_last_free_port_is_found() -> None:
    taken = Taken(frozenset(), frozenset((number, "TCP") for number in NODE_PORTS if number != 31_234))
    assert assign(None, service(type="NodePort"), taken, draw=0.5)["spec"]["ports"][0]["nodePort"] == 31_234


def test_a_service_that_is_no_node_port_any_more_gives_its_port_back() -> None:
    first = assign(None, service(type="NodePort"), NOTHING, draw=0.3)
    after = assign(first, {**first, "spec": {**first["spec"], "type": "ClusterIP"}}, NOTHING, draw=0.3)
    assert "nodePort" not in after["spec"]["ports"][0]


def test_headless_stays_headless() -> None:
    assert assign(None, service(clusterIP="None"), NOTHING, draw=0)["spec"]["clusterIPs"] == ["None"]


@pytest.mark.parametrize(
    ("spec", "taken", "words"),
    [
        pytest.param({"clusterIP": "192.0.2.1"}, NOTHING, "valid IPs are in", id="outside"),
        pytest.param(
            {"clusterIP": "10.96.0.10"}, Taken(frozenset({"10.96.0.10"}), frozenset()), "already allocated", id="taken"
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]}, NOTHING, "not in the valid range", id="port"
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 1, "nodePort": 30_000}]},
            Taken(frozenset(), frozenset({(30_000, "TCP")})),
            "already allocated",
            id="port-taken",
        ),
    ],
)
def test_what_cannot_be_had_is_said(spec: dict[str, Any], taken: Taken, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        assign(None, service(**spec), taken, draw=0)
