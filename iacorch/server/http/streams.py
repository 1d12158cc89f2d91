"""Answers that do not end by themselves: watches and logs.

In: a request that `resources` has taken apart. Out: a streamed response. A watch ends at its timeout, when the client
goes away, when it is too slow, or when the server stops; each identity may have so many at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import orjson
from aiohttp import web

from iacorch.client.contract import WatchType
from iacorch.errors import ApiError, BadRequest, Gone, TooManyRequests
from iacorch.kit import limits
from iacorch.kit.ids import Ids
from iacorch.server.http import negotiation, query, shapes
from iacorch.server.http.negotiation import Answer
from iacorch.server.registry import Registry
from iacorch.server.request import Target, User
from iacorch.server.tunnel import LogOptions, Tunnels
from iacorch.server.watching import Event


class Watches:
    """Counts the open watches of each identity, and ends them all when the server stops."""

    def __init__(self, registry: Registry, ids: Ids) -> None:
        self._registry, self._ids = registry, ids
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        return self._open.total()

    def end_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def serve(self, request: web.BaseRequest, user: User, target: Target, answer: Answer) -> web.StreamResponse:
        if answer.encoding != "json":
            raise BadRequest("watches are answered in JSON only")
        options = query.read_options(request.query)
        if self._open[user.name] >= limits.WATCHES_PER_IDENTITY:
            raise TooManyRequests("too many watches are open for this identity", retry_after_seconds=5)
        self._open[user.name] += 1
        try:
            async with self._registry.watch(user, target, options) as events:
                response = web.StreamResponse(
                    headers={"Content-Type": negotiation.JSON, "Cache-Control": "no-cache, private"}
                )
                await response.prepare(request)
                try:
                    async with asyncio.timeout(self._seconds(request.query)):
                        await _write_events(response, events, answer, request.query, target)
                except TimeoutError:
                    pass  # the end that the client asked for
                except ApiError as error:
                    await response.write(orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n")
                except ConnectionError:
                    return response
                await response.write_eof()
                return response
        finally:
            self._open[user.name] -= 1

    def _seconds(self, asked: Mapping[str, str]) -> float:
        seconds = query.timeout_seconds(asked)
        return float(seconds) if seconds else limits.WATCH_TIMEOUT_MIN_SECONDS * (1.0 + self._ids.fraction())


async def _write_events(
    response: web.StreamResponse,
    events: AsyncIterator[list[Event]],
    answer: Answer,
    asked: Mapping[str, str],
    target: Target,
) -> None:
    async for batch in events:
        if not answer.shape:
            frames = b"".join(event.frame() for event in batch)
        else:
            frames = b"".join(_shaped_frame(event, answer, asked, target) for event in batch)
        try:
            async with asyncio.timeout(limits.WATCH_WRITE_SECONDS):
                await response.write(frames)
        except TimeoutError as error:
            raise Gone("the watch was ended because its client does not read") from error


def _shaped_frame(event: Event, answer: Answer, asked: Mapping[str, str], target: Target) -> bytes:
    obj = event.object()
    if event.type is not WatchType.BOOKMARK:
        obj = shapes.shaped(target.kind, obj, answer, asked)
    elif answer.shape == negotiation.PARTIAL:
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
        await response.prepare(request)
        if first is not None:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
        return response
