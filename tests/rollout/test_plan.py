"""The order of an upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.infra.bootstrap.marks import mark
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot
from iacorch.rollout.plan import CORDONED, ZONE, Member, ca_of, members_of, plan, unready


def node(name: str, zone: str = "", **more: Any) -> Member:
    return Member(name, f"urn::{name}", "s", "node", zone, **more)


SERVER = Member("server", "urn::server", "s", "control-plane")


@pytest.mark.parametrize(
    ("members", "at_once", "expected"),
    [
        pytest.param([], 1, [], id="nothing"),
        pytest.param([node("a"), SERVER], 1, ["control plane: server", "zone (none): a"], id="the control plane first"),
        pytest.param(
            [node("a", "z2"), node("b", "z1"), node("c", "z1")],
            1,
            ["zone z1: b", "zone z1: c", "zone z2: a"],
            id="zone after zone",
        ),
        pytest.param(
            [node("a", "z1"), node("b", "z2"), node("c", "z1"), node("d", "z1")],
            2,
            ["zone z1: a, c", "zone z1: d", "zone z2: b"],
            id="never two zones at once",
        ),
        pytest.param(
            [node("a", "z1"), node("b", "z2"), node("c", "z2", ready=False)],
            1,
            ["zone z2: c", "zone z2: b", "zone z1: a"],
            id="what is not ready first",
        ),
        pytest.param([node("a", current=True), node("b")], 1, ["zone (none): b"], id="what is done is passed over"),
    ],
)
def test_order(members: list[Member], at_once: int, expected: list[str]) -> None:
    assert [str(batch) for batch in plan(members, at_once=at_once).batches] == expected


def test_a_node_that_a_run_before_left_cordoned_is_to_be_uncordoned() -> None:
    found = plan([node("a", current=True, left_cordoned=True), node("b", current=True)])
    assert (found.batches, found.leftovers, found.current) == ((), ("a",), ("a", "b"))


def live(name: str, *, ready: bool = True, zone: str = "z", cordoned: str = "") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {ZONE: zone},
            "annotations": {CORDONED: "true"} if cordoned == "us" else {},
        },
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]},
    }


def test_unready_nodes_count_unless_they_are_the_ones_to_be_changed() -> None:
    nodes = [live("a", ready=False), live("b", ready=False), live("c")]
    (batch,) = plan([node("a")]).batches
    assert unready(nodes, batch) == ("b",)


def test_members_are_read_from_states_and_nodes() -> None:
    def resource(name: str, type_: str, release: str, **more: Any) -> Resource:
        inputs = {"nodeName": name, "release": release}
        return Resource(f"urn:pulumi:s::p::{type_}::{name}", type_, True, inputs=inputs, **more)

    kind = "iacorch:index:Node"
    snapshot = Snapshot(
        resources=(
            resource("server", "iacorch:index:ControlPlane", "new"),
            resource("a", kind, "new"),
            resource("b", kind, "old"),
            resource("c", kind, "new", init_errors=("went back",)),
            resource("d", kind, "old"),
            resource("gone", kind, "old", delete=True),
            resource("key", "iacorch:index:SshKey", "old"),
        )
    )
    nodes = [live("a", cordoned="us"), live("b", cordoned="others"), live("c", ready=False)]
    found = {
        m.name: (m.role, m.zone, m.current, m.ready, m.left_cordoned)
        for m in members_of({"s": snapshot}, nodes, release="new")
    }
    assert found == {
        "server": ("control-plane", "", True, True, False),
        "a": ("node", "z", True, True, True),
        "b": ("node", "z", False, True, False),
        "c": ("node", "z", False, False, False),  # its last upgrade failed
        "d": ("node", "", False, False, False),  # nobody knows its Node
    }


CA = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"


def claim(name: str, build: str, *, initialized: bool = True, **metadata: Any) -> dict[str, Any]:
    conditions = [{"type": "Initialized", "status": "True" if initialized else "Unknown"}]
    return {
        "metadata": {"name": name, **metadata},
        "status": {"build": build, "nodeName": f"node-{name}", "conditions": conditions},
    }


def test_machines_of_pools_are_members_by_their_claims() -> None:
    kind = "iacorch:index:ControlPlane"
    server = Resource(f"urn:pulumi:s::p::{kind}::server", kind, True, inputs={"release": "new"}, outputs={"caCert": CA})
    old_ca = Resource(
        "urn:pulumi:s::p::iacorch:index:Node::a",
        "iacorch:index:Node",
        True,
        inputs={"nodeName": "a", "release": "new", "caCert": "another"},
    )
    claims = [
        claim("done", mark("new", CA.strip())),
        claim("old", mark("old", CA)),
        claim("ca", mark("new", "another")),
        claim("coming", "", initialized=False),
        claim("going", "", deletionTimestamp="2026-01-01T00:00:00Z"),
    ]
    stacks = {"s": Snapshot(resources=(server, old_ca))}
    assert ca_of(stacks) == CA
    found = members_of(stacks, [live("node-old")], claims, release="new", ca=CA)
    assert {(m.name, m.claim, m.zone, m.current) for m in found} == {
        ("server", "", "", True),
        ("a", "", "", False),  # the CA has changed
        ("node-done", "done", "", True),
        ("node-old", "old", "z", False),
        ("node-ca", "ca", "", False),
    }
    assert [str(batch) for batch in plan(found).batches] == [
        "zone (none): a",
        "zone (none): node-ca (node pool)",
        "zone z: node-old (node pool)",
    ]
