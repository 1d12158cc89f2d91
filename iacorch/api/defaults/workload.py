"""Defaults of Deployments and ReplicaSets. Source: the Kubernetes API reference, apps v1."""

from __future__ import annotations

from typing import Any

from iacorch.api.defaults.fill import fill, fill_empty, inner
from iacorch.api.defaults.pod import pod_spec


def deployment(obj: dict[str, Any]) -> None:
    spec = inner(obj, "spec")
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = inner(spec, "strategy")
    fill_empty(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        fill(inner(strategy, "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"})
    _template(spec)


def replica_set(obj: dict[str, Any]) -> None:
    spec = inner(obj, "spec")
    fill(spec, {"replicas": 1})
    _template(spec)


def _template(spec: dict[str, Any]) -> None:
    template = inner(spec, "template")
    if isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])
