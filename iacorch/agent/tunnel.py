"""The agent's end of the tunnel: one WebSocket that it opens, over which the server asks for logs.

In: frames of `iacorch.client.tunnel`. Out: the streams that were asked for, never faster than the server gives credit.
The composition root runs `Tunnel.run`, which connects again for ever. A stream that fails ends with its error and takes
nothing else down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import aiohttp
import orjson
import structlog

from iacorch.client.http import HttpClient
from iacorch.client.tunnel import CREDIT_BYTES, FRAME_BYTES, TUNNEL_PATH, Frame, FrameType, decode
from iacorch.errors import ApiError, BadRequest, IacorchError, InternalError
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks, failure_of

Open: TypeAlias = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[AsyncIterator[bytes]]]
log = structlog.get_logger(__name__)


class Socket(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class _Credit:
    """How much may be sent; `take` waits until something may."""

    def __init__(self) -> None:
        self._left = CREDIT_BYTES
        self._more = asyncio.Event()

    def give(self, amount: int) -> None:
        self._left += amount
        self._more.set()

    async def take(self, wanted: int) -> int:
        while self._left <= 0:
            self._more.clear()
            await self._more.wait()
        taken = min(wanted, self._left, FRAME_BYTES)
        self._left -= taken
        return taken


class Streams:
    """The open streams of one connection. Does no I/O but `send`."""

    def __init__(self, tasks: Tasks, socket: Socket, verbs: Mapping[str, Open]) -> None:
        self._tasks, self._socket, self._verbs = tasks, socket, verbs
        self._open: dict[int, tuple[asyncio.Task[None], _Credit]] = {}

    def take(self, frame: Frame) -> None:
        """Act on one frame of the server."""
        match frame.type:
            case FrameType.OPEN if frame.stream not in self._open:
                credit = _Credit()
                work = self._serve(frame.stream, frame.payload, credit)
                self._open[frame.stream] = (self._tasks.spawn(work, name=f"stream {frame.stream}"), credit)
            case FrameType.CREDIT if (entry := self._open.get(frame.stream)) is not None:
                entry[1].give(int.from_bytes(frame.payload[:4], "big"))
            case FrameType.END if (entry := self._open.pop(frame.stream, None)) is not None:
                entry[0].cancel()
            case _:
                pass  # of a stream that ended here, and the server has not heard yet

    async def _serve(self, number: int, payload: bytes, credit: _Credit) -> None:
        if error := await failure_of(self._stream(number, payload, credit), name="stream"):
            await self._end(number, {"error": InternalError(f"the agent failed: {error!r}").status()})

    async def _stream(self, number: int, payload: bytes, credit: _Credit) -> None:
        end: dict[str, Any] = {}
        try:
            async with self._opened(payload) as chunks:
                async for chunk in chunks:
                    await self._send(number, chunk, credit)
        except ApiError as error:
            end = {"error": error.status()}
        except IacorchError as error:
            end = {"error": InternalError(error.message).status()}
        except (aiohttp.ClientError, ConnectionError) as error:
            log.info("a stream was cut", stream=number, error=str(error))
            end = {"error": InternalError(f"the stream was cut: {error}").status()}
        await self._end(number, end)

    async def _end(self, number: int, end: Mapping[str, Any]) -> None:
        self._open.pop(number, None)
        await self._try_send(Frame(FrameType.END, number, orjson.dumps(end)))

    def _opened(self, payload: bytes) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        try:
            asked = orjson.loads(payload)
            verb, params = asked["verb"], asked["params"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BadRequest(f"not a request: {error}") from error
        if (opened := self._verbs.get(verb)) is None:
            raise BadRequest(f"this agent does not know how to {verb!r}")
        return opened(params)

    async def _send(self, number: int, chunk: bytes, credit: _Credit) -> None:
        view = memoryview(chunk)
        while view:
            taken = await credit.take(len(view))
            await self._socket.send_bytes(Frame(FrameType.DATA, number, bytes(view[:taken])).encode())
            view = view[taken:]

    async def _try_send(self, frame: Frame) -> None:
        try:
            await self._socket.send_bytes(frame.encode())
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            log.info("the tunnel is gone", error=str(error))


class Tunnel:
    def __init__(self, client: HttpClient, clock: Clock, verbs: Mapping[str, Open]) -> None:
        self._client, self._clock, self._verbs = client, clock, verbs

    async def run(self) -> None:
        """Connect, serve until the connection ends, again."""
        pause = limits.INFORMER_BACKOFF_START_SECONDS
        while True:
            began = self._clock.monotonic()
            try:
                await self._serve_once()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                log.info("the tunnel is not open", error=str(error) or type(error).__name__, again_in_seconds=pause)
            if self._clock.monotonic() - began > limits.INFORMER_BACKOFF_MAX_SECONDS:
                pause = limits.INFORMER_BACKOFF_START_SECONDS
            await self._clock.sleep(pause)
            pause = min(pause * 2, limits.INFORMER_BACKOFF_MAX_SECONDS)

    async def _serve_once(self) -> None:
        connecting = self._client.session.ws_connect(
            TUNNEL_PATH,
            heartbeat=limits.TUNNEL_HEARTBEAT_SECONDS,
            max_msg_size=FRAME_BYTES + 1024,
            timeout=aiohttp.ClientWSTimeout(ws_close=limits.CLIENT_CONNECT_SECONDS),
        )
        async with connecting as socket, Tasks("tunnel") as tasks:
            log.info("the tunnel is open")
            streams = Streams(tasks, socket, self._verbs)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    continue
                try:
                    streams.take(decode(message.data))
                except BadRequest as error:
                    log.warning("the server sent what is not a frame", error=error.message)
                    return
