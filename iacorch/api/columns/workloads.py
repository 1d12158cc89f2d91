"""Rows of Deployments and ReplicaSets, and of the Scale that both have."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, age, containers
from iacorch.api.objects import Object
from iacorch.api.values import selectors

_WIDE: Final = (Column("Containers", priority=1), Column("Images", priority=1), Column("Selector", priority=1))

DEPLOYMENT_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Up-to-date"),
    Column("Available"),
    Column("Age"),
    *_WIDE,
)
REPLICA_SET_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    Column("Age"),
    *_WIDE,
)
SCALE_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("Desired", "integer"),
    Column("Available", "integer"),
    Column("Age"),
)


def deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    return [
        objects.name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *_wide(spec),
    ]


def replica_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    return [
        objects.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *_wide(spec),
    ]


def scale(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    return [objects.name(obj), spec.get("replicas", 0), status.get("replicas", 0), age(obj, now)]


def _wide(spec: dict[str, Any]) -> list[Any]:
    names, images = containers(spec.get("template") or {})
    return [names, images, str(selectors.from_object(spec.get("selector"))) or NONE]
