"""Listening sockets that outlive the process: while an agent restarts, questions wait in them instead of being refused.

In: a name and how to make the socket. Out: the socket, made now or handed down by the process before this one. The DNS
server asks; the composition root brings a keeper that survives restarts (`daemons/process.py` keeps them with systemd),
tests and other users the one here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol


class Sockets(Protocol):
    """Keeps sockets by name. What it gives is the caller's to close: the kept one stays open."""

    def get(self, name: str, make: Callable[[], socket.socket]) -> socket.socket:
        """Raises what `make` raises."""
        ...


class NotKept:
    """Every socket is made anew, and ends with its user."""

    def get(self, name: str, make: Callable[[], socket.socket]) -> socket.socket:
        return make()


def datagram(address: str, port: int) -> socket.socket:
    """A bound UDP socket. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def stream(address: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError."""
    return socket.create_server((address, port), backlog=64)
