"""What an agent may write about its node and its pods."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.api.catalogue import NODE, POD
from iacorch.errors import Forbidden
from iacorch.server.admission import node
from iacorch.server.request import SYSTEM, Target, node_user

AGENT = node_user("n1")
SELF = Target(NODE, name="n1")


def a_node(*, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n1", "labels": labels or {}}, "spec": spec}


def a_pod(address: str, **spec: Any) -> dict[str, Any]:
    status = {"podIP": address, "podIPs": [{"ip": address}]}
    return {"metadata": {"name": "p", "namespace": "d"}, "spec": {"nodeName": "n1", **spec}, "status": status}


TAINT = {"key": "a", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        pytest.param(a_node(taints=[TAINT]), "", id="with its taints"),
        pytest.param(a_node(labels={"disk": "ssd", "kubernetes.io/hostname": "n1"}), "", id="with its labels"),
        pytest.param(a_node(podCIDR="192.168.0.0/16"), "podCIDR", id="with a range"),
        pytest.param(a_node(podCIDRs=["0.0.0.0/0"]), "podCIDRs", id="with ranges"),
        pytest.param(a_node(labels={"kubernetes.io/hostname": "n2"}), "hostname", id="as another"),
        pytest.param(a_node(labels={"node-restriction.kubernetes.io/safe": "y"}), "safe", id="as trusted"),
    ],
)
def test_a_node_registers(obj: dict[str, Any], why: str) -> None:
    node.check_create(SYSTEM, SELF, obj)
    if not why:
        node.check_create(AGENT, SELF, obj)
        return
    with pytest.raises(Forbidden, match=why):
        node.check_create(AGENT, SELF, obj)


@pytest.mark.parametrize(
    ("new", "why"),
    [
        pytest.param(a_node(podCIDR="10.244.1.0/24", labels={"disk": "hdd"}), "", id="labels"),
        pytest.param(a_node(podCIDR="10.244.2.0/24"), "podCIDR", id="another range"),
        pytest.param(a_node(podCIDR="10.244.1.0/24", podCIDRs=["10.244.0.0/16"]), "podCIDRs", id="more ranges"),
        pytest.param(a_node(podCIDR="10.244.1.0/24", taints=[TAINT]), "taints", id="taints"),
        pytest.param(a_node(podCIDR="10.244.1.0/24", unschedulable=False), "unschedulable", id="cordon"),
    ],
)
def test_a_node_changes_itself(new: dict[str, Any], why: str) -> None:
    old = a_node(podCIDR="10.244.1.0/24")
    if not why:
        node.check_update(AGENT, SELF, old, new)
        return
    with pytest.raises(Forbidden, match=why):
        node.check_update(AGENT, SELF, old, new)


@pytest.mark.parametrize(
    ("pod", "allowed"),
    [
        pytest.param(a_pod(""), True, id="none yet"),
        pytest.param(a_pod("10.244.1.7"), True, id="of the pod network"),
        pytest.param(a_pod("127.0.0.1"), False, id="everybody's loopback"),
        pytest.param(a_pod("192.168.1.1"), False, id="somebody else's"),
        pytest.param(a_pod("10.96.0.10"), False, id="a service's"),
        pytest.param(a_pod("nonsense"), False, id="none at all"),
        pytest.param(a_pod("192.168.1.1", hostNetwork=True), True, id="the node's"),
        pytest.param(a_pod("127.0.0.1", hostNetwork=True), False, id="loopback as the node's"),
        pytest.param(a_pod("169.254.169.254", hostNetwork=True), False, id="the machine's metadata"),
        pytest.param(a_pod("10.244.2.2", hostNetwork=True), False, id="another pod's as the node's"),
    ],
)
def test_where_an_agent_may_lead_traffic(pod: dict[str, Any], allowed: bool) -> None:
    target = Target(POD, "d", "p", "status")
    old = {**pod, "status": {}}
    if allowed:
        node.check_update(AGENT, target, old, pod)
        return
    with pytest.raises(Forbidden, match="may not report"):
        node.check_update(AGENT, target, old, pod)
