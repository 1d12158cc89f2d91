from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.network.contract import HostPort
from iacorch.agent.network.services import nft
from iacorch.agent.network.services.flows import Departures, Flow, departures, is_stale, together
from iacorch.agent.network.services.nft import Key
from iacorch.agent.network.services.plan import Backend, Endpoint, Place, Routing, host_port_rules, plan
from iacorch.agent.network.services.rules import ServiceRules, keys_of, service_of
from iacorch.agent.pods.assembly import host_ports
from iacorch.api.networks import CLUSTER_NETWORK, SERVICE_NETWORK
from tests.agent.network.builders import service, slice_of

VIP = "10.96.1.1"
HERE, THERE = ("10.244.1.5", "node-1"), ("10.244.2.6", "node-2")
FRAME = nft.Frame(IPv4Address("10.244.1.1"), IPv4Network("10.244.1.0/24"), CLUSTER_NETWORK, SERVICE_NETWORK)


def routing(obj: dict[str, Any], *slices: dict[str, Any], silent: str = "") -> Routing:
    return plan(obj, slices, Place("node-1", CLUSTER_NETWORK, frozenset(silent.split())))


def behind(found: Routing, address: str = VIP, port: int = 80) -> list[str]:
    return [endpoint.address for endpoint in found.vips[(address, "TCP", port)].endpoints]


NOT_READY = {"ready": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}
GONE = {"ready": False, "serving": False, "terminating": True}


@pytest.mark.parametrize(
    ("spec", "slices", "wanted"),
    [
        pytest.param({}, [], [], id="no-slices"),
        pytest.param({}, [slice_of("web")], [], id="no-endpoints"),
        pytest.param({}, [slice_of("web", THERE, HERE)], ["10.244.1.5", "10.244.2.6"], id="two-in-a-fixed-order"),
        pytest.param(
            {}, [slice_of("web", HERE), slice_of("web", HERE)], ["10.244.1.5"], id="in-two-slices-counts-once"
        ),
        pytest.param({}, [slice_of("web", HERE, **NOT_READY)], [], id="not-ready"),
        pytest.param({}, [slice_of("web", HERE, **LEAVING)], ["10.244.1.5"], id="only-terminating-still-serves"),
        pytest.param({}, [slice_of("web", HERE, **GONE)], [], id="terminating-and-not-serving"),
        pytest.param(
            {},
            [slice_of("web", HERE, **LEAVING), slice_of("web", THERE)],
            ["10.244.2.6"],
            id="ready-before-terminating",
        ),
        pytest.param({"internalTrafficPolicy": "Local"}, [slice_of("web", HERE, THERE)], ["10.244.1.5"], id="local"),
        pytest.param({"internalTrafficPolicy": "Local"}, [slice_of("web", THERE)], [], id="local-and-none-here"),
        pytest.param({"externalTrafficPolicy": "Local"}, [slice_of("web", THERE)], ["10.244.2.6"], id="external-only"),
    ],
)
def test_what_stands_behind_a_cluster_address(
    spec: dict[str, Any], slices: list[dict[str, Any]], wanted: list[str]
) -> None:
    assert behind(routing(service(**spec), *slices)) == wanted


@pytest.mark.parametrize(
    ("slices", "silent", "wanted"),
    [
        pytest.param([slice_of("web", HERE, THERE)], "node-2", ["10.244.1.5"], id="others-go-first"),
        pytest.param([slice_of("web", THERE)], "node-2", ["10.244.2.6"], id="better-tried-than-refused"),
        pytest.param(
            [slice_of("web", HERE, **LEAVING), slice_of("web", THERE)],
            "node-2",
            ["10.244.1.5"],
            id="ending-but-there-before-ready-but-silent",
        ),
        pytest.param([slice_of("web", HERE, THERE)], "node-3", ["10.244.1.5", "10.244.2.6"], id="nobodys-node"),
        pytest.param([slice_of("web", THERE, **GONE)], "node-2", [], id="not-serving-is-never-chosen"),
    ],
)
def test_endpoints_on_nodes_that_do_not_answer_come_last(
    slices: list[dict[str, Any]], silent: str, wanted: list[str]
) -> None:
    assert behind(routing(service(), *slices, silent=silent)) == wanted


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(service(address="None"), id="headless"),
        pytest.param(service(type="ExternalName", externalName="example.com"), id="external-name"),
        pytest.param(service(address=""), id="no-address-yet"),
        pytest.param(service(address="fd00::1"), id="ipv6-only"),
    ],
)
def test_services_without_an_ipv4_address_have_no_frontends(obj: dict[str, Any]) -> None:
    assert routing(obj, slice_of("web", HERE)) == Routing()


def test_ipv6_slices_are_left_out() -> None:
    other = {**slice_of("web", ("fd00::1", "node-1")), "addressType": "IPv6"}
    assert behind(routing(service(), other, slice_of("web", HERE))) == ["10.244.1.5"]


def test_ports_are_matched_by_name_and_target_numbers_come_from_the_slice() -> None:
    part = slice_of("web", HERE)
    part["ports"] = [{"name": "tcp", "port": 9090}, {"name": "metrics", "port": 1}]
    found = routing(service(), part)
    assert found.vips[(VIP, "TCP", 80)].endpoints == (Endpoint("10.244.1.5", 9090),)
    assert found.vips[(VIP, "UDP", 80)].endpoints == ()


def test_external_addresses_and_node_ports_follow_the_external_policy() -> None:
    ports = [{"name": "tcp", "port": 80, "nodePort": 30080}]
    obj = service(ports=ports, externalIPs=["192.0.2.7"], externalTrafficPolicy="Local")
    obj["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"hostname": "x"}]}}
    found = routing(obj, slice_of("web", HERE, THERE))
    assert behind(found) == ["10.244.1.5", "10.244.2.6"]
    assert behind(found, "192.0.2.7") == behind(found, "192.0.2.8") == ["10.244.1.5"]
    assert [e.address for e in found.node_ports[("TCP", 30080)].endpoints] == ["10.244.1.5"]


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"sessionAffinity": "ClientIP"}, 10_800, id="kubernetes-default"),
        pytest.param(
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}, 5, id="set"
        ),
    ],
)
def test_session_affinity(spec: dict[str, Any], seconds: int) -> None:
    assert routing(service(**spec), slice_of("web", HERE)).vips[(VIP, "TCP", 80)].affinity_seconds == seconds


def test_only_pods_of_this_node_can_choose_themselves_and_only_others_networks_are_outside() -> None:
    found = routing(service(), slice_of("web", HERE, THERE, ("172.31.0.9", "node-2")))
    assert found.hairpins == {"10.244.1.5"}
    assert found.outside == {("172.31.0.9", "TCP", 8080), ("172.31.0.9", "UDP", 8080)}


def test_of_two_pods_that_want_one_host_port_one_has_it() -> None:
    ports = [HostPort(8080, 80), HostPort(53, 53, "UDP", "192.0.2.1")]
    rules = host_port_rules({"uid-b": ("10.244.1.9", ports[:1]), "uid-a": ("10.244.1.8", ports)})
    assert rules == {
        ("", "TCP", 8080): Endpoint("10.244.1.8", 80),
        ("192.0.2.1", "UDP", 53): Endpoint("10.244.1.8", 53),
    }


@given(st.text() | st.ip_addresses(v=4).map(str))
def test_no_text_of_a_host_address_reaches_the_words_of_a_transaction(host: str) -> None:
    rules = host_port_rules({"uid": ("10.244.1.8", [HostPort(8080, 80, "TCP", host)])})
    for key, value in nft.render_host_ports(rules).items():
        assert set(key.key + value) <= set("0123456789. tcp")


@pytest.mark.parametrize("host", ["192.0.2.1 . tcp . 1 : 10.0.0.1 . 1 }\nflush ruleset", "10.0.0.300", "::1"])
def test_a_host_address_that_is_none_is_left_out_and_the_others_stay(host: str) -> None:
    rules = host_port_rules({"uid": ("10.244.1.8", [HostPort(1, 1, "TCP", host), HostPort(2, 2, "TCP", "0.0.0.0")])})
    assert rules == {("", "TCP", 2): Endpoint("10.244.1.8", 2)}


def test_only_what_nft_leads_to_pods_becomes_a_host_port() -> None:
    ports = [{"containerPort": 7, "hostPort": 7, "protocol": protocol} for protocol in ("TCP", "UDP", "SCTP")]
    assert host_ports({"spec": {"containers": [{"ports": ports}]}}) == (HostPort(7, 7), HostPort(7, 7, "UDP"))


# Words


def test_elements_of_a_service() -> None:
    backend = Backend((Endpoint("10.244.1.5", 8080), Endpoint("10.244.2.6", 8080)))
    assert nft.render(Routing({(VIP, "TCP", 80): backend}, {("TCP", 30080): backend}, frozenset({"10.244.1.5"}))) == {
        Key("vips", "10.96.1.1 . tcp . 80"): "goto vip-2",
        Key("vip-endpoints", "10.96.1.1 . tcp . 80 . 0"): "10.244.1.5 . 8080",
        Key("vip-endpoints", "10.96.1.1 . tcp . 80 . 1"): "10.244.2.6 . 8080",
        Key("node-ports", "tcp . 30080"): "goto node-2",
        Key("node-endpoints", "tcp . 30080 . 0"): "10.244.1.5 . 8080",
        Key("node-endpoints", "tcp . 30080 . 1"): "10.244.2.6 . 8080",
        Key("hairpins", "10.244.1.5 . 10.244.1.5"): "",
    }


def test_a_frontend_without_endpoints_is_refused() -> None:
    assert nft.render(Routing({(VIP, "UDP", 53): Backend(())}, {("TCP", 30080): Backend(())})) == {
        Key("refused", "10.96.1.1 . udp . 53"): ""
    }


def test_a_slot_is_the_endpoint_and_not_its_place_so_that_memory_survives_other_endpoints() -> None:
    elements = nft.render(Routing({(VIP, "TCP", 80): Backend((Endpoint("10.244.2.6", 8080),), 60)}))
    number = int(IPv4Address("10.244.2.6"))
    assert elements[Key("vips", "10.96.1.1 . tcp . 80")] == "goto vip-1-sticky-60"
    assert elements[Key("vip-slots", "10.96.1.1 . tcp . 80 . 0")] == str(number)
    assert elements[Key("vip-sticky", f"10.96.1.1 . tcp . 80 . {number}")] == "10.244.2.6 . 8080"


def backend_of(count: int) -> nft.Elements:
    endpoints = tuple(Endpoint(f"10.244.1.{n + 2}", 8080) for n in range(count))
    return nft.render(Routing({(VIP, "TCP", 80): Backend(endpoints)}))


def test_nothing_to_do_is_no_transaction() -> None:
    assert nft.amendment(backend_of(2), backend_of(2), chains=frozenset()) == ""


def test_one_endpoint_more_is_one_element_more_and_another_chain() -> None:
    text = nft.amendment(backend_of(2), backend_of(3), chains=frozenset({"vip-2"}))
    assert text.splitlines() == [
        "add chain ip iacorch vip-3",
        "add rule ip iacorch vip-3 ct mark set numgen random mod 3",
        "add rule ip iacorch vip-3 dnat ip to ip daddr . meta l4proto . th dport . ct mark map @vip-endpoints",
        "add rule ip iacorch vip-3 ct mark set 0",
        "add rule ip iacorch vip-3 dnat ip to ip daddr . meta l4proto . th dport . ct mark map @vip-endpoints",
        "delete element ip iacorch vips { 10.96.1.1 . tcp . 80 }",
        "add element ip iacorch vip-endpoints { 10.96.1.1 . tcp . 80 . 2 : 10.244.1.4 . 8080 }",
        "add element ip iacorch vips { 10.96.1.1 . tcp . 80 : goto vip-3 }",
    ]


def test_another_frame_has_another_mark() -> None:
    other = nft.Frame(IPv4Address("10.244.2.1"), IPv4Network("10.244.2.0/24"), CLUSTER_NETWORK, SERVICE_NETWORK)
    assert nft.frame_mark(FRAME) != nft.frame_mark(other)


def listed(elements: nft.Elements) -> dict[str, Any]:
    """How `nft -j list` shows them."""

    def words(text: str) -> Any:
        parts = [int(part) if part.isdigit() else part for part in text.split(" . ")]
        return {"concat": parts} if len(parts) > 1 else parts[0]

    def value(text: str) -> Any:
        return {"goto": {"target": text.removeprefix("goto ")}} if text.startswith("goto ") else words(text)

    entries: list[dict[str, Any]] = [{"metainfo": {}}, {"table": {"name": "iacorch"}}]
    entries += [{"chain": {"name": name}} for name in (nft.frame_mark(FRAME), *nft.chains_of(elements))]
    for (name, key), data in elements.items():
        holder = {"name": name, "elem": [[words(key), value(data)] if data else words(key)]}
        entries.append({"map" if data else "set": holder})
    entries.append({"map": {"name": "vip-affinity", "elem": [{"elem": {"val": 1, "timeout": 5}}]}})
    return {"nftables": entries}


endpoints = st.lists(
    st.builds(Endpoint, st.integers(1, 250).map("10.244.1.{}".format), st.integers(1, 65535)), max_size=4
)
backends = st.builds(lambda e, s: Backend(tuple(sorted(set(e))), s), endpoints, st.sampled_from([0, 60]))


@given(st.dictionaries(st.tuples(st.just(VIP), st.sampled_from(["TCP", "UDP"]), st.integers(1, 9)), backends))
def test_what_was_written_is_read_back(vips: Any) -> None:
    elements = nft.render(Routing(vips))
    rules = dict.fromkeys((nft.frame_mark(FRAME), *nft.chains_of(elements)), 0)
    assert nft.parse(listed(elements)) == nft.Found(nft.frame_mark(FRAME), rules, elements)


def test_an_element_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(ValueError, match="unexpected element"):
        nft.parse({"nftables": [{"set": {"name": "refused", "elem": [{"range": [1, 2]}]}}]})


# Which Service a change concerns


class Objects:
    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = list(objects)

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return next((o for o in self.objects if o["metadata"]["name"] == name), None)

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        return [o for o in self.objects if value in service_of(o)]

    def items(self) -> list[dict[str, Any]]:
        return self.objects


def test_only_marked_services_change() -> None:
    services, slices = Objects(service("a", "10.96.0.1"), service("b", "10.96.0.2")), Objects(slice_of("a", HERE))
    rules = ServiceRules(services, slices, node_name="node-1", cluster_network=CLUSTER_NETWORK)
    rules.refresh({("default", "a"), ("default", "b")})
    before = rules.elements({})
    slices.objects = [slice_of("a", HERE), slice_of("b", THERE)]
    rules.refresh({("default", "a")})
    assert rules.elements({}) == before
    rules.refresh({("default", "b")})
    assert Key("vips", "10.96.0.2 . tcp . 80") in rules.elements({})
    services.objects = []
    rules.refresh({("default", "a"), ("default", "b")})
    assert rules.elements({Key("host-ports", "tcp . 1"): "x"}) == {Key("host-ports", "tcp . 1"): "x"}


def test_a_slice_that_changes_hands_concerns_both_services() -> None:
    assert keys_of(slice_of("a"), slice_of("b"), by_label=True) == {("default", "a"), ("default", "b")}
    assert keys_of(None, service("a"), by_label=False) == {("default", "a")}
    assert keys_of({"metadata": {"name": "x", "namespace": "default"}}, by_label=True) == set()


def test_a_node_that_falls_silent_concerns_the_services_with_endpoints_there() -> None:
    services, slices = Objects(service("a"), service("b")), Objects(slice_of("a", HERE), slice_of("b", HERE, THERE))
    rules = ServiceRules(services, slices, node_name="node-1", cluster_network=CLUSTER_NETWORK)
    assert rules.silence(frozenset({"node-2"})) == {("default", "b")}
    assert rules.silence(frozenset({"node-2"})) == set()
    assert rules.silence(frozenset()) == {("default", "b")}


# Connections to let go of


PORTS = [{"name": "tcp", "protocol": p, "port": 80, "nodePort": 30080} for p in ("TCP", "UDP")]
WEB = service(ports=PORTS)
OLD, NEW = Endpoint("10.244.1.5", 8080), Endpoint("10.244.2.6", 8080)


@pytest.mark.parametrize(
    ("destination", "answered_by", "stale"),
    [
        pytest.param((VIP, 80), OLD, True, id="endpoint-not-chosen"),
        pytest.param((VIP, 80), NEW, False, id="endpoint-chosen"),
        pytest.param((VIP, 99), OLD, False, id="another-port"),
        pytest.param(("172.31.0.1", 30080), OLD, True, id="node-port"),
        pytest.param(("192.0.2.1", 30080), OLD, False, id="somebody-elses-port"),
    ],
)
@pytest.mark.parametrize(
    ("protocol", "is_answered"),
    [pytest.param("TCP", False, id="tcp-not-answered"), pytest.param("UDP", True, id="udp")],
)
def test_clients_that_wait_are_led_elsewhere(
    protocol: Any, is_answered: bool, destination: tuple[str, int], answered_by: Endpoint, stale: bool
) -> None:
    changed = departures(routing(WEB, slice_of("web", HERE, THERE)), routing(WEB, slice_of("web", THERE)))
    flow = Flow(protocol, destination, answered_by, is_answered=is_answered)
    assert is_stale(flow, changed, {"172.31.0.1"}) == stale


@pytest.mark.parametrize(
    ("before", "after", "silent", "ends"),
    [
        pytest.param([slice_of("web", HERE, **LEAVING)], [], "", True, id="it-was-ending-and-is-gone"),
        pytest.param([slice_of("web", HERE, **NOT_READY)], [], "", True, id="it-was-not-ready-and-is-gone"),
        pytest.param([slice_of("web", HERE)], [], "node-1", True, id="its-node-was-silent-and-it-is-gone"),
        pytest.param([slice_of("web", HERE)], [], "", False, id="it-was-fit-others-were-selected"),
        pytest.param([slice_of("web", HERE)], [slice_of("web", HERE, **LEAVING)], "", False, id="it-is-ending"),
        pytest.param([slice_of("web", HERE)], [slice_of("web", HERE, **NOT_READY)], "", False, id="it-is-not-ready"),
    ],
)
def test_a_tcp_connection_lives_as_long_as_its_endpoint(
    before: list[dict[str, Any]], after: list[dict[str, Any]], silent: str, ends: bool
) -> None:
    changed = departures(routing(WEB, *before, silent=silent), routing(WEB, *after))
    assert is_stale(Flow("TCP", (VIP, 80), OLD), changed, set()) == ends
    assert not is_stale(Flow("TCP", ("10.244.1.5", 8080), OLD, is_translated=False), changed, set())


def test_only_flows_of_what_left_are_looked_at() -> None:
    here, both = routing(WEB, slice_of("web", HERE)), routing(WEB, slice_of("web", HERE, THERE))
    assert not departures(here, here)
    assert departures(both, here).left == frozenset({"10.244.2.6"})
    assert departures(here, both).left == frozenset(), "who joins has no connections yet"
    assert departures(Routing(), here).left == frozenset({VIP, ""}), "nobody answered before"
    assert together(departures(both, here), departures(Routing(), here)).left == frozenset({"10.244.2.6", VIP, ""})
    assert together(Departures(left=None), departures(both, here)).left is None
