"""Two nodes with the real kernel between them: tunnel, Services, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.network.builders import service, slice_of
from tests.agent.network.netns import Fleet, eventually, needs_netns

pytestmark = needs_netns
VIP = "10.96.1.1"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as fleet:
        yield fleet


def test_pods_reach_each_other_on_one_node_and_across_nodes_under_their_own_addresses(fleet: Fleet) -> None:
    a, b, c = fleet.pod("a", 0), fleet.pod("b", 0), fleet.pod("c", 1)
    for name, address in (("b", b), ("c", c)):
        assert fleet.pods["a"].ask("tcp", address=address, port=8080) == [f"{name} {a}"]
        assert fleet.pods["a"].ask("udp", address=address, port=8080) == [f"{name} {a}"]


def test_a_service_spreads_connections_over_both_nodes(fleet: Fleet) -> None:
    a, b, c = fleet.pod("a", 0), fleet.pod("b", 0), fleet.pod("c", 1)
    fleet.put(service(), slice_of("web", (b, "node-1"), (c, "node-2")))
    both = {f"b {a}", f"c {a}"}
    assert eventually(lambda: set(fleet.pods["a"].ask("tcp", address=VIP, port=80, count=20)), both.__eq__) == both
    assert set(fleet.pods["a"].ask("udp", address=VIP, port=80, count=3)) <= both
    assert {a.split()[0] for a in fleet.nodes[0].host.ask("tcp", address=VIP, port=80, count=20)} == {"b", "c"}
