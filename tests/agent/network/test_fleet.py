"""Two nodes with the real kernel between them: tunnel, Services, names, restarts.

One fleet for the module, because starting it costs seconds: each test brings its own Service, pods and addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from tests.agent.network.builders import service, slice_of
from tests.agent.network.netns import Fleet, Remote, eventually, needs_netns

pytestmark = needs_netns
numbers = count(1)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        for pod, node in (("a", 0), ("b", 0), ("c", 1)):
            fleet.pod(pod, node)
        yield fleet


class Web:
    """A Service of this test alone."""

    def __init__(self, fleet: Fleet) -> None:
        number = next(numbers)
        self.fleet, self.name, self.vip, self.node_port = fleet, f"web-{number}", f"10.96.1.{number}", 30000 + number

    def behind(self, *pods: str, conditions: dict[str, bool] | None = None, **spec: Any) -> None:
        """(Re)place the Service and its endpoints."""
        ports = [
            {"name": "tcp", "protocol": "TCP", "port": 80, "nodePort": self.node_port},
            {"name": "udp", "protocol": "UDP", "port": 80, "nodePort": self.node_port},
        ]
        where = [(self.fleet.addresses[pod], "node-2" if pod == "c" else "node-1") for pod in pods]
        self.fleet.put(
            service(self.name, self.vip, ports=ports, **spec), slice_of(self.name, *where, **(conditions or {}))
        )

    def seen_by(self, client: Remote, *, how_many: int = 24, address: str = "", port: int = 80) -> set[str]:
        return set(client.ask("tcp", address=address or self.vip, port=port, count=how_many))


@pytest.fixture
def web(fleet: Fleet) -> Web:
    return Web(fleet)


def test_pods_reach_each_other_on_one_node_and_across_nodes_under_their_own_addresses(fleet: Fleet) -> None:
    for name in ("b", "c"):
        address, answer = fleet.addresses[name], [f"{name} {fleet.addresses['a']}"]
        assert fleet.pods["a"].ask("tcp", address=address, port=8080) == answer
        assert fleet.pods["a"].ask("udp", address=address, port=8080) == answer


def test_a_node_reaches_pods_of_both_nodes(fleet: Fleet) -> None:
    for name in ("a", "c"):
        answer = fleet.nodes[0].host.ask("tcp", address=fleet.addresses[name], port=8080)
        assert answer[0].startswith(f"{name} 10.244.1.")


def test_a_pod_leaves_the_cluster_under_its_nodes_address(fleet: Fleet) -> None:
    fleet.nodes[1].host.ask("serve", name="outside", port=9000)
    assert fleet.pods["a"].ask("tcp", address="172.31.0.2", port=9000) == ["outside 172.31.0.1"]


def test_a_service_spreads_connections_over_both_nodes_and_keeps_the_clients_address(fleet: Fleet, web: Web) -> None:
    web.behind("b", "c")
    both = {f"b {fleet.addresses['a']}", f"c {fleet.addresses['a']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"]), both.__eq__) == both
    flows = [fleet.pods["a"].ask("udp", address=web.vip, port=80)[0] for _ in range(24)]
    assert set(flows) == both


def test_a_node_reaches_services(fleet: Fleet, web: Web) -> None:
    web.behind("b", "c")
    seen = eventually(lambda: web.seen_by(fleet.nodes[0].host), lambda s: len(s) == 2)
    assert {answer.split()[0] for answer in seen} == {"b", "c"}


def test_a_service_may_lead_to_a_machine_instead_of_pods(fleet: Fleet, web: Web) -> None:
    fleet.nodes[1].host.ask("serve", name="machine", port=8080)
    fleet.put(service(web.name, web.vip), slice_of(web.name, ("172.31.0.2", "node-2")))
    wanted = {"machine 172.31.0.1"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"], how_many=1), wanted.__eq__) == wanted
    assert web.seen_by(fleet.nodes[0].host, how_many=1) == wanted
    own = {f"machine {fleet.addresses['c']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["c"], how_many=1), own.__eq__) == own


def test_a_pod_reaches_itself_through_its_service(fleet: Fleet, web: Web) -> None:
    web.behind("a")
    assert eventually(lambda: web.seen_by(fleet.pods["a"]), {"a 10.244.1.1"}.__eq__) == {"a 10.244.1.1"}
    assert fleet.pods["a"].ask("udp", address=web.vip, port=80, count=2) == ["a 10.244.1.1"] * 2


def test_node_ports_answer_on_every_nodes_address_and_on_loopback(fleet: Fleet, web: Web) -> None:
    web.behind("c")
    for client, address in (
        (1, "172.31.0.1"),
        (0, "172.31.0.2"),
        (0, "127.0.0.1"),
        (1, "127.0.0.1"),
        (0, "172.31.0.1"),
    ):
        host = fleet.nodes[client].host
        seen = eventually(lambda h=host, a=address: h.ask("tcp", address=a, port=web.node_port)[0], _answers)  # type: ignore[misc]
        assert seen.startswith("c "), (client, address, seen)
        assert host.ask("udp", address=address, port=web.node_port)[0].startswith("c "), (client, address)


def _answers(answer: str) -> bool:
    return " " in answer


def test_a_node_port_on_loopback_does_not_open_loopback_to_pods(fleet: Fleet) -> None:
    fleet.nodes[0].host.ask("serve", name="private", port=9001)
    pod = fleet.pods["a"]
    fleet.enter_pod("a", "ip", "route", "add", "127.0.0.9/32", "via", "10.244.1.1", "table", "local")
    assert pod.ask("tcp", address="127.0.0.9", port=9001) != ["private 127.0.0.1"]


def test_a_service_without_endpoints_refuses_at_once(fleet: Fleet, web: Web) -> None:
    web.behind("b")
    eventually(lambda: web.seen_by(fleet.pods["a"], how_many=1), lambda s: "ConnectionRefusedError" not in s)
    web.behind()
    refused = {"ConnectionRefusedError"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"], how_many=1), refused.__eq__) == refused
    # The kernel sends one of these messages a second to whom it may concern, and others may have gone before.
    assert eventually(
        lambda: fleet.pods["a"].ask("udp", address=web.vip, port=80), ["ConnectionRefusedError"].__eq__
    ) == ["ConnectionRefusedError"]
    assert web.seen_by(fleet.nodes[0].host, how_many=1) == refused
    # Each node has its own rules, and puts them in place in its own time.
    outside = fleet.nodes[1].host
    said = lambda: outside.ask("tcp", address="172.31.0.1", port=web.node_port)  # noqa: E731 asked again and again
    assert eventually(said, ["ConnectionRefusedError"].__eq__) == ["ConnectionRefusedError"]


def test_terminating_endpoints_serve_while_there_is_no_other(fleet: Fleet, web: Web) -> None:
    leaving = {"ready": False, "serving": True, "terminating": True}
    web.behind("b", conditions=leaving)
    wanted = {f"b {fleet.addresses['a']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"], how_many=2), wanted.__eq__) == wanted


def test_a_client_stays_with_its_endpoint_until_that_is_gone(fleet: Fleet, web: Web) -> None:
    sticky: dict[str, Any] = {
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
    }
    web.behind("b", "c", **sticky)
    first = eventually(lambda: web.seen_by(fleet.pods["a"]), lambda s: len(s) == 1 and all(map(_answers, s)))
    assert len(first) == 1
    stays = next(iter(first)).split()[0]
    web.behind("a", "b", "c", **sticky)
    eventually(lambda: "vip-3-sticky-600" in fleet.nodes[0].run("nft", "list", "map", "ip", "iacorch", "vips"), bool)
    assert {a.split()[0] for a in web.seen_by(fleet.pods["a"])} == {stays}
    web.behind(*({"a", "b", "c"} - {stays}), **sticky)
    seen = eventually(lambda: {a.split()[0] for a in web.seen_by(fleet.pods["a"])}, lambda s: stays not in s)
    assert stays not in seen


def test_local_policies_keep_to_the_nodes_own_endpoints(fleet: Fleet, web: Web) -> None:
    web.behind("b", "c", internalTrafficPolicy="Local", externalTrafficPolicy="Local")
    mine = {f"c {fleet.addresses['c']}", "c 10.244.2.1"}
    assert eventually(lambda: web.seen_by(fleet.pods["c"]) <= mine, bool)
    outside = fleet.nodes[0].host.ask("tcp", address="172.31.0.2", port=web.node_port, count=6)
    assert set(outside) == {"c 172.31.0.1"}, "the client's address is kept"


def test_a_udp_client_is_moved_when_its_endpoint_goes(fleet: Fleet, web: Web) -> None:
    web.behind("b")

    def ask() -> str:
        return str(fleet.pods["a"].ask("udp", address=web.vip, port=80, from_port=5000 + int(web.vip.split(".")[3]))[0])

    assert eventually(ask, lambda s: s.startswith("b ")).startswith("b ")
    web.behind("c")
    assert eventually(ask, lambda s: s.startswith("c ")).startswith("c ")


DROP_ALL = "add table ip quiet; add chain ip quiet in { type filter hook input priority 0; policy drop; }"
DROP_ECHOES = (
    "add table ip quiet; add chain ip quiet in { type filter hook input priority 0; }; "
    "add rule ip quiet in icmp type echo-request drop"
)


def test_a_client_that_waits_for_a_dead_pod_is_led_to_another(fleet: Fleet, web: Web) -> None:
    fleet.pod("dead", 1)
    fleet.enter_pod("dead", "nft", DROP_ALL)
    fleet.put(service(web.name, web.vip), slice_of(web.name, (fleet.addresses["dead"], "node-2")))
    client, port = fleet.pods["a"], 4000 + int(web.vip.split(".")[3])
    silence = eventually(lambda: client.ask("tcp", address=web.vip, port=80, patience=0.3), ["TimeoutError"].__eq__)
    assert silence == ["TimeoutError"], "it is led to the dead pod"
    assert client.ask("tcp", address=web.vip, port=80, patience=0.3, from_port=port) == silence
    with ThreadPoolExecutor(1) as pool:
        # TCP tries again by itself; its second attempt may go elsewhere only if the first is forgotten.
        waiting = pool.submit(client.ask, "tcp", address=web.vip, port=80, patience=30)
        wanted = [f"b {fleet.addresses['a']}"]
        web.behind("b")
        assert waiting.result() == wanted
    assert client.ask("tcp", address=web.vip, port=80, from_port=port) == wanted, "the port was used before"


def test_a_node_that_does_not_answer_is_left_out_until_it_does(fleet: Fleet, web: Web) -> None:
    web.behind("b", "c")
    both = {f"b {fleet.addresses['a']}", f"c {fleet.addresses['a']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"]), both.__eq__) == both
    fleet.nodes[1].run("nft", DROP_ECHOES)
    try:
        only = {f"b {fleet.addresses['a']}"}
        assert eventually(lambda: web.seen_by(fleet.pods["a"]), only.__eq__) == only
    finally:
        fleet.nodes[1].run("nft", "delete", "table", "ip", "quiet")
    assert eventually(lambda: web.seen_by(fleet.pods["a"]), both.__eq__) == both


def test_host_ports_lead_to_their_pod_until_it_is_gone(fleet: Fleet) -> None:
    fleet.pod("port", 0, host_ports=[[31900, 8080, "TCP"], [31901, 8080, "UDP"]])
    client = fleet.nodes[1].host
    seen = eventually(lambda: client.ask("tcp", address="172.31.0.1", port=31900)[0], _answers)
    assert seen == "port 172.31.0.2"
    assert client.ask("udp", address="172.31.0.1", port=31901) == ["port 172.31.0.2"]
    fleet.agent(0).ask("detach", pod_uid="uid-port")
    refused = ["ConnectionRefusedError"]
    assert eventually(lambda: client.ask("tcp", address="172.31.0.1", port=31900), refused.__eq__) == refused


def test_names_are_answered_on_every_node_over_udp_and_tcp(fleet: Fleet, web: Web) -> None:
    web.behind("b")
    name = f"{web.name}.default.svc.cluster.local"
    for pod in ("a", "c"):
        client = fleet.pods[pod]
        wanted = ["NOERROR", web.vip]
        assert eventually(lambda c=client: c.ask("dns", question=name), wanted.__eq__) == wanted  # type: ignore[misc]
        assert client.ask("dns", question=name, over_tcp=True) == wanted


def test_a_table_that_somebody_removed_comes_back_with_the_next_change(fleet: Fleet, web: Web) -> None:
    web.behind("b")
    wanted = {f"b {fleet.addresses['a']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"], how_many=1), wanted.__eq__) == wanted
    fleet.nodes[0].run("nft", "delete", "table", "ip", "iacorch")
    web.behind("b", "c")
    both = {f"b {fleet.addresses['a']}", f"c {fleet.addresses['a']}"}
    assert eventually(lambda: web.seen_by(fleet.pods["a"]), both.__eq__) == both


def test_rules_are_kept_beside_dockers_drop_policy(fleet: Fleet, web: Web) -> None:
    fleet.nodes[1].host.ask("serve", name="machine", port=8081)
    web.behind()
    part = slice_of(web.name, ("172.31.0.2", "node-2"))
    part["ports"] = [{"name": "tcp", "protocol": "TCP", "port": 8081}]
    fleet.put(part)
    for node in fleet.nodes:
        node.run("iptables", "-P", "FORWARD", "DROP")
    try:
        # From a machine to a node port of another one, and on to a third, which here is the first again.
        client = fleet.nodes[1].host
        wanted = ["machine 172.31.0.1"]
        assert eventually(lambda: client.ask("tcp", address="172.31.0.1", port=web.node_port), wanted.__eq__) == wanted
        assert fleet.pods["a"].ask("tcp", address=fleet.addresses["b"], port=8080) == [f"b {fleet.addresses['a']}"]
        assert fleet.pods["a"].ask("tcp", address=fleet.addresses["c"], port=8080) == [f"c {fleet.addresses['a']}"]
    finally:
        for node in fleet.nodes:
            node.run("iptables", "-P", "FORWARD", "ACCEPT")
