"""The server's end of the streams that agents open: asks the pod's node for its logs.

In: an agent's WebSocket, which `http.app` hands over after authentication; later, requests for logs. Out: bytes as they
come. The framing is `iacorch.client.tunnel`. One connection a node: a newer one takes the place of an older.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiohttp import WSMsgType, web

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.client.tunnel import CREDIT_BYTES, FRAME_BYTES, Frame, FrameType, decode
from iacorch.errors import ApiError, BadRequest, InternalError, NotFound, Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of `pods/NAME/log`."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str = ""
    limit_bytes: int | None = None

    @staticmethod
    def from_query(query: Mapping[str, str]) -> LogOptions:
        def flag(name: str) -> bool:
            return query.get(name, "").lower() in ("true", "1")

        def number(name: str, least: int) -> int | None:
            text = query.get(name, "")
            if not text:
                return None
            if not text.lstrip("-").isdigit() or int(text) < least:
                raise BadRequest(f"{name}: Invalid value: {text}: must be greater than or equal to {least}")
            return int(text)

        return LogOptions(
            query.get("container", ""),
            flag("follow"),
            flag("previous"),
            flag("timestamps"),
            number("tailLines", 0),
            number("sinceSeconds", 1),
            query.get("sinceTime", ""),
            number("limitBytes", 1),
        )

    def params(self, pod: Object, container: str) -> dict[str, Any]:
        """What the agent is asked."""
        return {
            "namespace": objects.namespace(pod),
            "pod": objects.name(pod),
            "uid": objects.uid(pod),
            "container": container,
            "follow": self.follow,
            "previous": self.previous,
            "timestamps": self.timestamps,
            "tailLines": self.tail_lines,
            "sinceSeconds": self.since_seconds,
            "sinceTime": self.since_time,
            "limitBytes": self.limit_bytes,
        }


def choose_container(pod: Object, asked: str) -> str:
    """The container whose logs are meant. Raises BadRequest in Kubernetes' words."""
    names = [container["name"] for _, _, container in objects.containers(objects.spec(pod))]
    if asked:
        if asked not in names:
            raise BadRequest(f"container {asked} is not valid for pod {objects.name(pod)}")
        return asked
    main = [container["name"] for container in objects.spec(pod).get("containers") or []]
    if len(main) == 1:
        return str(main[0])
    default = objects.annotations(pod).get("kubectl.kubernetes.io/default-container", "")
    if default in main:
        return default
    raise BadRequest(
        f"a container name must be specified for pod {objects.name(pod)}, choose one of: [{' '.join(main)}]"
    )


class _Stream:
    """One open stream: what came and was not taken yet, bounded by the credit that was given."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.error: ApiError | None = None
        self.ended = False
        self.news = asyncio.Event()

    def end(self, error: ApiError | None = None) -> None:
        self.error, self.ended = error, True
        self.news.set()


class Tunnel:
    """One agent's connection."""

    def __init__(self, node: str, socket: web.WebSocketResponse) -> None:
        self.node, self.socket = node, socket
        self._streams: dict[int, _Stream] = {}
        self._next = 2

    async def run(self) -> None:
        """Take frames until the connection ends; then end what is open."""
        try:
            async for message in self.socket:
                if message.type is WSMsgType.BINARY:
                    self._take(decode(message.data))
        finally:
            for stream in self._streams.values():
                stream.end(Unavailable(f"the agent of node {self.node} went away"))

    @asynccontextmanager
    async def open(self, verb: str, params: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        number, stream = self._next, _Stream()
        self._next += 2
        self._streams[number] = stream
        try:
            await self._send(Frame(FrameType.OPEN, number, orjson.dumps({"verb": verb, "params": params})))
            yield self._chunks(number, stream)
        finally:
            del self._streams[number]
            if not stream.ended:
                with suppress(ApiError):
                    await self._send(Frame(FrameType.END, number, b"{}"))

    async def _chunks(self, number: int, stream: _Stream) -> AsyncIterator[bytes]:
        while True:
            while stream.chunks:
                chunk = stream.chunks.popleft()
                yield chunk
                if not stream.ended:
                    await self._send(Frame(FrameType.CREDIT, number, len(chunk).to_bytes(4, "big")))
            if stream.ended:
                if stream.error is not None:
                    raise stream.error
                return
            stream.news.clear()
            await stream.news.wait()

    async def _send(self, frame: Frame) -> None:
        try:
            await self.socket.send_bytes(frame.encode())
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable(f"the agent of node {self.node} went away") from error

    def _take(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            return  # it was closed from here, and the agent has not heard yet
        match frame.type:
            case FrameType.DATA:
                if sum(map(len, stream.chunks)) + len(frame.payload) > CREDIT_BYTES:
                    stream.end(InternalError(f"the agent of node {self.node} sent more than it may"))
                    return
                stream.chunks.append(frame.payload)
                stream.news.set()
            case FrameType.END:
                stream.end(_error_in(frame.payload))
            case _:
                pass


def _error_in(payload: bytes) -> ApiError | None:
    try:
        status = orjson.loads(payload or b"{}").get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return InternalError("the agent ended the stream in an unknown way")
    if not status:
        return None
    message = str(status.get("message", "unknown error"))
    match status.get("code"):
        case 400:
            return BadRequest(message)
        case 404:
            return NotFound(message)
        case _:
            return InternalError(message)


class Tunnels:
    """The connections of all nodes."""

    def __init__(self) -> None:
        self._by_node: dict[str, Tunnel] = {}

    async def serve(self, node: str, request: web.BaseRequest) -> web.WebSocketResponse:
        """Run an agent's connection until it ends."""
        socket = web.WebSocketResponse(heartbeat=15.0, max_msg_size=FRAME_BYTES + 1024)
        await socket.prepare(request)
        tunnel = Tunnel(node, socket)
        older = self._by_node.get(node)
        self._by_node[node] = tunnel
        if older is not None:
            await older.socket.close()
        log.info("agent connected", node=node)
        try:
            await tunnel.run()
        finally:
            if self._by_node.get(node) is tunnel:
                del self._by_node[node]
            log.info("agent disconnected", node=node)
        return socket

    async def close(self) -> None:
        for tunnel in list(self._by_node.values()):
            await tunnel.socket.close()

    @asynccontextmanager
    async def logs(self, pod: Object, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        """The log of one container. Raises BadRequest, Unavailable before anything is yielded."""
        container = choose_container(pod, options.container)
        node = objects.spec(pod).get("nodeName", "")
        if not node:
            raise BadRequest(f"pod {objects.name(pod)} does not have a host assigned")
        tunnel = self._by_node.get(node)
        if tunnel is None:
            raise Unavailable(f'the agent of node "{node}" is not connected: logs of its pods cannot be read now')
        async with tunnel.open("logs", options.params(pod, container)) as chunks:
            yield chunks
