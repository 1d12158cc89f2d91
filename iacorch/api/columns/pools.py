"""Rows of NodePools, NodeClaims and MachineClasses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, age, joined
from iacorch.api.objects import Object

_NAME: Final = Column("Name", format="name")
_AGE: Final = Column("Age")
_POOL_LABEL: Final = "iacorch.dev/nodepool"
_TROUBLE: Final = ("Repairing", "Interrupted", "Disrupting", "Drifted", "Expired")
_PROGRESS: Final = (("Ready", "Ready"), ("Initialized", "Initialized"), ("Registered", "Registered"),
                    ("Launched", "Launched"))  # fmt: skip

NODE_POOL_COLUMNS: Final = (
    _NAME,
    Column("Class"),
    Column("Machines"),
    Column("Ready", "integer"),
    Column("CPU"),
    Column("Memory"),
    Column("Money/Hour"),
    Column("This Month"),
    Column("Status"),
    _AGE,
    Column("Weight", "integer", priority=1),
    Column("Limits", priority=1),
)
NODE_CLAIM_COLUMNS: Final = (
    _NAME,
    Column("Pool"),
    Column("Type"),
    Column("Capacity"),
    Column("Zone"),
    Column("Money/Hour"),
    Column("Status"),
    Column("Node"),
    _AGE,
    Column("Machine", priority=1),
    Column("Message", priority=1),
)
MACHINE_CLASS_COLUMNS: Final = (
    _NAME,
    Column("Driver"),
    Column("Region"),
    Column("Offerings", "integer"),
    Column("Refused", "integer"),
    _AGE,
)


def node_pool(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    limits, held = spec.get("limits") or {}, status.get("resources") or {}
    machines = int(status.get("machines") or 0)
    return [
        objects.name(obj),
        (spec.get("classRef") or {}).get("name") or NONE,
        f"{machines}/{limits['machines']}" if limits.get("machines") is not None else str(machines),
        int(status.get("ready") or 0),
        held.get("cpu") or "0",
        held.get("memory") or "0",
        status.get("moneyPerHour") or "0",
        (status.get("spending") or {}).get("money") or "0",
        _pool_status(obj),
        age(obj, now),
        int(spec.get("weight") or 0),
        joined(f"{name}={value}" for name, value in sorted(limits.items())),
    ]


def _pool_status(obj: Object) -> str:
    """What hinders the pool, else Ready."""
    words = [
        str(entry.get("reason") or entry.get("type"))
        for entry in objects.conditions(obj)
        if (entry.get("type") in ("Ready", "Open", "CanGrow") and entry.get("status") == "False")
        or (entry.get("type") in ("RepairsStopped",) and entry.get("status") == "True")
    ]
    return joined(words, "Ready" if objects.conditions(obj) else "Unknown")


def node_claim(obj: Object, now: datetime) -> list[Any]:
    offering, status = objects.spec(obj).get("offering") or {}, objects.status(obj)
    word, message = _claim_status(obj)
    return [
        objects.name(obj),
        objects.labels(obj).get(_POOL_LABEL) or NONE,
        offering.get("machineType") or NONE,
        offering.get("capacityType") or NONE,
        offering.get("zone") or NONE,
        offering.get("moneyPerHour") or "0",
        word,
        status.get("nodeName") or NONE,
        age(obj, now),
        status.get("machineID") or NONE,
        message,
    ]


def _claim_status(obj: Object) -> tuple[str, str]:
    """One word for where the claim stands, and why."""
    if objects.is_deleting(obj):
        found = objects.condition(obj, "Terminating") or {}
        return "Terminating", str(found.get("message") or "")
    for type_ in _TROUBLE:
        found = objects.condition(obj, type_) or {}
        if found.get("status") == "True":
            reason = str(found.get("reason") or "")
            return (f"{type_}:{reason}" if reason not in ("", type_) else type_), str(found.get("message") or "")
    for type_, word in _PROGRESS:
        found = objects.condition(obj, type_) or {}
        if found.get("status") == "True":
            return word, ""
        if type_ == "Launched" and found.get("reason"):
            return str(found["reason"]), str(found.get("message") or "")
    return "Pending", ""


def machine_class(obj: Object, now: datetime) -> list[Any]:
    spec, status = objects.spec(obj), objects.status(obj)
    return [
        objects.name(obj),
        spec.get("driver") or NONE,
        spec.get("region") or NONE,
        int(status.get("offerings") or len(spec.get("offerings") or ())),
        len(status.get("refused") or ()),
        age(obj, now),
    ]
