"""Where the other nodes' pods are: pure.

In: Node objects as the informer has them. Out: the peers, and what the kernel must know about them (forwarding entries,
neighbours, routes of the VXLAN device), as sets, so that `links.py` applies differences only and a restart changes
nothing that is right. A node's tunnel endpoint has the network address of its pod range as address and a MAC made from
it, so nodes need to publish nothing but `spec.podCIDR` and their InternalIP.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any

from iacorch.api.objects import Object, name, spec, status

VXLAN_OVERHEAD_BYTES = 50
"""Outer IPv4 (20), UDP (8) and VXLAN (8) headers and the inner Ethernet header (14)."""


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """Another node: the address its tunnel packets go to and the range its pods are in."""

    node: str
    address: IPv4Address
    pod_range: IPv4Network


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the VXLAN device must know. `forwarding`: (MAC, node address); `neighbours`: (endpoint, MAC); `routes`:
    (pod range, endpoint)."""

    forwarding: frozenset[tuple[str, str]] = frozenset()
    neighbours: frozenset[tuple[str, str]] = frozenset()
    routes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What to take away and what to put, in that order."""

    remove: Overlay
    add: Overlay

    def __bool__(self) -> bool:
        return self.remove != Overlay() or self.add != Overlay()


def pod_range_of(node: Object) -> IPv4Network | None:
    """The node's IPv4 pod range, None while it has none (or one that cannot be read)."""
    for text in [spec(node).get("podCIDR"), *(spec(node).get("podCIDRs") or [])]:
        try:
            return IPv4Network(text or "")
        except (AddressValueError, NetmaskValueError, ValueError):
            continue
    return None


def internal_address(node: Object) -> IPv4Address | None:
    """The first IPv4 InternalIP in the node's status."""
    addresses: list[dict[str, Any]] = status(node).get("addresses") or []
    for entry in addresses:
        if entry.get("type") == "InternalIP":
            try:
                return IPv4Address(entry.get("address", ""))
            except AddressValueError:
                continue
    return None


def place_of(node: Object | None) -> tuple[IPv4Network | None, IPv4Address | None]:
    """All that other nodes need to know about a node."""
    return (pod_range_of(node), internal_address(node)) if node is not None else (None, None)


def peers(nodes: Iterable[Object], node_name: str, *, network: IPv4Network, prefix: int) -> frozenset[Peer]:
    """Every other node that has an address and one of the ranges that `network` is divided into.

    Of two that claim one range, the first by name gets it; this node's own is nobody else's. What is no such range has
    no route, whoever wrote it: a wider one would lead everybody's traffic to one node.
    """
    everyone = sorted(nodes, key=name)
    own = {pod_range_of(node) for node in everyone if name(node) == node_name}
    claimed: dict[IPv4Network, Peer] = {}
    for node in everyone:
        pod_range, address = pod_range_of(node), internal_address(node)
        if name(node) == node_name or pod_range is None or address is None or pod_range in own:
            continue
        if pod_range.prefixlen == prefix and pod_range.subnet_of(network):
            claimed.setdefault(pod_range, Peer(name(node), address, pod_range))
    return frozenset(claimed.values())


def tunnel_mac(pod_range: IPv4Network) -> str:
    """The tunnel endpoint's MAC: locally administered, then the network address."""
    octets = b"\x0e\x1a" + pod_range.network_address.packed
    return ":".join(f"{octet:02x}" for octet in octets)


def overlay(wanted: Iterable[Peer]) -> Overlay:
    """What the VXLAN device must know to reach these peers' pods."""
    known = [(tunnel_mac(p.pod_range), str(p.pod_range.network_address), p) for p in wanted]
    return Overlay(
        frozenset((mac, str(p.address)) for mac, _, p in known),
        frozenset((endpoint, mac) for mac, endpoint, _ in known),
        frozenset((str(p.pod_range), endpoint) for _, endpoint, p in known),
    )


def difference(seen: Overlay, wanted: Overlay) -> Change:
    """What turns `seen` into `wanted`."""
    return Change(
        Overlay(seen.forwarding - wanted.forwarding, seen.neighbours - wanted.neighbours, seen.routes - wanted.routes),
        Overlay(wanted.forwarding - seen.forwarding, wanted.neighbours - seen.neighbours, wanted.routes - seen.routes),
    )
