"""Where a Service's connections go on this node: pure.

In: one Service and its EndpointSlices as the informers have them. Out: `Routing`, the frontends of that Service (its
addresses, its node ports) and what stands behind each. Called by `node.py` for Services that changed; `nft.py` puts
the result into words. Sources: Kubernetes API reference (Service, EndpointSlice), KEP-1669 (terminating endpoints),
KEP-2086 (internalTrafficPolicy). IPv4 only: other families are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from iacorch.agent.network.contract import HostPort, Transport
from iacorch.api.objects import Object, spec, status

DEFAULT_AFFINITY_SECONDS = 10_800
"""Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`."""

Vip = tuple[str, Transport, int]
"""(address, protocol, port) that a Service answers at."""
NodePort = tuple[Transport, int]
"""(protocol, port) on every address of the node."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One place a connection can go."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """What stands behind a frontend, in a fixed order; nothing means: refuse at once."""

    endpoints: tuple[Endpoint, ...]
    affinity_seconds: int = 0
    """A client stays with its endpoint for this long; 0: every connection chooses anew."""


@dataclass(frozen=True, slots=True)
class Routing:
    """One Service on this node."""

    vips: Mapping[Vip, Backend] = field(default_factory=dict)
    node_ports: Mapping[NodePort, Backend] = field(default_factory=dict)
    hairpins: frozenset[str] = frozenset()
    """Pods of this node that may be chosen, and so may be chosen for their own connections."""
    outside: frozenset[tuple[str, Transport, int]] = frozenset()
    """Endpoints that are not on the pod network (host network, hand-made slices): replies must pass this node."""
    fit: frozenset[Endpoint] = frozenset()
    """TCP endpoints that are ready on nodes that answer, chosen or not."""
    unfit: frozenset[Endpoint] = frozenset()
    """The Service's other TCP endpoints."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    endpoint: Endpoint
    local: bool
    inside: bool
    ready: bool
    serving: bool
    terminating: bool
    reachable: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where routing is planned for."""

    node_name: str
    cluster_network: IPv4Network
    silent: frozenset[str] = frozenset()
    """Nodes that do not answer this one (`reach.py`): their endpoints come last."""


def plan(service: Object, slices: Iterable[Object], place: Place) -> Routing:
    """The Service's frontends at `place`. Headless and ExternalName Services have none: DNS does those."""
    wanted = spec(service)
    cluster_addresses = _ipv4(wanted.get("clusterIPs") or [wanted.get("clusterIP", "")])
    if wanted.get("type") == "ExternalName" or not cluster_addresses:
        return Routing()
    external_addresses = _ipv4([*(wanted.get("externalIPs") or []), *(i.get("ip", "") for i in _ingress(service))])
    affinity = _affinity_seconds(wanted)
    parts = [part for part in slices if part.get("addressType", "IPv4") == "IPv4"]
    vips: dict[Vip, Backend] = {}
    node_ports: dict[NodePort, Backend] = {}
    chosen: set[tuple[Transport, _Candidate]] = set()
    known: set[_Candidate] = set()
    for port in wanted.get("ports") or []:
        protocol: Transport = port.get("protocol", "TCP")
        if protocol not in ("TCP", "UDP"):
            continue
        candidates = _candidates(parts, port.get("name", ""), place)
        if protocol == "TCP":
            known.update(candidates)
        inside = choose(candidates, only_local=wanted.get("internalTrafficPolicy") == "Local")
        outside = choose(candidates, only_local=wanted.get("externalTrafficPolicy") == "Local")
        for address in cluster_addresses:
            vips[(str(address), protocol, port["port"])] = _backend(inside, affinity)
        for address in external_addresses:
            vips[(str(address), protocol, port["port"])] = _backend(outside, affinity)
        if node_port := port.get("nodePort"):
            node_ports[(protocol, node_port)] = _backend(outside, affinity)
        chosen.update((protocol, candidate) for candidate in (*inside, *outside))
    return Routing(
        vips,
        node_ports,
        frozenset(c.endpoint.address for _, c in chosen if c.local and c.inside),
        frozenset((c.endpoint.address, protocol, c.endpoint.port) for protocol, c in chosen if not c.inside),
        frozenset(c.endpoint for c in known if c.ready and c.reachable),
        frozenset(c.endpoint for c in known if not (c.ready and c.reachable)),
    )


def choose(candidates: Iterable[_Candidate], *, only_local: bool) -> tuple[_Candidate, ...]:
    """The ready ones; where there are none, those that still serve while they terminate; where there are none, none.

    Of either, those on nodes that answer this one. When no such endpoint is left, silence is not believed: it is better
    to try than to refuse.
    """
    pool = [c for c in candidates if c.local or not only_local]
    ready = [c for c in pool if c.ready]
    ending = [c for c in pool if not c.ready and c.serving and c.terminating]
    for group in (ready, ending):
        if reachable := [c for c in group if c.reachable]:
            return tuple(reachable)
    return tuple(ready or ending)


def host_port_rules(
    pods: Mapping[str, tuple[str, Iterable[HostPort]]],
) -> dict[tuple[str, Transport, int], Endpoint]:
    """Host ports of attached pods (UID -> address, ports): (host address or "", protocol, port) -> endpoint.

    The scheduler keeps two pods from wanting one port; if it happens the pod with the lower UID has it. A host address
    that is none is left out: what comes from here becomes words of a transaction that root runs, for everybody.
    """
    rules: dict[tuple[str, Transport, int], Endpoint] = {}
    for _, (address, ports) in sorted(pods.items(), reverse=True):
        for port in ports:
            for host in _ipv4([port.host_ip or "0.0.0.0"]):
                at = "" if host.is_unspecified else str(host)
                rules[(at, port.protocol, port.host_port)] = Endpoint(address, port.container_port)
    return rules


def _candidates(parts: Iterable[Object], port_name: str, place: Place) -> list[_Candidate]:
    """Every endpoint of the named port, once, in a fixed order."""
    found: dict[Endpoint, _Candidate] = {}
    for part in parts:
        number = next((p.get("port") for p in part.get("ports") or [] if (p.get("name") or "") == port_name), None)
        if number is None:
            continue
        for entry in part.get("endpoints") or []:
            conditions: dict[str, Any] = entry.get("conditions") or {}
            ready = conditions.get("ready", True) is not False
            for address in _ipv4(entry.get("addresses") or []):
                endpoint = Endpoint(str(address), number)
                found[endpoint] = _Candidate(
                    endpoint,
                    entry.get("nodeName") == place.node_name,
                    address in place.cluster_network,
                    ready,
                    bool(conditions.get("serving", ready)),
                    bool(conditions.get("terminating", False)),
                    entry.get("nodeName") not in place.silent,
                )
    return [found[endpoint] for endpoint in sorted(found)]


def _backend(candidates: Iterable[_Candidate], affinity_seconds: int) -> Backend:
    return Backend(tuple(c.endpoint for c in candidates), affinity_seconds)


def _affinity_seconds(wanted: Mapping[str, Any]) -> int:
    if wanted.get("sessionAffinity") != "ClientIP":
        return 0
    client = (wanted.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS)


def _ingress(service: Object) -> list[dict[str, Any]]:
    return (status(service).get("loadBalancer") or {}).get("ingress") or []


def _ipv4(texts: Iterable[str]) -> list[IPv4Address]:
    found = []
    for text in texts:
        try:
            found.append(IPv4Address(text))
        except AddressValueError:
            continue
    return found
