"""What one connection may take: its time for a request's head, its place among others, the form of its errors.

In: accepted connections, as aiohttp hands them over once TLS is up. Out: requests, each with the user that the
connection's certificate names. `app` makes one `Connections` and listens with it. A peer that does not read what it is
sent, or is gone without a word, is the kernel's to notice (TCP_USER_TIMEOUT): no buffer waits for it for ever.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from iacorch.errors import ApiError, BadRequest, InternalError, NotFound, Timeout, TooLarge
from iacorch.kit import limits
from iacorch.server.identity.authn import Certified, certified
from iacorch.server.request import node_user

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take. Tests take less."""

    handshake_seconds: float = limits.HANDSHAKE_SECONDS
    head_seconds: float = limits.REQUEST_HEAD_SECONDS
    body_seconds: float = limits.REQUEST_BODY_SECONDS
    body_bytes: int = limits.BODY_BYTES
    write_seconds: float = limits.WATCH_WRITE_SECONDS
    unread_seconds: float = limits.UNREAD_SECONDS
    keepalive_seconds: float = limits.KEEPALIVE_SECONDS
    watch_seconds: float = limits.WATCH_TIMEOUT_MAX_SECONDS
    connections: int = limits.CONNECTIONS
    connections_per_client: int = limits.CONNECTIONS_PER_CLIENT


@dataclass(slots=True)
class _Peer:
    """One open connection. A client is who its certificate names, or else its address."""

    client: str
    certified: Certified | None
    head: asyncio.TimerHandle | None
    transport: asyncio.Transport


class Connections(web.Server):
    """The factory of protocols that a listener calls, and everything known of those that are open."""

    def __init__(self, handler: Any, bounds: Bounds) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=bounds.keepalive_seconds,
            lingering_time=1.0,
        )
        self._bounds = bounds
        self._peers: dict[object, _Peer] = {}
        self._of_client: Counter[str] = Counter()

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def certified(self, request: web.BaseRequest) -> Certified | None:
        """Whom the certificate of the request's connection names."""
        peer = self._peers.get(request.protocol)
        return peer.certified if peer is not None else None

    def cut_node(self, name: str) -> None:
        """End what a node has open: its certificate is good no more."""
        client = node_user(name).name
        for peer in list(self._peers.values()):
            if peer.client == client:
                peer.transport.abort()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        certificate = transport.get_extra_info("peercert")
        named = certified(certificate) if certificate else None
        client = named.user.name if named is not None else _address(transport)
        head = asyncio.get_running_loop().call_later(self._bounds.head_seconds, _too_slow, transport, client)
        self._peers[handler] = _Peer(client, named, head, transport)
        self._of_client[client] += 1
        _give_up_after(transport, self._bounds.unread_seconds)
        if len(self._peers) > self._bounds.connections:
            log.warning("too many connections: one was closed", limit=self._bounds.connections, client=client)
            transport.abort()
        elif self._of_client[client] > self._bounds.connections_per_client:
            limit = self._bounds.connections_per_client
            log.warning("too many connections of one client: one was closed", limit=limit, client=client)
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        if (peer := self._peers.pop(handler, None)) is not None:
            if peer.head is not None:
                peer.head.cancel()
            self._of_client[peer.client] -= 1
            if not self._of_client[peer.client]:
                del self._of_client[peer.client]
        super().connection_lost(handler, exc)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        """A head has come whole. Later heads of the connection are bounded by its keep-alive time."""
        peer = self._peers.get(protocol)
        if peer is not None and peer.head is not None:
            peer.head.cancel()
            peer.head = None
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._bounds.body_bytes)


class _Protocol(RequestHandler):
    """aiohttp's, but what it has to complain of is said as a Status, too."""

    _held = False

    def pause_reading(self) -> None:
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Asked for after every body; where nothing was paused, aiohttp would wake parser and transport for nothing."""
        if self._held:
            self._held = False
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        error: ApiError
        match status:
            case 400:
                error = BadRequest(f"the request is not HTTP: {(message or '').strip().splitlines()[:1]}")
            case 500:
                log.error("a connection failed", exc_info=exc)
                error = InternalError("Internal error occurred: the server's log says more")
            case _:
                error = _WORDS.get(status, InternalError)(message or str(exc))
        response = error_response(error)
        response.force_close()
        return response


_WORDS: Final[dict[int, type[ApiError]]] = {404: NotFound, 413: TooLarge, 504: Timeout}


def error_response(error: ApiError) -> web.Response:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return web.Response(
        body=orjson.dumps(error.status(), option=orjson.OPT_APPEND_NEWLINE),
        status=error.code,
        content_type="application/json",
        headers=headers,
    )


def _too_slow(transport: asyncio.Transport, client: str) -> None:
    log.info("a connection without a request was closed", client=client)
    transport.abort()


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else "unknown"


def _give_up_after(transport: asyncio.Transport, seconds: float) -> None:
    """The kernel ends a connection whose peer acknowledges nothing, or keeps its window shut, for so long."""
    if (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
