"""Rows of Nodes, Namespaces, Events, Leases, and of what pods read: ConfigMaps, Secrets, ServiceAccounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, UNKNOWN, age, joined, since
from iacorch.api.objects import Object

_NAME: Final = Column("Name", format="name")
_AGE: Final = Column("Age")
_ROLE_LABEL: Final = "node-role.kubernetes.io/"

NODE_COLUMNS: Final = (
    _NAME,
    Column("Status"),
    Column("Roles"),
    _AGE,
    Column("Version"),
    Column("Internal-IP", priority=1),
    Column("External-IP", priority=1),
    Column("OS-Image", priority=1),
    Column("Kernel-Version", priority=1),
    Column("Container-Runtime", priority=1),
)
NAMESPACE_COLUMNS: Final = (_NAME, Column("Status"), _AGE)
CONFIG_MAP_COLUMNS: Final = (_NAME, Column("Data"), _AGE)
SECRET_COLUMNS: Final = (_NAME, Column("Type"), Column("Data", "integer"), _AGE)
SERVICE_ACCOUNT_COLUMNS: Final = (_NAME, Column("Secrets"), _AGE)
LEASE_COLUMNS: Final = (_NAME, Column("Holder"), _AGE)
EVENT_COLUMNS: Final = (
    Column("Last Seen"),
    Column("Type"),
    Column("Reason"),
    Column("Object"),
    Column("Subobject", priority=1),
    Column("Source", priority=1),
    Column("Message"),
    Column("First Seen", priority=1),
    Column("Count", priority=1),
    Column("Name", format="name", priority=1),
)


def node(obj: Object, now: datetime) -> list[Any]:
    info = objects.status(obj).get("nodeInfo") or {}
    return [
        objects.name(obj),
        _node_status(obj),
        joined(_roles(obj)),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Object) -> str:
    ready = objects.condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if objects.spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object) -> list[str]:
    labels = objects.labels(obj)
    roles = {key.removeprefix(_ROLE_LABEL) for key in labels if key.startswith(_ROLE_LABEL) and key != _ROLE_LABEL}
    if role := labels.get("kubernetes.io/role"):
        roles.add(role)
    return sorted(roles)


def _address(obj: Object, type_: str) -> str:
    addresses = objects.status(obj).get("addresses") or []
    return next((str(entry.get("address")) for entry in addresses if entry.get("type") == type_), NONE)


def namespace(obj: Object, now: datetime) -> list[Any]:
    return [objects.name(obj), objects.status(obj).get("phase", ""), age(obj, now)]


def config_map(obj: Object, now: datetime) -> list[Any]:
    count = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return [objects.name(obj), count, age(obj, now)]


def secret(obj: Object, now: datetime) -> list[Any]:
    return [objects.name(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


def service_account(obj: Object, now: datetime) -> list[Any]:
    return [objects.name(obj), len(obj.get("secrets") or []), age(obj, now)]


def lease(obj: Object, now: datetime) -> list[Any]:
    return [objects.name(obj), objects.spec(obj).get("holderIdentity", ""), age(obj, now)]


def event(obj: Object, now: datetime) -> list[Any]:
    """Either version; newer writers give eventTime and series instead of first, last and count."""
    series, when = obj.get("series") or {}, obj.get("eventTime")
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or when
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    kind = str(about.get("kind", "")).lower()
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{about.get('name', '')}" if kind else about.get("name", ""),
        about.get("fieldPath", ""),
        _event_source(obj),
        str(obj.get("message") or obj.get("note") or "").strip(),
        since(first, now),
        series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1,
        objects.name(obj),
    ]


def _event_source(obj: Object) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    where = source.get("host") or obj.get("reportingInstance")
    return joined([component, where], "") if where else str(component)
