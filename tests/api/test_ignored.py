"""What nobody acts on is said."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.api import ignored
from tests.api import build

TERM = {"labelSelector": {}, "topologyKey": "zone"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
SYSCTLS, SPREAD = {"sysctls": [{"name": "a", "value": "b"}]}, {"topologyKey": "zone", "nodeTaintsPolicy": "Ignore"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"securityContext": {"fsGroup": 1}}, None, id="what is done"),
        pytest.param({"runtimeClassName": "gvisor"}, "runtimeClassName", id="runtime class"),
        pytest.param({"securityContext": SYSCTLS}, "securityContext.sysctls", id="s"),
        pytest.param({"topologySpreadConstraints": [SPREAD]}, None, id="spread"),
        pytest.param(
            {"topologySpreadConstraints": [SPREAD, {**SPREAD, "nodeTaintsPolicy": "Honor"}]},
            "topologySpreadConstraints[1].nodeTaintsPolicy",
            id="spread by taints",
        ),
        pytest.param(
            {"affinity": {"podAffinity": {REQUIRED: [TERM]}}},
            None,
            id="required",
        ),
        pytest.param(
            {"affinity": {"podAntiAffinity": {REQUIRED: [{**TERM, "namespaceSelector": {}}]}}},
            "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaceSelector",
            id="namespaces by their labels",
        ),
        pytest.param(
            {
                "affinity": {
                    "podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {**TERM, "matchLabelKeys": []}}]}
                }
            },
            "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys",
            id="preferred",
        ),
    ],
)
def test_a_field_that_nobody_acts_on_is_named(spec: dict[str, Any], field: str | None) -> None:
    for obj, path in (
        ({"kind": "Pod", "spec": spec}, "spec"),
        ({"kind": "Deployment", "spec": {"template": {"spec": spec}}}, "spec.template.spec"),
    ):
        wanted = [] if field is None else [f"{path}.{field}"]
        assert [warning.partition(":")[0] for warning in ignored.warnings(obj)] == wanted


def test_objects_without_pods_have_no_warnings() -> None:
    assert ignored.warnings(build.service()) == ()
