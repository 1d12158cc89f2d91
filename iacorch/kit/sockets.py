"""The sockets of one session, so that leaving it leaves nothing open.

A TLS connection that was given up in the middle of an answer (a watch that ended, a request that was cancelled) says
goodbye and waits for the peer's; the session no longer knows of it by then. Behind a peer that is slow to answer it
would outlive the session, and the event loop with it. `hang_up` ends those that are left, without waiting for anybody.
Made and left by whoever holds a session of aiohttp: `client.http`, `agent.pods.prober`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final
from weakref import WeakSet

from aiohttp import AddrInfoType

_TURNS: Final = 20
"""Turns of the loop within which a transport has seen the end of its socket and closed it; four are needed."""


class Sockets:
    """Makes the sockets of a connector (its `socket_factory`) and remembers those that are still in use."""

    def __init__(self) -> None:
        self._made: WeakSet[socket.socket] = WeakSet()

    def make(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._made.add(made)
        return made

    async def hang_up(self) -> None:
        """Shut down what is still open, and give its transports the turns in which they see that and close."""
        for left in self._left():
            with contextlib.suppress(OSError):  # never connected, or gone by itself in the meantime
                left.shutdown(socket.SHUT_RDWR)
        for _ in range(_TURNS):
            if not self._left():
                return
            await asyncio.sleep(0)

    def _left(self) -> list[socket.socket]:
        return [each for each in self._made if each.fileno() >= 0]
