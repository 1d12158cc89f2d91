"""The kernel's table of tracked connections: the edge.

In: `flows.Departures`. Out: deleted entries. `forget` blocks while it reads the table: `node.py` runs it in a thread.

Netlink is spoken here directly. A busy node tracks tens of thousands of connections; a general decoder takes seconds
for them, these few fields take a fraction. The kernel filters by the endpoint that answers (Linux 5.8 and later; older
ones send everything, and `flows.is_stale` decides in any case). Layout: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Set
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from iacorch.agent.network.services.flows import Departures, Flow, is_stale
from iacorch.agent.network.services.plan import Endpoint
from iacorch.errors import NetworkFailed
from iacorch.kit import limits

_NETFILTER: Final = 12  # linux/netlink.h
_HEADER: Final = Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY: Final = Struct("=BBH")  # nfgenmsg
_ATTRIBUTE: Final = Struct("=HH")  # length, type
_GET, _DELETE = 0x0101, 0x0102  # subsystem conntrack
_REQUEST, _DUMP = 0x01, 0x300
_ERROR, _DONE = 2, 3
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _ID, _FILTER = 1, 2, 3, 4, 12, 25
_ADDRESSES, _PORTS = 1, 2  # in a tuple
_SOURCE, _DESTINATION = 1, 2  # of addresses
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # of ports
_FILTER_REPLY_FLAGS, _BY_SOURCE = 2, 1
_SEEN_REPLY, _TRANSLATED = 1 << 1, 1 << 5
_OVER: Final = frozenset({7, 8})
"""TIME_WAIT and CLOSE: the kernel forgets such an entry by itself when its port is used again."""
_PROTOCOLS: Final = {6: "TCP", 17: "UDP"}
_RECEIVE_BYTES: Final = 1 << 18
_DELETIONS_AT_ONCE: Final = 256


def forget(departures: Departures, node_addresses: Set[str]) -> int:
    """Delete the flows that `flows.is_stale` names; answers how many. Blocks. Raises NetworkFailed."""
    left = departures.left
    if left is not None and "" in left:
        left = left - {""} | node_addresses
    filters = [None] if left is None or len(left) > limits.CONNTRACK_FILTERS else sorted(left)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netlink:
            netlink.settimeout(limits.NETWORK_COMMAND_SECONDS)
            stale = [
                handle
                for answered_by in filters
                for flow, handle in _dump(netlink, answered_by)
                if is_stale(flow, departures, node_addresses)
            ]
            for first in range(0, len(stale), _DELETIONS_AT_ONCE):
                # One that has ended meanwhile is an error that nobody waits for.
                netlink.send(b"".join(_message(_DELETE, 0, h) for h in stale[first : first + _DELETIONS_AT_ONCE]))
    except OSError as error:
        raise NetworkFailed(f"cannot delete stale connections: {error}") from error
    return len(stale)


def _dump(netlink: socket.socket, answered_by: str | None) -> Iterator[tuple[Flow, bytes]]:
    """Flows, each with what names it to the kernel."""
    netlink.send(_message(_GET, _DUMP, _filter(answered_by) if answered_by else b""))
    while True:
        data = netlink.recv(_RECEIVE_BYTES)
        start = 0
        while start + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, start)
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -int.from_bytes(data[start + 16 : start + 20], "little", signed=True)
                raise OSError(number, "the kernel does not list its connections")
            if (found := _flow(data, start + _HEADER.size + _FAMILY.size, start + length)) is not None:
                yield found
            start += length + 3 & ~3


def _filter(answered_by: str) -> bytes:
    addresses = _attribute(_ADDRESSES | _NESTED, _attribute(_SOURCE, IPv4Address(answered_by).packed))
    flags = _attribute(_FILTER_REPLY_FLAGS, _BY_SOURCE.to_bytes(4, "little"))
    return _attribute(_REPLY | _NESTED, addresses) + _attribute(_FILTER | _NESTED, flags)


def _flow(data: bytes, start: int, end: int) -> tuple[Flow, bytes] | None:
    """None for what is over and what is neither TCP nor UDP."""
    top = _attributes(data, start, end)
    if not {_ORIGINAL, _REPLY, _STATUS} <= top.keys():
        return None
    (number, _, _, destination, port), (_, address, answering, _, _) = (
        _tuple(data, *top[_ORIGINAL]),
        _tuple(data, *top[_REPLY]),
    )
    if (protocol := _PROTOCOLS.get(number)) is None or _state(data, top) in _OVER:
        return None
    status = int.from_bytes(data[slice(*top[_STATUS])], "big")
    handle = b"".join(
        _attribute(kind | (_NESTED if kind == _ORIGINAL else 0), data[slice(*top[kind])])
        for kind in (_ORIGINAL, _ID)
        if kind in top
    )
    flow = Flow(
        "TCP" if protocol == "TCP" else "UDP",
        (destination, port),
        Endpoint(address, answering),
        is_answered=bool(status & _SEEN_REPLY),
        is_translated=bool(status & _TRANSLATED),
    )
    return flow, handle


def _tuple(data: bytes, start: int, end: int) -> tuple[int, str, int, str, int]:
    """(protocol, source, its port, destination, its port); zeros for what is not there."""
    parts = _attributes(data, start, end)
    addresses = _attributes(data, *parts.get(_ADDRESSES, (0, 0)))
    ports = _attributes(data, *parts.get(_PORTS, (0, 0)))

    def number(kind: int) -> int:
        return int.from_bytes(data[slice(*ports.get(kind, (0, 0)))], "big")

    def address(kind: int) -> str:
        packed = data[slice(*addresses.get(kind, (0, 0)))]
        return socket.inet_ntoa(packed) if len(packed) == 4 else ""

    return number(_NUMBER), address(_SOURCE), number(_SOURCE_PORT), address(_DESTINATION), number(_DESTINATION_PORT)


def _state(data: bytes, top: dict[int, tuple[int, int]]) -> int:
    """TCP's state, 0 for other protocols."""
    of_tcp = _attributes(data, *_attributes(data, *top.get(_PROTOCOL_INFO, (0, 0))).get(1, (0, 0)))
    start, _ = of_tcp.get(1, (0, 0))
    return data[start] if start else 0


def _attributes(data: bytes, start: int, end: int) -> dict[int, tuple[int, int]]:
    """Type -> where its content begins and ends."""
    found = {}
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = (start + _ATTRIBUTE.size, start + length)
        start += length + 3 & ~3
    return found


def _attribute(kind: int, content: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(-length % 4)


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    length = _HEADER.size + _FAMILY.size + len(attributes)
    return _HEADER.pack(length, kind, _REQUEST | flags, 0, 0) + _FAMILY.pack(socket.AF_INET, 0, 0) + attributes
