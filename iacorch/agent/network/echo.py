"""ICMP echoes to the other nodes' tunnel ends: the edge of `reach.py`.

In: the peers. Out: `Echoes.silent`, and a call when it changes. `node.py` runs it. One raw socket and one wake-up a
round, in which what has arrived is read first: a process that was held up finds its answers waiting and suspects
nobody for its own delay.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from iacorch.agent.network.reach import Reach
from iacorch.agent.network.routes import Peer
from iacorch.errors import NetworkFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h; the socket module does not name them
_MARK: Final = b"iacorch."
log = structlog.get_logger(__name__)


class Echoes:
    """`run` asks for ever; `silent` are the nodes that do not answer."""

    def __init__(
        self, peers: Callable[[], Iterable[Peer]], clock: Clock, *, changed: Callable[[frozenset[str]], None]
    ) -> None:
        self._peers, self._clock, self._changed = peers, clock, changed
        self._reach = Reach()
        self.silent: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Raises NetworkFailed when there is no socket to ask with."""
        with _open() as echo:
            while True:
                peers = {str(peer.pod_range.network_address): peer.node for peer in self._peers()}
                self._reach.round(peers.values(), [peers[address] for address in _answers(echo) if address in peers])
                if self._reach.silent != self.silent:
                    log.warning(
                        "nodes that do not answer", nodes=sorted(self._reach.silent), before=sorted(self.silent)
                    )
                    self.silent = self._reach.silent
                    self._changed(self.silent)
                for address in peers:
                    _ask(echo, address)
                await self._clock.sleep(max(limits.ECHO_SECONDS, len(peers) / limits.ECHOES_PER_SECOND))


def _open() -> socket.socket:
    try:
        echo = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        echo.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
        echo.setblocking(False)
    except OSError as error:
        raise NetworkFailed(f"cannot open a socket for echoes: {error}", hint="the agent needs CAP_NET_RAW") from error
    return echo


def _ask(echo: socket.socket, address: str) -> None:
    """What cannot be sent is not answered either."""
    try:
        echo.sendto(request(), (address, 0))
    except OSError as error:
        log.debug("no echo sent", address=address, error=str(error))


def _answers(echo: socket.socket) -> list[str]:
    """Addresses whose answers to us have arrived."""
    found: list[str] = []
    while True:
        try:
            data, (address, _) = echo.recvfrom(256)
        except BlockingIOError:
            return found
        except OSError as error:
            log.debug("no echo heard", error=str(error))
            return found
        if data.endswith(_MARK):
            found.append(address)


def request() -> bytes:
    """An ICMP echo request with our mark (RFC 792)."""
    blank = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, 1, 1) + _MARK
    total = sum(struct.unpack(f"!{len(blank) // 2}H", blank))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return blank[:2] + struct.pack("!H", ~total & 0xFFFF) + blank[4:]
