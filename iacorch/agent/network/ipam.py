"""Which pod holds which address of this node's range: pure.

In: the leases so far, the node's pod range, a pod's UID, the time. Out: the leases after it. `attachments.py` keeps the
value on disk and calls this. The first usable address of the range is the gateway; addresses are handed out in turn
(next after the last one), and one that was given back rests for `COOL_DOWN_SECONDS`, so that late packets and stale
connection tracking never reach the wrong pod.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from iacorch.agent.network.contract import AddressesExhausted

COOL_DOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Leases:
    """`held`: pod UID -> address; `resting`: address -> when it was given back (Unix seconds); `last` handed out."""

    held: Mapping[str, IPv4Address] = field(default_factory=dict)
    resting: Mapping[IPv4Address, float] = field(default_factory=dict)
    last: IPv4Address | None = None


def gateway(pod_range: IPv4Network) -> IPv4Address:
    """The node's own address in its range: every pod's next hop."""
    return pod_range.network_address + 1


def lease(leases: Leases, pod_uid: str, pod_range: IPv4Network, *, now: float) -> Leases:
    """Leases in which `pod_uid` holds an address of `pod_range`; unchanged if it does already.

    Raises AddressesExhausted when every address is held or resting.
    """
    if (address := leases.held.get(pod_uid)) is not None and address in pod_range:
        return leases
    resting = {a: since for a, since in leases.resting.items() if now - since < COOL_DOWN_SECONDS}
    taken = set(leases.held.values()) | resting.keys()
    first, end = int(gateway(pod_range)) + 1, int(pod_range.broadcast_address)
    count = end - first
    start = int(leases.last) + 1 - first if leases.last is not None and leases.last in pod_range else 0
    for step in range(count):
        candidate = IPv4Address(first + (start + step) % count)
        if candidate not in taken:
            return Leases({**leases.held, pod_uid: candidate}, resting, candidate)
    raise AddressesExhausted(
        f"no free address in {pod_range}: {len(leases.held)} held, {len(resting)} resting after use",
        hint="spread the pods over more nodes or give the nodes larger pod ranges",
    )


def give_back(leases: Leases, pod_uid: str, *, now: float) -> Leases:
    """Leases without `pod_uid`, its address resting from `now` on."""
    if (address := leases.held.get(pod_uid)) is None:
        return leases
    held = {uid: a for uid, a in leases.held.items() if uid != pod_uid}
    return replace(leases, held=held, resting={**leases.resting, address: now})


def reconcile(leases: Leases, *, found: Mapping[str, IPv4Address], keep: Collection[str], now: float) -> Leases:
    """Leases after a start: `found` (pod UID -> address, from the links) wins over what was remembered.

    A remembered pod without a link keeps its lease if it is in `keep` (its next sandbox gets the address back), unless
    another pod's link was found on it; everything else is given back.
    """
    held = {uid: address for uid, address in found.items() if uid in keep}
    used = set(found.values())
    resting = dict(leases.resting)
    for uid, address in {**leases.held, **found}.items():
        if uid in held:
            continue
        if uid in keep and address not in used:
            held[uid] = address
            used.add(address)
        elif address not in held.values():
            resting.setdefault(address, now)
    return Leases(held, {a: since for a, since in resting.items() if a not in held.values()}, leases.last)


def to_json(leases: Leases) -> dict[str, Any]:
    """The form on disk."""
    return {
        "held": {uid: str(address) for uid, address in sorted(leases.held.items())},
        "resting": {str(address): since for address, since in sorted(leases.resting.items())},
        "last": str(leases.last) if leases.last else None,
    }


def from_json(data: Mapping[str, Any]) -> Leases:
    """The inverse of `to_json`. Raises ValueError, KeyError, TypeError or AttributeError on anything else."""
    last = data["last"]
    return Leases(
        {str(uid): IPv4Address(address) for uid, address in data["held"].items()},
        {IPv4Address(address): float(since) for address, since in data["resting"].items()},
        IPv4Address(last) if last else None,
    )
