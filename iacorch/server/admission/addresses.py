"""Cluster addresses and node ports of Services: given out once, kept for life, derived from what is stored.

In: a Service before and after a write. Out: the Service with its addresses. Nothing is remembered between calls: what
is taken is read from the stored Services, under a lock that is held until the write is stored, so a crash loses
nothing and leaks nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import SERVICE
from iacorch.api.networks import SERVICE_NETWORK
from iacorch.api.objects import Object
from iacorch.errors import Cause, InternalError, Invalid
from iacorch.kit.ids import Ids
from iacorch.server.objects.storage import ObjectStore

RESERVED_ADDRESSES: Final = 256
"""The first ones are for those who ask for one by name, as the cluster's DNS does."""
NODE_PORTS: Final = range(30_000, 32_768)
_HEADLESS: Final = "None"


@dataclass(frozen=True, slots=True)
class Taken:
    """What other Services hold. A port is held for one protocol."""

    addresses: frozenset[str]
    ports: frozenset[tuple[int, str]]


class ServiceAddresses:
    """Gives out addresses; see the module docstring."""

    def __init__(self, storage: ObjectStore, ids: Ids) -> None:
        self._storage, self._ids = storage, ids
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def assigned(self, old: Object | None, new: Object) -> AsyncIterator[Object]:
        """The Service with its addresses; stored before the context is left, or not at all."""
        async with self._lock:
            page = await self._storage.store.range(self._storage.prefix(SERVICE))
            services = [self._storage.opened(SERVICE, entry).decode() for entry in page.entries]
            yield assign(old, new, taken_by(services, but=objects.uid(new)), draw=self._ids.fraction())


def taken_by(services: Iterable[Object], *, but: str) -> Taken:
    addresses: set[str] = set()
    ports: set[tuple[int, str]] = set()
    for service in services:
        if objects.uid(service) == but:
            continue
        spec = objects.spec(service)
        addresses.update(
            ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if ip not in ("", _HEADLESS)
        )
        ports.update((port["nodePort"], port.get("protocol", "TCP")) for port in _ports(spec) if port.get("nodePort"))
    return Taken(frozenset(addresses), frozenset(ports))


def assign(old: Object | None, new: Object, taken: Taken, *, draw: float) -> Object:
    """`new` with the cluster address and node ports it keeps, asks for, or gets. Raises Invalid."""
    spec = dict(objects.spec(new))
    before = objects.spec(old) if old else {}
    type_ = spec.get("type", "ClusterIP")
    if type_ == "ExternalName":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
        return {**new, "spec": spec}
    spec["clusterIP"] = _address(new, spec, before, taken, draw)
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if type_ in ("NodePort", "LoadBalancer"):
        spec["ports"] = _with_node_ports(new, spec, before, taken, draw)
    elif before.get("type") in ("NodePort", "LoadBalancer"):
        spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in _ports(spec)]
    return {**new, "spec": spec}


def _address(service: Object, spec: dict[str, Any], before: dict[str, Any], taken: Taken, draw: float) -> str:
    held = before.get("clusterIP", "")
    asked = str(spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0] or held)
    if held and asked != held and before.get("type") != "ExternalName":
        raise _invalid(service, "spec.clusterIPs[0]", f'Invalid value: "{asked}": may not change once set')
    if asked == held and held:
        return str(held)
    if asked == _HEADLESS:
        return asked
    if asked:
        return _checked(service, asked, taken)
    size = SERVICE_NETWORK.num_addresses - 1 - RESERVED_ADDRESSES
    first = int(draw * size)
    for step in range(size):
        candidate = str(SERVICE_NETWORK[RESERVED_ADDRESSES + (first + step) % size])
        if candidate not in taken.addresses:
            return candidate
    raise InternalError(f"no cluster address is free in {SERVICE_NETWORK}")


def _checked(service: Object, asked: str, taken: Taken) -> str:
    try:
        inside = ipaddress.IPv4Address(asked) in SERVICE_NETWORK
    except ValueError:
        inside = False
    if not inside:
        words = (
            f'Invalid value: ["{asked}"]: failed to allocate IP {asked}: the provided network does not match the '
            f"current range: valid IPs are in {SERVICE_NETWORK}"
        )
        raise _invalid(service, "spec.clusterIPs", words)
    if asked in taken.addresses:
        words = f'Invalid value: ["{asked}"]: failed to allocate IP {asked}: provided IP is already allocated'
        raise _invalid(service, "spec.clusterIPs", words)
    return asked


def _with_node_ports(
    service: Object, spec: dict[str, Any], before: dict[str, Any], taken: Taken, draw: float
) -> list[dict[str, Any]]:
    held = {(port["port"], _protocol(port)): port["nodePort"] for port in _ports(before) if port.get("nodePort")}
    used = set(taken.ports)
    wanted: list[int] = []
    for index, port in enumerate(_ports(spec)):
        number = port.get("nodePort") or held.get((port["port"], _protocol(port)), 0)
        if number:
            _check_port(service, index, number, _protocol(port), used)
            used.add((number, _protocol(port)))
        wanted.append(number)
    ports = []
    for port, number in zip(_ports(spec), wanted, strict=True):
        chosen = number or _free_port(used, _protocol(port), draw)
        used.add((chosen, _protocol(port)))
        ports.append({**port, "nodePort": chosen})
    return ports


def _check_port(service: Object, index: int, number: int, protocol: str, used: set[tuple[int, str]]) -> None:
    field = f"spec.ports[{index}].nodePort"
    if number not in NODE_PORTS:
        words = (
            f"Invalid value: {number}: provided port is not in the valid range. "
            f"The range of valid ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
        )
        raise _invalid(service, field, words)
    if (number, protocol) in used:
        raise _invalid(service, field, f"Invalid value: {number}: provided port is already allocated")


def _free_port(used: set[tuple[int, str]], protocol: str, draw: float) -> int:
    first = int(draw * len(NODE_PORTS))
    for step in range(len(NODE_PORTS)):
        number = NODE_PORTS[(first + step) % len(NODE_PORTS)]
        if (number, protocol) not in used:
            return number
    raise InternalError(f"no node port is free in {NODE_PORTS.start}-{NODE_PORTS.stop - 1}")


def _protocol(port: dict[str, Any]) -> str:
    return str(port.get("protocol", "TCP"))


def _ports(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return spec.get("ports") or []


def _invalid(service: Object, field: str, words: str) -> Invalid:
    name = objects.name(service)
    return Invalid(
        f'Service "{name}" is invalid: {field}: {words}', kind="Service", name=name, causes=[Cause(field, words)]
    )
