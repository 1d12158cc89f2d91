"""Which rules of other people's tables drop what pods send: rows as `nft -j` prints them."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.drift.node.firewall import drops

DROP = {"drop": None}
ACCEPT = {"accept": None}


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def source(right: Any, op: str = "==") -> dict[str, Any]:
    return match({"payload": {"protocol": "ip", "field": "saddr"}}, right, op)


def prefix(address: str, length: int) -> dict[str, Any]:
    return {"prefix": {"addr": address, "len": length}}


def arrives(right: Any, op: str = "==") -> dict[str, Any]:
    return match({"meta": {"key": "iifname"}}, right, op)


def state(right: Any) -> dict[str, Any]:
    return match({"ct": {"key": "state"}}, right, "in")


def port(number: int) -> dict[str, Any]:
    return match({"payload": {"protocol": "tcp", "field": "dport"}}, number)


def ruleset(
    *rules: list[dict[str, Any]],
    hook: str = "forward",
    policy: str = "accept",
    table: str = "mine",
    family: str = "inet",
) -> list[dict[str, Any]]:
    place = {"family": family, "table": table}
    base = {**place, "name": "fwd", "handle": 1, "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    found: list[dict[str, Any]] = [{"metainfo": {}}, {"table": {"family": family, "name": table}}, {"chain": base}]
    found.append({"chain": {**place, "name": "more", "handle": 2}})
    for number, expr in enumerate(rules, start=10):
        found.append({"rule": {**place, "chain": "fwd", "handle": number, "expr": expr}})
    found.append({"rule": {**place, "chain": "more", "handle": 99, "expr": [source("10.244.3.7"), DROP]}})
    return found


PODS = prefix("10.244.0.0", 16)


@pytest.mark.parametrize(
    ("rules", "handles"),
    [
        pytest.param([[source(PODS), {"counter": {}}, DROP]], [10], id="the pods' range"),
        pytest.param([[source(prefix("10.0.0.0", 8)), DROP]], [10], id="more than it"),
        pytest.param([[source("10.244.1.9"), {"reject": {}}]], [10], id="one pod"),
        pytest.param([[source({"range": ["10.96.0.0", "10.96.0.9"]}), DROP]], [10], id="a range of Services"),
        pytest.param([[source({"set": ["192.0.2.1", PODS]}), DROP]], [10], id="a set with it"),
        pytest.param([[DROP]], [10], id="everything"),
        pytest.param([[port(8080), DROP]], [10], id="a port"),
        pytest.param([[arrives("iacvx0"), DROP]], [10], id="the tunnel"),
        pytest.param([[arrives("iac*"), DROP]], [10], id="our links"),
        pytest.param([[{"jump": {"target": "more"}}]], [99], id="in a chain that is jumped to"),
        pytest.param([[source(prefix("192.168.0.0", 16)), DROP]], [], id="other addresses"),
        pytest.param([[source(PODS, "!="), DROP]], [], id="all but pods"),
        pytest.param([[source("@blocked"), DROP]], [], id="a set by name"),
        pytest.param([[arrives("eth0"), DROP]], [], id="another link"),
        pytest.param([[arrives("eth0", "!="), DROP]], [10], id="all but another link"),
        pytest.param([[state("invalid"), DROP]], [], id="broken connections"),
        pytest.param([[state(["new", "established"]), DROP]], [10], id="new ones"),
        pytest.param([[{"limit": {"rate": 9}}, DROP]], [], id="too many"),
        pytest.param([[{"xt": None}, DROP]], [], id="who knows"),
        pytest.param([[ACCEPT], [DROP]], [], id="not reached"),
        pytest.param([[source(PODS), ACCEPT], [source(prefix("10.0.0.0", 8)), port(1), DROP]], [11], id="perhaps"),
    ],
)
def test_rules_that_drop_what_pods_send(rules: list[list[dict[str, Any]]], handles: list[int]) -> None:
    found = drops(ruleset(*rules))
    assert [drop.handle for drop in found] == handles
    assert all(drop.words for drop in found)


@pytest.mark.parametrize(
    ("rules", "hook", "found"),
    [
        pytest.param([], "forward", [0], id="nothing is let through"),
        pytest.param([[source(PODS), ACCEPT]], "forward", [], id="pods are"),
        pytest.param([[state(["established"]), ACCEPT]], "forward", [0], id="none may begin"),
        pytest.param([[state(["new", "established"]), ACCEPT]], "forward", [], id="they may begin"),
        pytest.param([[source("192.0.2.1"), ACCEPT]], "forward", [0], id="others are"),
        pytest.param([], "input", [], id="what comes to the host"),
    ],
)
def test_a_policy_that_drops(rules: list[list[dict[str, Any]]], hook: str, found: list[int]) -> None:
    assert [drop.handle for drop in drops(ruleset(*rules, hook=hook, policy="drop"))] == found


def test_our_own_table_and_other_families_are_left_out() -> None:
    assert drops(ruleset([DROP], table="iacorch", family="ip")) == ()
    assert drops(ruleset([DROP], family="ip6")) == ()
    (drop,) = drops(ruleset([source(PODS), port(80), DROP], family="ip"))
    assert drop.words == "ip saddr 10.244.0.0/16 tcp dport 80 drop"
