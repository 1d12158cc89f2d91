"""Two faces of one event: core v1 (stored) and events.k8s.io v1.

In: an event in either version. Out: the same in the other. Lossless both ways for what events carry; the server
converts at its edge, so the store only knows the core form.
"""

from __future__ import annotations

from typing import Any, Final

from iacorch.api.objects import Object

#: core field -> events.k8s.io field
_NAMES: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK: Final = {newer: core for core, newer in _NAMES.items()}


def to_core(event: Object) -> Object:
    """As it is stored."""
    return _renamed(event, _BACK, "v1")


def to_events_v1(event: Object) -> Object:
    """As events.k8s.io serves it."""
    return _renamed(event, _NAMES, "events.k8s.io/v1")


def _renamed(event: Object, names: dict[str, str], api_version: str) -> Object:
    if event.get("apiVersion") == api_version:
        return event
    result: dict[str, Any] = {names.get(field, field): value for field, value in event.items()}
    return result | {"apiVersion": api_version, "kind": "Event"}
