"""Answers that do not end by themselves: watches and logs.

In: a request that `resources` has taken apart. Out: a streamed response. A watch ends at its timeout, when the client
goes away, when it is too slow, or when the server stops; each identity may have so many at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import orjson
import structlog
from aiohttp import web

from iacorch.client.contract import WatchType
from iacorch.errors import ApiError, BadRequest, TooManyRequests
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.server.http import negotiation, query, shapes
from iacorch.server.http.connections import Bounds
from iacorch.server.http.negotiation import Answer
from iacorch.server.http.shapes import View
from iacorch.server.objects.watching import Event, EventBatches
from iacorch.server.registry import Registry
from iacorch.server.request import Target, User
from iacorch.server.tunnel import LogOptions, Tunnels

log = structlog.get_logger(__name__)


class Watches:
    """Counts the open watches of each identity, and ends them all when the server stops."""

    def __init__(self, registry: Registry, clock: Clock, ids: Ids, bounds: Bounds) -> None:
        self._registry, self._clock, self._ids, self._bounds = registry, clock, ids, bounds
        self._open: Counter[str] = Counter()
        self._ends: set[asyncio.Timeout] = set()

    @property
    def count(self) -> int:
        return self._open.total()

    def end_all(self) -> None:
        """As if each had come to its own time-out."""
        now = asyncio.get_running_loop().time()
        for end in self._ends:
            end.reschedule(now)

    async def serve(self, request: web.BaseRequest, user: User, target: Target, answer: Answer) -> web.StreamResponse:
        if answer.encoding != "json":
            raise BadRequest("watches are answered in JSON only")
        options = query.read_options(request.query)
        if self._open[user.name] >= limits.WATCHES_PER_IDENTITY:
            raise TooManyRequests("too many watches are open for this identity", retry_after_seconds=5)
        self._open[user.name] += 1
        try:
            async with self._registry.watch(user, target, options) as events:
                response = web.StreamResponse(headers={"Content-Type": negotiation.JSON, "Cache-Control": "no-cache"})
                await response.prepare(request)
                with suppress(ConnectionError):
                    await self._stream(request, response, self._frames(events, answer, request.query, target))
                    await write(request, response, None, seconds=self._bounds.write_seconds)
                return response
        finally:
            self._open[user.name] -= 1

    async def _stream(
        self, request: web.BaseRequest, response: web.StreamResponse, frames: AsyncIterator[bytes]
    ) -> None:
        """Until the time that the client set, or an error, which the client is told."""
        end = asyncio.timeout(self._seconds(request.query))
        self._ends.add(end)
        try:
            async with end:
                async for frame in frames:
                    await self._write(request, response, frame)
        except TimeoutError:
            return
        except ApiError as error:
            last = orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"
            await self._write(request, response, last)
        finally:
            self._ends.discard(end)

    async def _frames(
        self, events: EventBatches, answer: Answer, asked: Mapping[str, str], target: Target
    ) -> AsyncIterator[bytes]:
        """The lines of a watch, those of one batch at a time. Only the first row of a Table brings its columns."""
        columns_too = True
        async for batch in events:
            if not answer.shape:
                yield b"".join(event.frame() for event in batch)
                continue
            view = shapes.view(answer, asked, self._clock.now())
            lines = []
            for event in batch:
                lines.append(_shaped_frame(event, view, target, columns_too=columns_too))
                columns_too = False
            yield b"".join(lines)

    def _seconds(self, asked: Mapping[str, str]) -> float:
        seconds = query.timeout_seconds(asked)
        wanted = float(seconds) if seconds else limits.WATCH_TIMEOUT_MIN_SECONDS * (1.0 + self._ids.fraction())
        return min(wanted, self._bounds.watch_seconds)

    async def _write(self, request: web.BaseRequest, response: web.StreamResponse, frames: bytes) -> None:
        await write(request, response, frames, seconds=self._bounds.write_seconds)


async def write(request: web.BaseRequest, response: web.StreamResponse, data: bytes | None, *, seconds: float) -> None:
    """Write `data`, or the end of the answer. Raises ConnectionError for a client that does not read.

    There is no use in telling such a client: its connection is cut off.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await (response.write_eof() if data is None else response.write(data))
    except TimeoutError as error:
        if not limit.expired():
            raise
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionError("the answer was ended because its client does not read") from error


def _shaped_frame(event: Event, view: View, target: Target, *, columns_too: bool) -> bytes:
    obj = event.object()
    if event.type is not WatchType.BOOKMARK:
        obj = shapes.shaped(target.kind, obj, view, columns_too=columns_too)
    elif view.answer.shape == negotiation.PARTIAL:
        obj = shapes.partial(obj)
    return orjson.dumps({"type": event.type, "object": obj}) + b"\n"


async def logs(
    request: web.BaseRequest, registry: Registry, tunnels: Tunnels, user: User, target: Target
) -> web.StreamResponse:
    """`pods/NAME/log`, through the tunnel of the pod's node."""
    pod = (await registry.get(user, target)).decode()
    async with tunnels.logs(pod, LogOptions.from_query(request.query)) as chunks:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        first = await anext(chunks, None)  # an error comes before the headers have gone
        with suppress(ConnectionError):
            await response.prepare(request)
            try:
                while first is not None:
                    await write(request, response, first, seconds=limits.WATCH_WRITE_SECONDS)
                    first = await anext(chunks, None)
            except ApiError as error:
                # The answer has begun: the client can only be told by an end that is none.
                log.info("a log broke off", namespace=target.namespace, pod=target.name, error=error.message)
                if request.transport is not None:
                    request.transport.abort()
                return response
            await write(request, response, None, seconds=limits.WATCH_WRITE_SECONDS)
        return response
