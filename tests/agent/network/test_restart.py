"""The agent ends and comes back, in every order with the control plane: nothing that is right changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.agent.network.builders import service, slice_of
from tests.agent.network.netns import Fleet, Node, eventually, needs_netns

pytestmark = needs_netns
VIP = "10.96.1.1"
NAME = "web.default.svc.cluster.local"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        for pod, node in (("a", 0), ("c", 1)):
            fleet.pod(pod, node)
        yield fleet


@pytest.fixture
def fleet(started: Fleet) -> Fleet:
    """The fleet with an agent on node 1 that knows everything, whatever the test before did to it."""
    started.nodes[0].kill_agent()
    agent = started.nodes[0].start_agent()
    agent.ask("put", objects=[node.object() for node in started.nodes])
    agent.ask("put", objects=[service(), slice_of("web", (started.addresses["c"], "node-2"))])
    started.nodes[0].wait_ready()
    agent.ask("sync", pod_uids=["uid-a"])  # pods that a test before this one attached are gone
    wanted = [f"c {started.addresses['a']}"]
    assert eventually(lambda: started.pods["a"].ask("tcp", address=VIP, port=80), wanted.__eq__) == wanted
    return started


def kernel(node: Node) -> str:
    """Everything we put there, with handles (which tell a rule from its replacement) and without what merely ages."""
    text = "".join(
        node.run(*command.split())
        for command in (
            "nft -a list table ip iacorch",
            "ip -o link",
            "ip -o -4 address",
            "ip route",
            "ip neigh show dev iacvx0 nud permanent",
            "bridge fdb show dev iacvx0",
            "iptables -S FORWARD",
        )
    )
    return re.sub(r"expires \w+|timeout \w+", "", text)


def test_services_keep_routing_while_no_agent_runs_and_a_new_one_changes_nothing(fleet: Fleet) -> None:
    node, pod = fleet.nodes[0], fleet.pods["a"]
    before = kernel(node)
    node.kill_agent()
    assert pod.ask("tcp", address=VIP, port=80) == [f"c {fleet.addresses['a']}"]
    agent = node.start_agent()
    agent.ask("put", objects=[n.object() for n in fleet.nodes])
    agent.ask("put", objects=[service(), slice_of("web", (fleet.addresses["c"], "node-2"))])
    node.wait_ready()
    assert agent.ask("sync", pod_uids=["uid-a"]) == {"uid-a": fleet.addresses["a"]}
    who = {"pod_uid": "uid-a", "namespace": "default", "name": "a", "sandbox_pid": pod.pid}
    assert agent.ask("attach", **who) == fleet.addresses["a"]
    agent.ask("put", objects=[slice_of("web", (fleet.addresses["c"], "node-2"), (fleet.addresses["a"], "node-1"))])
    both = eventually(lambda: {x[0] for x in pod.ask("tcp", address=VIP, port=80, count=20)}, lambda s: len(s) == 2)
    assert both == {"a", "c"}, "it follows changes again"
    agent.ask("put", objects=[slice_of("web", (fleet.addresses["c"], "node-2"))])
    lost = eventually(lambda: set(before.splitlines()) - set(kernel(node).splitlines()), lambda lines: not lines)
    assert lost == set()


def test_an_agent_that_starts_while_the_control_plane_is_away_attaches_pods_and_answers_names(fleet: Fleet) -> None:
    node, pod = fleet.nodes[0], fleet.pods["a"]
    wanted = ["NOERROR", VIP]
    assert eventually(lambda: pod.ask("dns", question=NAME), wanted.__eq__) == wanted
    saved = node.directory / "network" / "names.json"
    assert eventually(lambda: saved.exists() and NAME in saved.read_text(), bool)
    before = kernel(node)
    node.kill_agent()
    node.start_agent(away=True).ask("put", objects=[])
    node.wait_ready()
    assert kernel(node) == before
    assert pod.ask("tcp", address=VIP, port=80) == [f"c {fleet.addresses['a']}"]
    assert eventually(lambda: pod.ask("dns", question=NAME), wanted.__eq__) == wanted
    assert fleet.pod("new", 0) not in (fleet.addresses["a"], fleet.addresses["c"])
    assert fleet.pods["new"].ask("tcp", address=VIP, port=80) == [f"c {fleet.addresses['new']}"]


def frame(node: Node) -> str:
    """The chains that are always there, with their rules; those after them come and go with endpoints."""
    listing = node.run("nft", "-s", "-t", "list", "table", "ip", "iacorch")
    return listing.partition("chain vip-")[0] + "".join(re.findall(r"chain theirs", listing))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("delete table ip iacorch", id="no table"),
        pytest.param("flush chain ip iacorch choose", id="no rule"),
        pytest.param("insert rule ip iacorch from-others drop", id="a rule more"),
        pytest.param("add chain ip iacorch theirs", id="a chain more"),
    ],
)
def test_what_was_changed_while_no_agent_ran_is_as_it_was_with_it(fleet: Fleet, change: str) -> None:
    node, pod = fleet.nodes[0], fleet.pods["a"]
    node.kill_agent()
    before = frame(node)
    node.run("nft", *change.split())
    node.run("ip", "route", "del", "10.244.2.0/24")
    agent = node.start_agent()
    agent.ask("put", objects=[n.object() for n in fleet.nodes])
    agent.ask("put", objects=[service(), slice_of("web", (fleet.addresses["c"], "node-2"))])
    wanted = [f"c {fleet.addresses['a']}"]
    assert eventually(lambda: pod.ask("tcp", address=VIP, port=80), wanted.__eq__) == wanted
    assert eventually(lambda: frame(node), before.__eq__) == before


def test_a_node_that_leaves_takes_its_routes_along(fleet: Fleet) -> None:
    node = fleet.nodes[0]
    assert "10.244.2.0/24" in node.run("ip", "route")
    fleet.agent(0).ask("remove", kind="Node", namespace="", name="node-2")
    assert "10.244.2.0/24" not in eventually(lambda: node.run("ip", "route"), lambda r: "10.244.2.0/24" not in r)
    assert "172.31.0.2" not in node.run("bridge", "fdb", "show", "dev", "iacvx0")
