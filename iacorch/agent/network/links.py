"""The node's links, addresses and routes, through netlink: a thin edge that makes what is missing.

In: settings, this node's range, `routes.Overlay`, pods. Out: kernel state. Called by `node.py`, in one worker thread
(everything here blocks for about a millisecond and enters pods' network namespaces).

    pod: eth0 10.244.1.7/32, default via 10.244.1.1           (veth pair)
    node: iacp<hash>   route 10.244.1.7/32                    one per pod
          iac0         10.244.1.1/32 and 10.96.0.10/32        portless bridge: gateway, DNS
          iacvx0       10.244.1.0/32                          VXLAN to the other nodes

Pods hang on routed veth pairs, not on a bridge. Packets between pods of one node are routed too, so connection tracking
sees both directions of every connection and translated replies find their way back, whether or not br_netfilter is
loaded and however it is set; a pod that reaches itself through its Service needs no hairpin mode; strict reverse path
filtering keeps pods from using each other's addresses. `iac0` only carries addresses; it is a bridge because every
kernel that runs Docker has bridges and not every one has dummy links.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from iacorch.agent.network import ipam, routes
from iacorch.agent.network.contract import SandboxGone
from iacorch.agent.network.settings import GATEWAY_LINK, POD_LINK_PREFIX, TUNNEL_LINK, Settings
from iacorch.errors import NetworkFailed

CLONE_NEWNET = 0x40000000
POD_LINK = "eth0"
ALIAS_PREFIX = "iacorch"
PERMANENT = 0x80
IS_UP = 0x01
SELF_FLAG = 0x02
ONLINK = 4
SCOPE_LINK = 253
UNREACHABLE = 7
LOW_PRIORITY = 1_000_000
"""Metric of the route that refuses addresses of our range which no pod holds."""


@dataclass(frozen=True, slots=True)
class NodeLinks:
    """What this node's own links are made from."""

    settings: Settings
    node_address: IPv4Address
    pod_range: IPv4Network


@dataclass(frozen=True, slots=True)
class PodLink:
    """A pod's host-side link as found: UID and address are read back from the link's alias."""

    index: int
    pod_uid: str
    address: IPv4Address


def host_link_name(pod_uid: str) -> str:
    """The host end's name: within the kernel's 15 characters, the same for the same pod."""
    return POD_LINK_PREFIX + sha256(pod_uid.encode()).hexdigest()[:10]


@contextmanager
def _netlink(doing: str) -> Iterator[Any]:
    """A netlink socket in this namespace; the kernel's refusals become NetworkFailed that say what was being done."""
    try:
        with IPRoute() as ip:
            yield ip
    except (NetlinkError, OSError) as error:
        raise NetworkFailed(f"{doing}: {error}") from error


@contextmanager
def _inside(pid: int, doing: str) -> Iterator[Any]:
    """A netlink socket in the network namespace of process `pid`. The thread is back home before the block begins."""
    try:
        target = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    except OSError as error:
        raise SandboxGone(f"{doing}: process {pid} does not exist") from error
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(target)
        try:
            ip = IPRoute()
        finally:
            _enter(home)
        try:
            with ip:
                yield ip
        except (NetlinkError, OSError) as error:
            raise NetworkFailed(f"{doing}: {error}") from error
    finally:
        os.close(target)
        os.close(home)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NetworkFailed(f"cannot enter a network namespace: {os.strerror(number)}", hint="the agent needs root")


def _index(ip: Any, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return found[0] if found else None


# The node's own links


def ensure_node(node: NodeLinks) -> None:
    """Make the gateway link, the tunnel and the node's routes as `node` says; what is right stays untouched."""
    with _netlink("preparing the node's links") as ip:
        gateway, dns = ipam.gateway(node.pod_range), node.settings.dns_address
        index = _index(ip, GATEWAY_LINK)
        if index is None:
            ip.link("add", ifname=GATEWAY_LINK, kind="bridge")
            index = ip.link_lookup(ifname=GATEWAY_LINK)[0]
        _set_addresses(ip, index, {str(gateway), str(dns)})
        ip.link("set", index=index, state="up")
        ip.route("replace", dst=str(node.settings.service_network), oif=index, scope=SCOPE_LINK, prefsrc=str(gateway))
        ip.route("replace", dst=str(node.pod_range), type=UNREACHABLE, priority=LOW_PRIORITY)
        _ensure_tunnel(ip, node)
        _ensure_pod_links(ip, gateway)
    # The node's processes reach Services from the gateway address, and NodePorts from 127.0.0.1.
    _sysctl("net/ipv4/ip_forward", "1")
    _sysctl(f"net/ipv4/conf/{TUNNEL_LINK}/rp_filter", "2")
    _sysctl(f"net/ipv4/conf/{TUNNEL_LINK}/route_localnet", "1")


def _ensure_pod_links(ip: Any, gateway: IPv4Address) -> None:
    """Up, and with their routes: what somebody took down or away comes back."""
    routed = {m.get_attr("RTA_DST") for m in ip.get_routes(family=2) if m["dst_len"] == 32}
    for link in ip.get_links():
        pod = _pod_link(link)
        if pod is None or (link["flags"] & IS_UP and str(pod.address) in routed):
            continue
        ip.link("set", index=pod.index, state="up")
        ip.route("replace", dst=f"{pod.address}/32", oif=pod.index, scope=SCOPE_LINK, prefsrc=str(gateway))


def _ensure_tunnel(ip: Any, node: NodeLinks) -> None:
    underlay = _underlay(ip, node.node_address)
    mtu = underlay["mtu"] - routes.VXLAN_OVERHEAD_BYTES
    mac = routes.tunnel_mac(node.pod_range)
    wanted = {
        "vxlan_id": node.settings.vxlan_id,
        "vxlan_port": node.settings.vxlan_port,
        "vxlan_local": str(node.node_address),
        "vxlan_learning": 0,
    }
    index = _index(ip, TUNNEL_LINK)
    if index is not None and not _tunnel_matches(ip.link("get", index=index)[0], wanted, mac):
        ip.link("del", index=index)
        index = None
    if index is None:
        for other in ip.get_links(kind="vxlan"):
            if other.get_attr("IFLA_ADDRESS") == mac:  # ours under another name: the kernel has room for one of them
                ip.link("del", index=other["index"])
        ip.link("add", ifname=TUNNEL_LINK, kind="vxlan", address=mac, vxlan_link=underlay["index"], **wanted)
        index = ip.link_lookup(ifname=TUNNEL_LINK)[0]
    _set_addresses(ip, index, {str(node.pod_range.network_address)})
    ip.link("set", index=index, mtu=mtu, state="up")


def _tunnel_matches(link: Any, wanted: Mapping[str, Any], mac: str) -> bool:
    data = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    if data is None or link.get_attr("IFLA_ADDRESS") != mac:
        return False
    return all(data.get_attr(f"IFLA_{key.upper()}") == value for key, value in wanted.items() if value)


def _underlay(ip: Any, node_address: IPv4Address) -> dict[str, int]:
    """Index and MTU of the link that carries the node's address."""
    for message in ip.get_addr(family=2):
        if message.get_attr("IFA_LOCAL") == str(node_address):
            link = ip.link("get", index=message["index"])[0]
            return {"index": message["index"], "mtu": int(link.get_attr("IFLA_MTU"))}
    raise NetworkFailed(
        f"no link of this machine has the node's address {node_address}",
        hint="start the agent with --node-ip set to an address that the other nodes reach",
    )


def pod_mtu() -> int:
    """The tunnel's MTU: what pods' links get, so that no packet between nodes is cut in pieces."""
    with _netlink("reading the tunnel's MTU") as ip:
        index = _index(ip, TUNNEL_LINK)
        if index is None:
            raise NetworkFailed(f"{TUNNEL_LINK} does not exist")
        return int(ip.link("get", index=index)[0].get_attr("IFLA_MTU"))


def _set_addresses(ip: Any, index: int, wanted: set[str]) -> None:
    seen = {m.get_attr("IFA_LOCAL") for m in ip.get_addr(index=index, family=2)}
    for address in seen - wanted:
        ip.addr("del", index=index, address=address, prefixlen=32)
    for address in wanted - seen:
        ip.addr("add", index=index, address=address, prefixlen=32)


def _sysctl(key: str, value: str) -> None:
    """Write only what differs: /proc/sys is read-only in some containers, and may be right already."""
    path = Path("/proc/sys") / key
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        raise NetworkFailed(f"cannot set {key.replace('/', '.')}={value}: {error}") from error


# The other nodes


def overlay_seen() -> routes.Overlay:
    """What the tunnel knows now, of the kind that we put there."""
    with _netlink("reading the tunnel's entries") as ip:
        index = _index(ip, TUNNEL_LINK)
        if index is None:
            return routes.Overlay()
        return routes.Overlay(
            frozenset(
                (m.get_attr("NDA_LLADDR"), m.get_attr("NDA_DST"))
                for m in ip.fdb("dump", ifindex=index)
                if m.get_attr("NDA_DST") and m["ifindex"] == index
            ),
            frozenset(
                (m.get_attr("NDA_DST"), m.get_attr("NDA_LLADDR"))
                for m in ip.get_neighbours(ifindex=index, family=2)
                if m["state"] & PERMANENT
            ),
            frozenset(
                (f"{m.get_attr('RTA_DST')}/{m['dst_len']}", m.get_attr("RTA_GATEWAY"))
                for m in ip.get_routes(oif=index, family=2)
                if m.get_attr("RTA_GATEWAY")
            ),
        )


def apply_overlay(change: routes.Change) -> None:
    """Take away, then put; each entry may be there or gone already."""
    with _netlink("setting the tunnel's entries") as ip:
        index = _index(ip, TUNNEL_LINK)
        if index is None:
            raise NetworkFailed(f"{TUNNEL_LINK} does not exist")
        for network, via in change.remove.routes:
            _quietly(ip.route, "del", dst=network, gateway=via, oif=index)
        for address, mac in change.remove.neighbours:
            _quietly(ip.neigh, "del", dst=address, lladdr=mac, ifindex=index)
        for mac, node in change.remove.forwarding:
            _quietly(ip.fdb, "del", lladdr=mac, dst=node, ifindex=index)
        for mac, node in change.add.forwarding:
            ip.fdb("append", lladdr=mac, dst=node, ifindex=index, state=PERMANENT)
        for address, mac in change.add.neighbours:
            ip.neigh("replace", dst=address, lladdr=mac, ifindex=index, state=PERMANENT)
        for network, via in change.add.routes:
            ip.route("replace", dst=network, gateway=via, oif=index, flags=ONLINK)


def _quietly(call: Any, *arguments: Any, **options: Any) -> None:
    """What is to be removed may be gone: somebody else, or the kernel with a link, was faster."""
    try:
        call(*arguments, **options)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL):
            raise


# Pods


def pod_links() -> dict[str, PodLink]:
    """Every pod link on this node, by UID."""
    with _netlink("listing the pods' links") as ip:
        found = [_pod_link(link) for link in ip.get_links()]
    return {pod.pod_uid: pod for pod in found if pod is not None}


def _pod_link(link: Any) -> PodLink | None:
    alias = str(link.get_attr("IFLA_IFALIAS") or "").split()
    if len(alias) != 3 or alias[0] != ALIAS_PREFIX:
        return None
    return PodLink(link["index"], alias[1], IPv4Address(alias[2]))


def connect_pod(*, pod_uid: str, sandbox_pid: int, address: IPv4Address, gateway: IPv4Address, mtu: int) -> None:
    """Join the sandbox's namespace to the node under `address`; nothing to do where that is so already."""
    doing = f"connecting pod {pod_uid}"
    host_name = host_link_name(pod_uid)
    with _netlink(doing) as ip, _inside(sandbox_pid, doing) as pod:
        index = _index(ip, host_name)
        if index is not None and not _joined(pod, index, address):
            ip.link("del", index=index)
            index = None
        if index is None:
            if (stale := _index(pod, POD_LINK)) is not None:
                pod.link("del", index=stale)
            peer = {"ifname": POD_LINK, "net_ns_pid": sandbox_pid, "mtu": mtu}
            ip.link("add", ifname=host_name, kind="veth", mtu=mtu, peer=peer)
            index = ip.link_lookup(ifname=host_name)[0]
        # The alias comes last: a link without one was left half made and is made anew.
        _configure_pod_side(pod, address, gateway, _mac(ip, index))
        ip.link("set", index=index, state="up")
        for key, value in (("rp_filter", "1"), ("route_localnet", "1")):
            _sysctl(f"net/ipv4/conf/{host_name}/{key}", value)
        ip.route("replace", dst=f"{address}/32", oif=index, scope=SCOPE_LINK, prefsrc=str(gateway))
        ip.link("set", index=index, ifalias=f"{ALIAS_PREFIX} {pod_uid} {address}")


def _mac(ip: Any, index: int) -> str:
    return str(ip.link("get", index=index)[0].get_attr("IFLA_ADDRESS"))


def _joined(pod: Any, host_index: int, address: IPv4Address) -> bool:
    """Whether the pod's link is the other end of the host's and carries the address."""
    index = _index(pod, POD_LINK)
    if index is None or pod.link("get", index=index)[0].get_attr("IFLA_LINK") != host_index:
        return False
    return {m.get_attr("IFA_LOCAL") for m in pod.get_addr(index=index, family=2)} == {str(address)}


def _configure_pod_side(pod: Any, address: IPv4Address, gateway: IPv4Address, gateway_mac: str) -> None:
    index = pod.link_lookup(ifname=POD_LINK)[0]
    _set_addresses(pod, index, {str(address)})
    pod.link("set", index=1, state="up")
    pod.link("set", index=index, state="up")
    # The gateway's MAC is set, so that no ARP is needed: the first packet of a pod never waits.
    pod.neigh("replace", dst=str(gateway), lladdr=gateway_mac, ifindex=index, state=PERMANENT)
    pod.route("replace", dst=f"{gateway}/32", oif=index, scope=SCOPE_LINK)
    pod.route("replace", dst="default", gateway=str(gateway), oif=index)


def disconnect_pod(pod_uid: str) -> None:
    """Remove the pod's link, and with it its route; the pod's end goes with it."""
    with _netlink(f"disconnecting pod {pod_uid}") as ip:
        if (index := _index(ip, host_link_name(pod_uid))) is not None:
            _quietly(ip.link, "del", index=index)
