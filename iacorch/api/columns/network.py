"""Rows of Services and EndpointSlices."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Column
from iacorch.api.columns.text import NONE, age, joined, labels
from iacorch.api.objects import Object

_SHOWN: Final = 3
"""Ports and addresses of an endpoint slice that are shown before `+ N more...`."""

SERVICE_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("Type"),
    Column("Cluster-IP"),
    Column("External-IP"),
    Column("Port(s)"),
    Column("Age"),
    Column("Selector", priority=1),
)
ENDPOINT_SLICE_COLUMNS: Final = (
    Column("Name", format="name"),
    Column("AddressType"),
    Column("Ports"),
    Column("Endpoints"),
    Column("Age"),
)


def service(obj: Object, now: datetime) -> list[Any]:
    spec = objects.spec(obj)
    return [
        objects.name(obj),
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or NONE,
        _external(obj),
        joined(_port(port) for port in spec.get("ports") or []),
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _external(obj: Object) -> str:
    spec = objects.spec(obj)
    addresses = list(spec.get("externalIPs") or [])
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName", NONE))
        case "LoadBalancer":
            ingress = (objects.status(obj).get("loadBalancer") or {}).get("ingress") or []
            addresses = [entry.get("ip") or entry.get("hostname", "") for entry in ingress] + addresses
            return joined(addresses, "<pending>")
        case _:
            return joined(addresses)


def _port(port: dict[str, Any]) -> str:
    outside = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{outside}/{port.get('protocol', 'TCP')}"


def endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    ports = [port.get("port", "*") for port in obj.get("ports") or []]
    addresses = [address for entry in obj.get("endpoints") or [] for address in entry.get("addresses") or []]
    return [
        objects.name(obj),
        obj.get("addressType", ""),
        _some(ports, "<unset>"),
        _some(addresses, "<unset>"),
        age(obj, now),
    ]


def _some(values: list[Any], otherwise: str) -> str:
    more = f" + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else ""
    return joined(values[:_SHOWN], otherwise) + more
