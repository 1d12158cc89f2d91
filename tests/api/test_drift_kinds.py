"""The kinds of our own group are kinds like any other: found, decoded, validated, printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.api import columns, strategy, validate
from iacorch.api.catalogue import DRIFT_POLICY, DRIFT_REPORT, builtin
from iacorch.api.wire import openapi, schema
from iacorch.errors import BadRequest

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def policy(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "iacorch.dev/v1alpha1", "kind": "DriftPolicy", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"schedule": "*/5 * * * *", "timeZone": "Europe/Paris", "action": "correct"}, []),
        ({"schedule": "hourly"}, ["spec.schedule"]),
        ({"timeZone": "Mars/Olympus"}, ["spec.timeZone"]),
        ({"action": "destroy"}, ["spec.action"]),
        ({"layers": ["machine", "cloud"]}, ["spec.layers[1]"]),
        ({"rules": [{"action": "correct", "replacement": "maybe"}]}, ["spec.rules[0].replacement"]),
        ({"rules": [{"action": "correct", "onlyInWindow": True}]}, ["spec.windows"]),
        ({"windows": [{"schedule": "0 2 * * *", "durationSeconds": 1}]}, ["spec.windows[0].durationSeconds"]),
    ],
)
def test_what_a_drift_policy_may_say(spec: dict[str, Any], fields: list[str]) -> None:
    decoded = schema.decode(DRIFT_POLICY, policy(**spec), "Strict")
    obj = strategy.prepare_create(DRIFT_POLICY, decoded.obj, uid="u", now=NOW)
    assert [cause.field for cause in validate.create(DRIFT_POLICY, obj)] == fields
    assert obj["metadata"]["generation"] == 1


def test_unknown_fields_are_refused_when_asked_to_be_strict() -> None:
    with pytest.raises(BadRequest, match="unknown field"):
        schema.decode(DRIFT_POLICY, policy(when="0 * * * *"), "Strict")


def test_rows() -> None:
    _, cells = columns.of(DRIFT_REPORT)
    status = {"counts": {"inSync": 3, "drifted": 1}, "checkedTime": "2026-11-23T11:59:00Z", "durationSeconds": 0.5}
    row = cells({"metadata": {"name": "local", "creationTimestamp": "2026-11-23T11:00:00Z"}, "status": status}, NOW)
    assert row == ["local", 3, 1, 0, 0, 0, "60s", "60m", 0.5, 0]


def test_they_are_described() -> None:
    schemas = openapi.document(builtin(), "iacorch.dev", "v1alpha1")["components"]["schemas"]
    assert "dev.iacorch.v1alpha1.DriftPolicy" in schemas
