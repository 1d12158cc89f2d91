"""The network between machines. Pure.

QEMU's user network leads each machine to the world and forwards ports to it, but every machine is 10.0.2.15 there and
none reaches another. So each has a second link, with an address of its own: on a bridge of this host where the settings
name one (by root, or with the rights that /etc/qemu/bridge.conf gives), else on a network that needs no rights, whose
frames are multicast datagrams on the loopback device. In: settings, a machine's ID, taken addresses. Out: an address,
QEMU's arguments, what cloud-init is told. Called by `driver` and `command`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, Final

from iacorch.infra.machines.errors import QuotaExceeded
from iacorch.infra.machines.qemu.settings import Network

USER_ADDRESS: Final = "10.0.2.15"
"""Every machine's in QEMU's user network."""
_GROUPS: Final = IPv4Network("239.192.0.0/14")  # for the use of one organisation (RFC 2365)
_PORTS: Final = range(20_000, 30_000)


def free_address(network: Network, taken: Collection[str]) -> str:
    """The lowest that no machine has, as ADDRESS/LENGTH; the first one is the host's. Raises QuotaExceeded."""
    hosts = network.range.hosts()
    next(hosts)
    for host in hosts:
        address = f"{host}/{network.range.prefixlen}"
        if address not in taken:
            return address
    raise QuotaExceeded(f"addresses in {network.range}", limit=network.range.num_addresses - 3)


def mac(machine: str, link: int) -> str:
    """A link's hardware address; machines on one network must differ in it."""
    digest = hashlib.sha256(f"{machine}/{link}".encode()).digest()
    return f"52:54:00:{digest[0]:02x}:{digest[1]:02x}:{digest[2]:02x}"


def arguments(network: Network, machine: str, *, segment: str) -> list[str]:
    """QEMU's, for the second link. Machines with the same `segment` are on one network."""
    if network.bridge:
        backend = f"bridge,id=net1,br={network.bridge}"
    else:
        group, port = _group(segment)
        backend = f"socket,id=net1,mcast={group}:{port},localaddr=127.0.0.1"
    return ["-netdev", backend, "-device", f"virtio-net-pci,netdev=net1,mac={mac(machine, 1)}"]


def configuration(machine: str, address: str) -> dict[str, Any]:
    """cloud-init's network configuration (version 2)."""
    uplink, private = ({"match": {"macaddress": mac(machine, link)}, "set-name": f"net{link}"} for link in (0, 1))
    # optional: a machine need not wait for it to boot
    between = {**private, "addresses": [str(IPv4Interface(address))], "optional": True}
    return {"version": 2, "ethernets": {"net0": {**uplink, "dhcp4": True}, "net1": between}}


def _group(segment: str) -> tuple[str, int]:
    digest = hashlib.sha256(segment.encode()).digest()
    address = _GROUPS[int.from_bytes(digest[:4], "big") % _GROUPS.num_addresses]
    return str(address), _PORTS[int.from_bytes(digest[4:8], "big") % len(_PORTS)]
