"""Routing in nftables' words: pure.

In: `plan.Routing` of each Service, host ports, this node's numbers. Out: elements of maps (`Elements`), the text of
transactions, and elements read back from `nft -j list`. `table.py` runs them. Layout, in table `ip iacorch`:

    vips              address . protocol . port          -> goto vip-N (N endpoints)
    vip-endpoints     address . protocol . port . index  -> endpoint address . port
    node-ports, node-endpoints                           the same without the address
    *-slots, *-sticky, *-affinity                        session affinity, see `_pick_chain`

There is no chain for a Service or an endpoint, only one for each number of endpoints that occurs, which draws an index
and looks the endpoint up. A change of one endpoint is a change of a few elements, whatever the number of Services.

Transactions are written in nft's own syntax, not in its JSON: nft 1.0 has no JSON for `update` of a map. Either form is
one transaction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, NamedTuple

from iacorch.agent.network.contract import Transport
from iacorch.agent.network.services.plan import Backend, Endpoint, Routing
from iacorch.agent.network.settings import OUTSIDE_MARK, POD_LINK_PREFIX, TABLE, TUNNEL_LINK

_PICK: Final = re.compile(r"(vip|node)-\d+(-sticky-\d+)?")


class Key(NamedTuple):
    """An element's map or set, and its key in nft's words."""

    map: str
    key: str


Elements = Mapping[Key, str]
"""Key -> value in nft's words; "" in sets."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the chains that never change are made from."""

    gateway: IPv4Address
    pod_range: IPv4Network
    cluster_network: IPv4Network
    service_network: IPv4Network


@dataclass(frozen=True, slots=True)
class Found:
    """Our table as the kernel has it: its frame's mark, its chains with how many rules each has, its elements."""

    frame_mark: str
    rules: Mapping[str, int]
    elements: Elements

    @property
    def chains(self) -> frozenset[str]:
        return frozenset(self.rules)

    def is_whole(self, frame: Frame) -> bool:
        """Whether `frame` is there, and no rule or chain more or less than were put there."""
        fixed = _fixed_rules(frame)
        picks = {chain: len(_pick_rules(chain)) for chain in self.chains if _PICK.fullmatch(chain)}
        return dict(self.rules) == fixed | picks


def render(routing: Routing) -> dict[Key, str]:
    """The elements of one Service. Frontends without endpoints have none, apart from a refusal."""
    elements: dict[Key, str] = {}
    for (address, protocol, port), backend in routing.vips.items():
        frontend = _words(address, protocol.lower(), port)
        if not backend.endpoints:
            elements[Key("refused", frontend)] = ""
        elements.update(_frontend("vip", frontend, backend))
    for (protocol, port), backend in routing.node_ports.items():
        elements.update(_frontend("node", _words(protocol.lower(), port), backend))
    elements.update({Key("hairpins", _words(address, address)): "" for address in routing.hairpins})
    elements.update({Key("outside", _words(a, protocol.lower(), p)): "" for a, protocol, p in routing.outside})
    return elements


def render_host_ports(rules: Mapping[tuple[str, Transport, int], Endpoint]) -> dict[Key, str]:
    """The elements of host ports."""
    elements: dict[Key, str] = {}
    for (host, protocol, port), endpoint in rules.items():
        value = _words(endpoint.address, endpoint.port)
        if host:
            elements[Key("host-ports-at", _words(host, protocol.lower(), port))] = value
        else:
            elements[Key("host-ports", _words(protocol.lower(), port))] = value
        elements[Key("hairpins", _words(endpoint.address, endpoint.address))] = ""
    return elements


def _frontend(scope: str, frontend: str, backend: Backend) -> dict[Key, str]:
    if not backend.endpoints:
        return {}
    entry = "vips" if scope == "vip" else "node-ports"
    chain = f"{scope}-{len(backend.endpoints)}"
    elements: dict[Key, str] = {}
    for index, endpoint in enumerate(backend.endpoints):
        value = _words(endpoint.address, endpoint.port)
        elements[Key(f"{scope}-endpoints", _words(frontend, index))] = value
        if backend.affinity_seconds:
            number = int(IPv4Address(endpoint.address))
            elements[Key(f"{scope}-slots", _words(frontend, index))] = str(number)
            elements[Key(f"{scope}-sticky", _words(frontend, number))] = value
    if backend.affinity_seconds:
        chain += f"-sticky-{backend.affinity_seconds}"
    elements[Key(entry, frontend)] = f"goto {chain}"
    return elements


def _words(*parts: str | int) -> str:
    return " . ".join(map(str, parts))


# Texts

_FRONTEND = {"vip": "ip daddr . meta l4proto . th dport", "node": "meta l4proto . th dport"}
_FRONTEND_TYPE = {"vip": "ipv4_addr . inet_proto . inet_service", "node": "inet_proto . inet_service"}


def frame_text(frame: Frame) -> str:
    """The table's maps and fixed chains, empty of Services."""
    return _FRAME.format(
        table=TABLE,
        mark=frame_mark(frame),
        maps="".join(_maps(scope) for scope in ("vip", "node")),
        gateway=frame.gateway,
        pod_range=frame.pod_range,
        cluster=frame.cluster_network,
        services=frame.service_network,
        tunnel=TUNNEL_LINK,
        outside_mark=f"{OUTSIDE_MARK:#x}",
    )


def frame_mark(frame: Frame) -> str:
    """The name of an empty chain that tells, read back, whether the frame in the kernel is the one wanted."""
    text = _FRAME + "".join(_pick_chain(f"{scope}-1{sticky}") for scope in _FRONTEND for sticky in ("", "-sticky-1"))
    return "frame-" + sha256(f"{text}{_maps('vip')}{_maps('node')}{frame}".encode()).hexdigest()[:12]


_FRAME = """table ip {table} {{
  chain {mark} {{
  }}
{maps}  set refused {{
    type ipv4_addr . inet_proto . inet_service
  }}
  set hairpins {{
    type ipv4_addr . ipv4_addr
  }}
  set outside {{
    type ipv4_addr . inet_proto . inet_service
  }}
  map host-ports {{
    type inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map host-ports-at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }}
  chain this-node {{
    meta l4proto . th dport vmap @node-ports
    dnat ip to ip daddr . meta l4proto . th dport map @host-ports-at
    dnat ip to meta l4proto . th dport map @host-ports
  }}
  chain choose {{
    ip daddr . meta l4proto . th dport vmap @vips
    fib daddr type local goto this-node
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop comment "route_localnet is on for node ports on loopback only"
  }}
  chain from-others {{
    type nat hook prerouting priority dstnat; policy accept;
    jump choose
  }}
  chain from-this-node {{
    type nat hook output priority -100; policy accept;
    jump choose
  }}
  chain sources {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "lo" return
    ip saddr . ip daddr @hairpins snat to {gateway} comment "a pod that chose itself"
    ip saddr 127.0.0.0/8 snat to {gateway} comment "a node port on loopback"
    ct status dnat oifname "{tunnel}" ip saddr != {cluster} snat to {gateway} comment "replies pass this node"
    ct status dnat ip daddr . meta l4proto . th dport @outside masquerade comment "replies pass this node"
    ip saddr {pod_range} ip daddr != {cluster} masquerade comment "pods leave under the node's address"
  }}
  chain refuse {{
    ip daddr {services} reject with tcp reset
    ip daddr {services} reject
    meta l4proto tcp ip daddr . meta l4proto . th dport @refused reject with tcp reset
    ip daddr . meta l4proto . th dport @refused reject
  }}
  chain before-docker {{
    type filter hook forward priority filter - 5; policy accept;
    ct state new ct status dnat ip daddr . meta l4proto . th dport @outside ct mark set ct mark or {outside_mark}
  }}
  chain forwarded {{
    type filter hook forward priority filter; policy accept;
    ct state new jump refuse
  }}
  chain sent {{
    type filter hook output priority filter; policy accept;
    oifname != "lo" ct state new jump refuse
  }}
}}
"""


def _maps(scope: str) -> str:
    entry = "vips" if scope == "vip" else "node-ports"
    frontend = _FRONTEND_TYPE[scope]
    return f"""  map {entry} {{
    type {frontend} : verdict
  }}
  map {scope}-endpoints {{
    type {frontend} . mark : ipv4_addr . inet_service
  }}
  map {scope}-slots {{
    type {frontend} . mark : mark
  }}
  map {scope}-sticky {{
    type {frontend} . mark : ipv4_addr . inet_service
  }}
  map {scope}-affinity {{
    type ipv4_addr . {frontend} : mark
    flags dynamic,timeout
    size 65535
  }}
"""


def _fixed_rules(frame: Frame) -> dict[str, int]:
    """How many rules each chain of the frame has."""
    rules: dict[str, int] = {}
    for block in re.finditer(r"^  chain (\S+) \{\n(.*?)^  \}", frame_text(frame), re.DOTALL | re.MULTILINE):
        lines = block[2].splitlines()
        rules[block[1]] = sum(1 for line in lines if not line.lstrip().startswith("type "))
    return rules


def _pick_rules(chain: str) -> list[str]:
    """The rules of `vip-3` or `node-3-sticky-10800`: draw an index, look the endpoint up, translate.

    The index passes through the connection's mark, because a drawn number cannot be part of a map's declared key
    (nft 1.0 accepts such rules, but cannot add another one to a table that is in the kernel). With affinity: the index
    gives a slot, which is the endpoint's address as a number; it is remembered for this client, or what is remembered
    is kept and refreshed; then the memory decides. If that endpoint is gone, `*-sticky` has no element for it and the
    draw decides. A transaction may take the drawn endpoint away while a packet is between two rules: then the first one
    is it, as there is always a first one.
    """
    scope, count, *sticky = chain.split("-")
    frontend = _FRONTEND[scope]
    draw = f"ct mark set numgen random mod {count}"
    drawn = f"{frontend} . ct mark"
    send = f"dnat ip to {drawn} map @{scope}-endpoints"
    rules = [draw, send, "ct mark set 0", send]
    if sticky:
        client = f"ip saddr . {frontend}"
        rules = [
            draw,
            f"ct mark set {drawn} map @{scope}-slots",
            f"update @{scope}-affinity {{ {client} timeout {sticky[1]}s : ct mark }}",
            f"ct mark set {client} map @{scope}-affinity",
            f"dnat ip to {drawn} map @{scope}-sticky",
            *rules,
        ]
    return rules


def _pick_chain(chain: str) -> str:
    return "".join(f"add rule ip {TABLE} {chain} {rule}\n" for rule in _pick_rules(chain))


def chains_of(elements: Elements) -> frozenset[str]:
    """The chains that verdicts go to."""
    return frozenset(value.removeprefix("goto ") for value in elements.values() if value.startswith("goto "))


def replacement(frame: Frame, elements: Elements) -> str:
    """One transaction that puts a whole table in the place of whatever is there."""
    return (
        f"table ip {TABLE}\ndelete table ip {TABLE}\n{frame_text(frame)}"
        f"{_chains_text(chains_of(elements))}{_elements_text('add', elements)}"
    )


def amendment(seen: Elements, wanted: Elements, *, chains: frozenset[str]) -> str:
    """One transaction that turns `seen` into `wanted`; `chains` exist already. "" when there is nothing to do."""
    removed = {key: value for key, value in seen.items() if wanted.get(key) != value}
    added = {key: value for key, value in wanted.items() if seen.get(key) != value}
    return (
        f"{_chains_text(chains_of(added) - chains)}"
        f"{_elements_text('delete', dict.fromkeys(removed, ''))}{_elements_text('add', added)}"
    )


def _chains_text(chains: Iterable[str]) -> str:
    return "".join(f"add chain ip {TABLE} {chain}\n{_pick_chain(chain)}" for chain in sorted(chains))


def _elements_text(verb: str, elements: Elements) -> str:
    by_map: dict[str, list[str]] = {}
    for (name, key), value in elements.items():
        by_map.setdefault(name, []).append(f"{key} : {value}" if value else key)
    return "".join(
        f"{verb} element ip {TABLE} {name} {{ {', '.join(rows)} }}\n" for name, rows in sorted(by_map.items())
    )


# Reading back


def parse(listing: Mapping[str, Any]) -> Found:
    """`nft -j list table ip iacorch`. Raises ValueError on a shape that is not ours: replace the table then."""
    mark, rules, elements = "", Counter[str](), dict[Key, str]()
    for entry in listing.get("nftables", []):
        if rule := entry.get("rule"):
            rules[rule["chain"]] += 1
        if chain := entry.get("chain"):
            rules[chain["name"]] += 0
            if chain["name"].startswith("frame-"):
                mark = chain["name"]
        if (holder := entry.get("map") or entry.get("set")) and not holder["name"].endswith("-affinity"):
            is_map = "map" in entry
            for element in holder.get("elem", []):
                key, value = element if is_map else (element, None)
                elements[Key(holder["name"], _parse_words(key))] = _parse_words(value) if is_map else ""
    return Found(mark, dict(rules), elements)


def _parse_words(value: Any) -> str:
    match value:
        case {"concat": parts}:
            return " . ".join(map(_parse_words, parts))
        case {"goto": {"target": chain}}:
            return f"goto {chain}"
        case str() | int():
            return str(value)
        case _:
            raise ValueError(f"unexpected element {value!r}")


def link_pattern() -> str:
    """Pods' host-side links, as iptables writes a prefix."""
    return f"{POD_LINK_PREFIX}+"
