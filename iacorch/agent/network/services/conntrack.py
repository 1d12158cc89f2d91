"""Letting go of UDP flows to endpoints that are gone.

A TCP client notices a dead endpoint and connects anew; a UDP client that keeps sending from one port would keep its
translation for ever. In: elements before and after (`nft.Elements`). Out: deleted flows. `changed_frontends` and
`is_stale` are pure; `forget` is the edge and blocks while it reads the kernel's flows: `node.py` runs it in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from pyroute2 import Conntrack, NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from iacorch.agent.network.services.nft import Elements
from iacorch.errors import NetworkFailed

UDP = 17

Frontends = Mapping[tuple[str, int], Set[tuple[str, int]]]
"""(address, or "" for node ports; port) -> the endpoints that may stand behind it now."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked UDP flow: where the client sent it, and who answers."""

    destination: tuple[str, int]
    answered_by: tuple[str, int]


def changed_frontends(before: Elements, after: Elements) -> Frontends:
    """UDP frontends whose endpoints differ, with the endpoints they have now."""
    old, new = _frontends(before), _frontends(after)
    return {key: new.get(key, set()) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _frontends(elements: Elements) -> dict[tuple[str, int], set[tuple[str, int]]]:
    found: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for (name, key), value in elements.items():
        if name not in ("vip-endpoints", "node-endpoints") or "udp" not in key:
            continue
        *address, _, port, _ = key.split(" . ")
        endpoint, number = value.split(" . ")
        found.setdefault((address[0] if address else "", int(port)), set()).add((endpoint, int(number)))
    return found


def is_stale(flow: Flow, frontends: Frontends, node_addresses: Set[str]) -> bool:
    """Whether the flow was sent to one of `frontends` and is answered by none of its endpoints."""
    address, port = flow.destination
    endpoints = frontends.get((address, port))
    if endpoints is None and address in node_addresses:
        endpoints = frontends.get(("", port))
    return endpoints is not None and flow.answered_by not in endpoints


def forget(frontends: Frontends, node_addresses: Set[str]) -> int:
    """Delete stale flows; answers how many. Blocks. Raises NetworkFailed."""
    deleted = 0
    try:
        with Conntrack() as tracker:
            for entry in list(tracker.dump_entries(tuple_orig=NFCTAttrTuple(proto=UDP))):
                if is_stale(_flow(entry), frontends, node_addresses):
                    tracker.entry("del", tuple_orig=entry.tuple_orig)
                    deleted += 1
    except (NetlinkError, OSError) as error:
        raise NetworkFailed(f"cannot delete stale UDP flows: {error}") from error
    return deleted


def _flow(entry: Any) -> Flow:
    sent, answer = entry.tuple_orig, entry.tuple_reply
    return Flow((sent.daddr, sent.dport), (answer.saddr, answer.sport))
