"""What the scheduler reads from a pod: tolerations, affinity, spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.api import names
from iacorch.api.validate import metadata, selector
from iacorch.api.validate.problems import Problems

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def check(problems: Problems, path: str, spec: Mapping[str, Any]) -> None:
    """A pod's spec at `path`."""
    if chosen := spec.get("nodeSelector"):
        metadata.labels(problems, f"{path}.nodeSelector", chosen)
    for index, toleration in enumerate(spec.get("tolerations") or []):
        _toleration(problems, f"{path}.tolerations[{index}]", toleration)
    if affinity := spec.get("affinity"):
        _node_affinity(problems, f"{path}.affinity.nodeAffinity", affinity.get("nodeAffinity") or {})
        for field in ("podAffinity", "podAntiAffinity"):
            _pod_affinity(problems, f"{path}.affinity.{field}", affinity.get(field) or {})
    if spreads := spec.get("topologySpreadConstraints"):
        for index, spread in enumerate(spreads):
            _spread(problems, f"{path}.topologySpreadConstraints[{index}]", spread)
        keys = [(f"{path}.topologySpreadConstraints[{at}]", _spread_key(spread)) for at, spread in enumerate(spreads)]
        problems.unique(path, keys)


def _toleration(problems: Problems, path: str, toleration: Mapping[str, Any]) -> None:
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if key:
        problems.each(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        problems.invalid(
            f"{path}.operator",
            toleration.get("operator", ""),
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    match operator:
        case "Equal":
            problems.each(f"{path}.value", toleration.get("value", ""), names.label_value(toleration.get("value", "")))
        case "Exists":
            if toleration.get("value"):
                problems.invalid(f"{path}.operator", operator, "value must be empty when `operator` is 'Exists'")
        case _:
            problems.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    problems.one_of(f"{path}.effect", toleration.get("effect"), _EFFECTS)
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        problems.invalid(
            f"{path}.effect", toleration.get("effect", ""), "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )


def _node_affinity(problems: Problems, path: str, affinity: Mapping[str, Any]) -> None:
    if (wanted := affinity.get("requiredDuringSchedulingIgnoredDuringExecution")) is not None:
        at = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        terms = wanted.get("nodeSelectorTerms") or []
        if not terms:
            problems.required(at, "must have at least one node selector term")
        for index, term in enumerate(terms):
            _node_term(problems, f"{at}[{index}]", term)
    for index, entry in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []):
        at = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        _weight(problems, at, entry)
        _node_term(problems, f"{at}.preference", entry.get("preference") or {})


def _node_term(problems: Problems, path: str, term: Mapping[str, Any]) -> None:
    for index, entry in enumerate(term.get("matchExpressions") or []):
        selector.expression(problems, f"{path}.matchExpressions[{index}]", entry, _NODE_OPERATORS)
    for index, entry in enumerate(term.get("matchFields") or []):
        if entry.get("key") != "metadata.name":
            problems.invalid(f"{path}.matchFields[{index}].key", entry.get("key", ""), "not a valid field selector key")
        if entry.get("operator") not in ("In", "NotIn"):
            words = "not a valid selector operator"
            problems.invalid(f"{path}.matchFields[{index}].operator", entry.get("operator", ""), words)
        elif len(entry.get("values") or []) != 1:
            words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            problems.required(f"{path}.matchFields[{index}].values", words)


def _pod_affinity(problems: Problems, path: str, affinity: Mapping[str, Any]) -> None:
    for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or []):
        _pod_term(problems, f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]", term)
    for index, entry in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []):
        at = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        _weight(problems, at, entry)
        _pod_term(problems, f"{at}.podAffinityTerm", entry.get("podAffinityTerm") or {})


def _weight(problems: Problems, path: str, entry: Mapping[str, Any]) -> None:
    weight = entry.get("weight", 0)
    if not 1 <= weight <= 100:
        problems.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _pod_term(problems: Problems, path: str, term: Mapping[str, Any]) -> None:
    selector.check(problems, f"{path}.labelSelector", term.get("labelSelector"))
    selector.check(problems, f"{path}.namespaceSelector", term.get("namespaceSelector"))
    key = term.get("topologyKey", "")
    if not key:
        problems.required(f"{path}.topologyKey", "can not be empty")
    else:
        problems.each(f"{path}.topologyKey", key, names.qualified_name(key))


def _spread(problems: Problems, path: str, spread: Mapping[str, Any]) -> None:
    if spread.get("maxSkew", 0) <= 0:
        problems.invalid(f"{path}.maxSkew", spread.get("maxSkew", 0), "must be greater than zero")
    if not spread.get("topologyKey"):
        problems.required(f"{path}.topologyKey", "can not be empty")
    problems.one_of(f"{path}.whenUnsatisfiable", spread.get("whenUnsatisfiable"), ("DoNotSchedule", "ScheduleAnyway"))
    selector.check(problems, f"{path}.labelSelector", spread.get("labelSelector"))


def _spread_key(spread: Mapping[str, Any]) -> str:
    return f"{{{spread.get('topologyKey')}, {spread.get('whenUnsatisfiable')}}}"
