"""Small moves the tables are written with. They change a copy that the caller made for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from iacorch.api.values import quantity


def fill(target: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Set what is absent."""
    for field, value in defaults.items():
        if target.get(field) is None:
            target[field] = value


def fill_empty(target: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Set what is absent, empty or zero: fields whose zero Kubernetes takes for absent."""
    for field, value in defaults.items():
        if not target.get(field):
            target[field] = value


def inner(target: dict[str, Any], field: str) -> dict[str, Any]:
    """The object in `field`, put there if it is absent."""
    found = target.get(field)
    if not isinstance(found, dict):
        found = target[field] = {}
    return found


def each(target: Mapping[str, Any], field: str) -> Iterable[dict[str, Any]]:
    return target.get(field) or ()


def canonical_quantities(amounts: dict[str, Any] | None) -> None:
    """Write every quantity of a map as Kubernetes stores it; what is none is left for validation to report."""
    for name, amount in (amounts or {}).items():
        try:
            amounts[name] = quantity.canonical(amount)  # type: ignore[index]
        except ValueError:
            continue
