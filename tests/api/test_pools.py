"""NodePool, NodeClaim, MachineClass: what is refused, and how kubectl shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.api import validate
from iacorch.api.catalogue import MACHINE_CLASS, NODE_CLAIM, NODE_POOL, Kind
from iacorch.api.columns import table
from iacorch.api.values import durations

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def pool(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "burst"}, "spec": {"classRef": {"name": "small"}} | spec}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"classRef": {}}, "spec.classRef.name", id="no class"),
        pytest.param({"weight": 101}, "spec.weight", id="weight one over"),
        pytest.param({"expireAfter": "soon"}, "spec.expireAfter", id="no duration"),
        pytest.param({"timeZone": "Mars/Base"}, "spec.timeZone", id="no time zone"),
        pytest.param({"limits": {"moneyPerHour": "-1"}}, "spec.limits.moneyPerHour", id="negative money"),
        pytest.param({"limits": {"machines": -1}}, "spec.limits.machines", id="negative machines"),
        pytest.param(
            {"officeHours": [{"from": "9", "until": "17:00"}]}, "spec.officeHours[0].from", id="no time of day"
        ),
        pytest.param(
            {"officeHours": [{"from": "09:00", "until": "17:00", "days": ["Mo"]}]},
            "spec.officeHours[0].days[0]",
            id="no day",
        ),
        pytest.param(
            {"disruption": {"budgets": [{"machines": "some"}]}}, "spec.disruption.budgets[0].machines", id="no share"
        ),
        pytest.param(
            {"disruption": {"consolidationPolicy": "Always"}}, "spec.disruption.consolidationPolicy", id="no policy"
        ),
        pytest.param({"repair": {"rungs": ["Pray"]}}, "spec.repair.rungs[0]", id="no rung"),
        pytest.param({"labels": {"iacorch.dev/nodepool": "x"}}, "spec.labels[iacorch.dev/nodepool]", id="our label"),
        pytest.param(
            {"requirements": [{"key": "zone", "operator": "In"}]}, "spec.requirements[0].values", id="In without values"
        ),
    ],
)
def test_a_pool_that_cannot_work_is_refused_with_its_field(spec: dict[str, Any], field: str) -> None:
    assert [cause.field for cause in validate.create(NODE_POOL, pool(**spec))] == [field]


def test_a_full_pool_is_fine() -> None:
    spec = {
        "weight": 100,
        "expireAfter": "Never",
        "timeZone": "Europe/Berlin",
        "limits": {"machines": 3, "cpu": "12", "memory": "48Gi", "moneyPerHour": "1.5", "moneyPerMonth": "400"},
        "officeHours": [{"days": ["Mon", "Fri"], "from": "08:00", "until": "24:00"}],
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "1h30m",
            "budgets": [{"machines": "10%", "reasons": ["Expired"]}, {"machines": 0}],
        },
        "repair": {"maxAtOnce": 1, "maxUnhealthy": "40%", "rungs": ["RestartAgent"], "patience": {"Reboot": "3m"}},
        "taints": [{"key": "burst", "effect": "NoSchedule"}],
        "requirements": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}],
    }
    assert validate.create(NODE_POOL, pool(**spec)) == []


def test_a_claim_does_not_change_its_mind() -> None:
    old = {"metadata": {"name": "burst-1"}, "spec": {"classRef": {"name": "c"}, "offering": {"machineType": "s"}}}
    new = {**old, "spec": {"classRef": {"name": "c"}, "offering": {"machineType": "m"}}}
    assert [cause.field for cause in validate.update(NODE_CLAIM, new, old)] == ["spec"]


def test_a_class_lists_each_offering_once() -> None:
    offering = {"machineType": "s", "zone": "a", "capacityType": "spot"}
    body = {"metadata": {"name": "c"}, "spec": {"driver": "docker", "offerings": [offering, offering]}}
    assert [cause.field for cause in validate.create(MACHINE_CLASS, body)] == ["spec.offerings[1]"]


def row(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    document = table.table(kind, [obj], now=NOW)
    names = [column["name"] for column in document["columnDefinitions"]]
    return dict(zip(names, document["rows"][0]["cells"], strict=True))


def condition(type_: str, status: str = "True", reason: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason}


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        pytest.param([], "Pending", id="new"),
        pytest.param([condition("Launched", "False", "InsufficientCapacity")], "InsufficientCapacity", id="refused"),
        pytest.param([condition("Launched")], "Launched", id="launched"),
        pytest.param([condition("Launched"), condition("Registered")], "Registered", id="registered"),
        pytest.param([condition("Launched"), condition("Ready")], "Ready", id="ready"),
        pytest.param([condition("Ready"), condition("Repairing", "True", "Reboot")], "Repairing:Reboot", id="repair"),
    ],
)
def test_a_claims_status_is_one_word(conditions: list[dict[str, str]], word: str) -> None:
    assert row(NODE_CLAIM, {"metadata": {"name": "x"}, "status": {"conditions": conditions}})["Status"] == word


def test_a_pool_shows_its_limit_and_what_hinders_it() -> None:
    obj = pool(limits={"machines": 3}) | {
        "status": {"machines": 3, "ready": 2, "conditions": [condition("CanGrow", "False", "MachinesLimit")]}
    }
    shown = row(NODE_POOL, obj)
    assert (shown["Machines"], shown["Ready"], shown["Status"]) == ("3/3", 2, "MachinesLimit")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("1h30m", 5400.0), ("1d", 86_400.0), ("Never", None)])
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "10", "10 m", "-5m", "never"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        durations.seconds(text)
