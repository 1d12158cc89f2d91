"""One decision: tables of what fits where, what is said when nothing does, and what is preferred."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.api.objects import Object
from iacorch.scheduler.plan import Placement, Unschedulable, plan
from iacorch.scheduler.pod import pod_info
from iacorch.scheduler.scores import DEFAULT, PROFILES, Profile
from iacorch.scheduler.snapshot import Snapshot
from tests.scheduler.build import node, pod


def snapshot(*nodes: Object, placed: tuple[tuple[Object, str], ...] = ()) -> Snapshot:
    made = Snapshot()
    for entry in nodes:
        made.set_node(entry)
    for obj, name in placed:
        made.place(pod_info(obj), name)
    return made


def decide(obj: Object, cluster: Snapshot, profile: Profile = DEFAULT) -> Placement | Unschedulable:
    return plan(pod_info(obj), cluster, profile)


def taint(key: str = "gpu", value: str = "yes", effect: str = "NoSchedule") -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


WEB = {"app": "web"}


def spread(**fields: Any) -> dict[str, Any]:
    """Over zones, at most one more than elsewhere, unless `fields` say otherwise."""
    constraint = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {**constraint, "labelSelector": {"matchLabels": WEB}, **fields}


def rather(kind: str, labels: dict[str, str]) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def named(operator: str, *names: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(names)}]}


def anti(labels: dict[str, str], topology: str = "kubernetes.io/hostname") -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def near(labels: dict[str, str], topology: str = "zone") -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


A = node("a", labels={"disk": "ssd", "zone": "z1", "cores": "8"})
B = node("b", labels={"disk": "hdd", "zone": "z2", "cores": "2"})


@pytest.mark.parametrize(
    ("obj", "cluster", "where"),
    [
        pytest.param(pod(cpu="4"), snapshot(node("a"), node("b", cpu="2")), "a", id="exactly-what-is-free"),
        pytest.param(pod(), snapshot(node("a", cpu="0", memory="0"), node("b", pods="0")), "a", id="asks-for-nothing"),
        pytest.param(pod(nodeSelector={"disk": "ssd"}), snapshot(A, B), "a", id="node-selector"),
        pytest.param(pod(affinity=required(expression("disk", "In", "hdd"))), snapshot(A, B), "b", id="affinity-in"),
        pytest.param(pod(affinity=required(expression("cores", "Gt", "4"))), snapshot(A, B), "a", id="affinity-gt"),
        pytest.param(pod(affinity=required(named("In", "b"))), snapshot(A, B), "b", id="affinity-name-in"),
        pytest.param(pod(affinity=required(named("NotIn", "a"))), snapshot(A, B), "b", id="affinity-name-not-in"),
        pytest.param(
            pod(affinity=required(expression("disk", "In", "none"), expression("zone", "In", "z2"))),
            snapshot(A, B),
            "b",
            id="affinity-any-term",
        ),
        pytest.param(pod(), snapshot(node("a", taints=[taint()]), B), "b", id="taint-avoided"),
        pytest.param(
            pod(tolerations=[{"key": "gpu", "operator": "Exists"}], nodeSelector={"g": "1"}),
            snapshot(node("a", taints=[taint()], labels={"g": "1"}), B),
            "a",
            id="taint-tolerated",
        ),
        pytest.param(
            pod(), snapshot(node("a", taints=[taint(effect="PreferNoSchedule")]), B), "b", id="prefer-no-schedule"
        ),
        pytest.param(pod(), snapshot(node("a", unschedulable=True), B), "b", id="cordoned"),
        pytest.param(pod(), snapshot(node("a", ready=False), B), "b", id="not-ready"),
        pytest.param(pod(port=80), snapshot(A, B, placed=((pod("x", port=80), "a"),)), "b", id="host-port-taken"),
        pytest.param(
            pod(affinity=anti({"app": "db"})),
            snapshot(A, B, placed=((pod("x", labels={"app": "db"}), "a"),)),
            "b",
            id="keeps-away",
        ),
        pytest.param(
            pod(labels={"app": "web"}),
            snapshot(A, B, placed=((pod("x", affinity=anti({"app": "web"})), "a"),)),
            "b",
            id="is-kept-away",
        ),
        pytest.param(
            pod(affinity=near({"app": "db"})),
            snapshot(A, B, placed=((pod("x", labels={"app": "db"}), "b"),)),
            "b",
            id="near-another",
        ),
        pytest.param(pod(cpu="1"), snapshot(A, B, placed=((pod("x", cpu="2"), "a"),)), "b", id="least-allocated"),
        pytest.param(
            pod(owner="rs"),
            snapshot(A, B, placed=((pod("x", owner="rs"), "a"), (pod("y", cpu="2"), "b"))),
            "b",
            id="spread-before-balance",
        ),
        pytest.param(
            pod(
                affinity={
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 5, "preference": expression("disk", "In", "hdd")}
                        ]
                    }
                }
            ),
            snapshot(A, B),
            "b",
            id="preferred-affinity",
        ),
        pytest.param(
            pod(affinity=rather("podAffinity", {"app": "db"})),
            snapshot(A, B, placed=((pod("x", cpu="2", labels={"app": "db"}), "b"),)),
            "b",
            id="rather-near-another",
        ),
        pytest.param(
            pod(affinity=rather("podAntiAffinity", {"app": "db"})),
            snapshot(A, B, placed=((pod("x", labels={"app": "db"}), "a"), (pod("y", cpu="2"), "b"))),
            "b",
            id="rather-not-near-another",
        ),
        pytest.param(
            pod(labels=WEB, topologySpreadConstraints=[spread()]),
            snapshot(A, B, placed=((pod("x", labels=WEB), "a"), (pod("y", cpu="3"), "b"))),
            "b",
            id="spread-must-hold",
        ),
        pytest.param(
            pod(labels=WEB, topologySpreadConstraints=[spread(maxSkew=2)]),
            snapshot(A, B, placed=((pod("x", labels=WEB), "a"), (pod("y", cpu="3"), "b"))),
            "a",
            id="spread-within-the-skew",
        ),
        pytest.param(
            pod(labels=WEB, topologySpreadConstraints=[spread(whenUnsatisfiable="ScheduleAnyway")]),
            snapshot(A, B, placed=((pod("x", labels=WEB), "a"),)),
            "b",
            id="spread-where-it-can-be",
        ),
        pytest.param(
            pod(labels=WEB, nodeSelector={"zone": "z1"}, topologySpreadConstraints=[spread()]),
            snapshot(A, B, placed=((pod("x", labels=WEB), "a"),)),
            "a",
            id="spread-over-what-the-pod-may-use",
        ),
        pytest.param(
            pod(labels=WEB, topologySpreadConstraints=[spread(), spread(topologyKey="kubernetes.io/hostname")]),
            snapshot(A, B, node("c", labels={"zone": "z2"}), placed=((pod("x", labels=WEB), "b"),)),
            "a",
            id="spread-over-zones-and-hosts",
        ),
        pytest.param(
            pod(labels={"v": "2"}, topologySpreadConstraints=[spread(labelSelector={}, matchLabelKeys=["v"])]),
            snapshot(A, B, placed=((pod("x", labels={"v": "1"}), "b"), (pod("y", cpu="3", labels={"v": "2"}), "a"))),
            "b",
            id="spread-of-one-version",
        ),
        pytest.param(
            pod(resources={"example.com/gpu": "1"}),
            snapshot(A, node("g", resources={"example.com/gpu": "1"})),
            "g",
            id="extended-resource",
        ),
    ],
)
def test_a_pod_goes_where_it_belongs(obj: Object, cluster: Snapshot, where: str) -> None:
    verdict = decide(obj, cluster)
    assert isinstance(verdict, Placement), verdict
    assert verdict.node == where


@pytest.mark.parametrize(
    ("obj", "cluster", "message"),
    [
        pytest.param(
            pod(), snapshot(), "0/0 nodes are available: no nodes available to schedule pods", id="empty-cluster"
        ),
        pytest.param(
            pod(cpu="5"), snapshot(node("a"), node("b")), "0/2 nodes are available: 2 Insufficient cpu.", id="no-cpu"
        ),
        pytest.param(
            pod(cpu="5", memory="9Gi"),
            snapshot(node("a")),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            id="two-resources-of-one-node",
        ),
        pytest.param(
            pod(cpu="5"),
            snapshot(node("a"), node("b", taints=[taint()]), node("c", taints=[taint()])),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}.",
            id="each-node-by-its-first-reason",
        ),
        pytest.param(
            pod(), snapshot(node("a", pods="0")), "0/1 nodes are available: 1 Too many pods.", id="too-many-pods"
        ),
        pytest.param(
            pod(labels=WEB, nodeSelector={"disk": "ssd"}, topologySpreadConstraints=[spread(minDomains=2)]),
            snapshot(A, B, placed=((pod("x", labels=WEB), "a"),)),
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) didn't match pod topology spread constraints.",
            id="spread-over-more-domains-than-there-are",
        ),
        pytest.param(
            pod(labels=WEB, topologySpreadConstraints=[spread(topologyKey="rack")]),
            snapshot(A, B),
            "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints (missing required label).",
            id="spread-over-a-label-that-no-node-has",
        ),
        pytest.param(
            pod(nodeSelector={"disk": "tape"}),
            snapshot(A, B),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            id="selector",
        ),
        pytest.param(
            pod(port=80),
            snapshot(A, placed=((pod("x", port=80), "a"),)),
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            id="host-port",
        ),
        pytest.param(
            pod(resources={"example.com/gpu": "1"}),
            snapshot(A),
            "0/1 nodes are available: 1 Insufficient example.com/gpu.",
            id="unknown-resource",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_why(obj: Object, cluster: Snapshot, message: str) -> None:
    verdict = decide(obj, cluster)
    assert isinstance(verdict, Unschedulable)
    assert verdict.message == message


@pytest.mark.parametrize(("profile", "where"), [("pack", "a"), ("spread", "b")])
def test_packing_fills_the_fuller_node_and_spreading_the_other(profile: str, where: str) -> None:
    cluster = snapshot(A, B, placed=((pod("x", cpu="2"), "a"),))
    verdict = decide(pod(cpu="1"), cluster, PROFILES[profile])
    assert isinstance(verdict, Placement)
    assert verdict.node == where


def test_equal_nodes_fill_evenly_and_the_same_way_every_time() -> None:
    cluster = snapshot(*(node(f"n{number}") for number in range(4)))
    first = [decide(pod(f"p{number}"), cluster) for number in range(400)]
    assert first == [decide(pod(f"p{number}"), cluster) for number in range(400)]
    counts = Counter(verdict.node for verdict in first if isinstance(verdict, Placement))
    assert min(counts.values()) > 50


def test_a_pod_of_a_node_that_is_not_known_yet_is_counted_when_it_is() -> None:
    cluster = snapshot(placed=((pod("x", cpu="4"), "a"),))
    cluster.set_node(node("a"))
    assert isinstance(decide(pod(cpu="1"), cluster), Unschedulable)


def test_a_node_that_leaves_and_comes_back_has_its_pods() -> None:
    cluster = snapshot(node("a"), placed=((pod("x", cpu="4"), "a"),))
    cluster.remove_node("a")
    cluster.set_node(node("b"))
    assert isinstance(decide(pod(cpu="4"), cluster), Placement)
    cluster.set_node(node("a"))
    cluster.remove_node("b")
    assert isinstance(decide(pod(cpu="1"), cluster), Unschedulable)


def test_an_init_container_counts_only_as_far_as_it_is_larger() -> None:
    obj = pod(cpu="1")
    obj["spec"]["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    assert dict(pod_info(obj).requests) == {"cpu": 3000, "memory": 1024**3, "pods": 1}


def test_a_sidecar_counts_for_as_long_as_the_pod_lives() -> None:
    obj = pod(cpu="1")
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}}
    obj["spec"]["initContainers"] = [sidecar]
    assert dict(pod_info(obj).requests)["cpu"] == 1500


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=40),
    nodes=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    removals=st.sets(st.integers(0, 39)),
)
def test_capacity_is_never_exceeded(sizes: list[int], nodes: list[int], removals: set[int]) -> None:
    cluster = snapshot(*(node(f"n{number}", cpu=str(cores)) for number, cores in enumerate(nodes)))
    used: Counter[str] = Counter()
    for number, cores in enumerate(sizes):
        info = pod_info(pod(f"p{number}", cpu=str(cores)))
        verdict = plan(info, cluster)
        if isinstance(verdict, Placement):
            cluster.place(info, verdict.node)
            used[verdict.node] += cores
            assert used[verdict.node] <= nodes[int(verdict.node[1:])]
            if number in removals:
                cluster.remove(info.uid)
                used[verdict.node] -= cores
        else:
            assert all(used[f"n{row}"] + cores > limit for row, limit in enumerate(nodes))


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["a", "b", "gone", None])), max_size=60))
def test_counting_step_by_step_equals_counting_afresh(steps: list[tuple[int, str | None]]) -> None:
    cluster = snapshot(node("a"), node("b"))
    where: dict[int, str] = {}
    for number, target in steps:
        info = pod_info(pod(f"p{number}", cpu="1", owner="rs", port=80 + number))
        if target is None:
            cluster.remove(info.uid)
            where.pop(number, None)
        else:
            cluster.place(info, target)
            where[number] = target
    placed = tuple((pod(f"p{n}", cpu="1", owner="rs", port=80 + n), target) for n, target in where.items())
    fresh = snapshot(node("a"), node("b"), placed=placed)
    for name in ("a", "b"):
        row, other = cluster.rows[name], fresh.rows[name]
        assert cluster.used("cpu")[row] == fresh.used("cpu")[other]
        assert cluster.used("pods")[row] == fresh.used("pods")[other]
    assert cluster.workload_counts("rs") == fresh.workload_counts("rs")
    for number in range(10):
        assert cluster.port_users(("TCP", "", 80 + number)) == fresh.port_users(("TCP", "", 80 + number))
