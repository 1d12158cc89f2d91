"""A pod's quality-of-service class, from its requests and limits. The server sets it once, evictions order by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.api.values import quantity

_COUNTED: Final = ("cpu", "memory")


def qos_class(pod_spec: Mapping[str, Any]) -> str:
    """Guaranteed: every container limits both and requests what it limits. BestEffort: none asks for anything."""
    containers = [*(pod_spec.get("containers") or ()), *(pod_spec.get("initContainers") or ())]
    guaranteed, any_asked = True, False
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = _counted(resources.get("limits")), _counted(resources.get("requests"))
        any_asked = any_asked or bool(limits or requests)
        if len(limits) < len(_COUNTED) or any(requests.get(name, limits[name]) != limits[name] for name in limits):
            guaranteed = False
    if not any_asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _counted(amounts: Mapping[str, Any] | None) -> dict[str, quantity.Quantity]:
    if not amounts:
        return {}
    return {name: amount for name in _COUNTED if name in amounts and (amount := quantity.parse(amounts[name]))}
