"""Deployments and ReplicaSets."""

from __future__ import annotations

from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.validate import metadata, pod, selector
from iacorch.api.validate.problems import Problems
from iacorch.api.values import intstr, selectors
from iacorch.errors import BadRequest

_PERCENT_WORDS: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_COUNTS: Final = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "fullyLabeledReplicas",
    "observedGeneration",
)


def deployment(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    _workload(problems, spec)
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        problems.at_least(f"spec.{field}", spec.get(field), 0)
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None and deadline <= ready:
        problems.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    _strategy(problems, spec.get("strategy") or {})


def replica_set(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    _workload(problems, spec)
    problems.at_least("spec.minReadySeconds", spec.get("minReadySeconds"), 0)


def _workload(problems: Problems, spec: dict[str, Any]) -> None:
    problems.at_least("spec.replicas", spec.get("replicas"), 0)
    chosen, template = spec.get("selector"), spec.get("template") or {}
    labels = objects.labels(template)
    selector.check(problems, "spec.selector", chosen)
    if chosen is None:  # selects nothing, its own template included
        problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    else:
        if not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
            problems.invalid("spec.selector", chosen, "empty selector is invalid for deployment")
        elif _parsed(chosen) is not None and not selectors.from_object(chosen).matches(labels):
            problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    metadata.labels(problems, "spec.template.metadata.labels", labels)
    metadata.annotations(problems, "spec.template.metadata.annotations", objects.annotations(template))
    found = objects.spec(template)
    pod.spec(problems, "spec.template.spec", found)
    if found.get("restartPolicy") in ("OnFailure", "Never"):
        problems.unsupported("spec.template.spec.restartPolicy", found["restartPolicy"], ("Always",))
    if found.get("activeDeadlineSeconds") is not None:
        problems.forbidden(
            "spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in Deployment is not Supported"
        )


def _parsed(chosen: dict[str, Any]) -> selectors.LabelSelector | None:
    """None if the selector cannot be used, which `selector.check` has reported already."""
    try:
        return selectors.from_object(chosen)
    except BadRequest:
        return None


def _strategy(problems: Problems, strategy: dict[str, Any]) -> None:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    problems.one_of("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and rolling is not None:
        problems.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if kind != "RollingUpdate" or rolling is None:
        return
    values = {field: rolling.get(field, 0) for field in ("maxUnavailable", "maxSurge")}
    for field, value in values.items():
        _amount(problems, f"spec.strategy.rollingUpdate.{field}", value)
    if all(_is_zero(value) for value in values.values()):
        words = "may not be 0 when `maxSurge` is 0"
        problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", values["maxUnavailable"], words)
    unavailable = values["maxUnavailable"]
    if intstr.is_percent(unavailable) and int(str(unavailable)[:-1]) > 100:
        problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", unavailable, "must not be greater than 100%")


def _amount(problems: Problems, path: str, value: int | str) -> None:
    if isinstance(value, int):
        problems.at_least(path, value, 0)
    elif not intstr.is_percent(value):
        problems.invalid(path, value, _PERCENT_WORDS)


def _is_zero(value: int | str) -> bool:
    return value == 0 or (isinstance(value, str) and intstr.is_percent(value) and int(value[:-1]) == 0)


def selector_change(problems: Problems, new: Object, old: Object) -> None:
    problems.immutable("spec.selector", objects.spec(new).get("selector"), objects.spec(old).get("selector"))


def status_change(problems: Problems, new: Object, old: Object) -> None:
    status = objects.status(new)
    for field in _COUNTS:
        problems.at_least(f"status.{field}", status.get(field), 0)
    for field in ("readyReplicas", "availableReplicas", "updatedReplicas", "fullyLabeledReplicas"):
        if status.get(field, 0) > status.get("replicas", 0):
            problems.invalid(f"status.{field}", status[field], "cannot be greater than status.replicas")
