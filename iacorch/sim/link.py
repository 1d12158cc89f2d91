"""The line between one process and the server, and what can happen on it.

In: the real in-process client. Out: the same contract, on which requests get lost before they arrive, answers get lost
after the server has acted, requests arrive twice, watches are cut, the line goes dead, and the process behind it is
stopped in its tracks. What the server acknowledged is told to the checkers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client, ObjectList, PatchType, Propagation, WatchEvent
from iacorch.errors import ApiError, StoreError, Unavailable
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

T = TypeVar("T")
WRITER: ContextVar[str] = ContextVar("WRITER", default="server")
"""Which process the write that the store sees right now comes from."""
LATENCY_SECONDS: Final = 0.002


@dataclass(slots=True)
class Weather:
    """Chances, each in [0, 1], for every request. Calm is all zero."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    double: float = 0.0
    cut_watch: float = 0.0

    def become(self, other: Weather) -> None:
        self.lose_request, self.lose_answer = other.lose_request, other.lose_answer
        self.double, self.cut_watch = other.double, other.cut_watch

    def calm(self) -> None:
        self.lose_request = self.lose_answer = self.double = self.cut_watch = 0.0


class Gate:
    """Open while the process runs; closed, whoever passes waits: a process that got SIGSTOP."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def passed(self) -> None:
        await self._open.wait()


class GatedClock:
    """A process's clock: time goes on while it is stopped, but it wakes up only afterwards."""

    def __init__(self, clock: Clock, gate: Gate) -> None:
        self._clock, self._gate = clock, gate

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._gate.passed()


class Link:
    """Implements `client.contract.Client` for one process, called `writer`.

    `reach` gives the server's client of this moment, or raises Unavailable while there is no server.
    """

    def __init__(
        self,
        reach: Callable[[], Client],
        *,
        writer: str,
        gate: Gate,
        weather: Weather,
        clock: Clock,
        ids: Ids,
        acknowledged: Callable[[Kind, Object], None],
    ) -> None:
        self.writer = writer
        self.alive = True
        self.gate = gate
        self._reach, self._weather = reach, weather
        self._clock, self._ids, self._acknowledged = clock, ids, acknowledged
        self._watches: dict[asyncio.Timeout, None] = {}  # in order: runs must not depend on addresses in memory

    def cut(self) -> None:
        """The line goes dead: requests fail, watches end."""
        self.alive = False
        self.cut_watches()

    def mend(self) -> None:
        self.alive = True

    def cut_watches(self) -> None:
        for scope in list(self._watches):
            scope.reschedule(asyncio.get_running_loop().time())
        self._watches.clear()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._send(lambda: self._reach().get(kind, namespace, name))

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        return await self._send(
            lambda: self._reach().list(kind, namespace, label_selector=label_selector, field_selector=field_selector)
        )

    @asynccontextmanager
    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        revision: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        await self._arrive()
        watch = self._reach().watch(
            kind, namespace, revision=revision, label_selector=label_selector, field_selector=field_selector
        )
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(None) as scope, watch as events:
                self._watches[scope] = None
                try:
                    yield self._through(events)
                finally:
                    self._watches.pop(scope, None)

    async def _through(self, events: AsyncIterator[WatchEvent]) -> AsyncIterator[WatchEvent]:
        async for event in events:
            if not self.gate.is_open:
                await self.gate.passed()
            if self._happens(self._weather.cut_watch):
                return
            yield event

    async def create(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        return await self._write(
            lambda: self._reach().create(kind, obj, subresource=subresource, dry_run=dry_run), kind
        )

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        return await self._write(
            lambda: self._reach().update(kind, obj, subresource=subresource, dry_run=dry_run), kind
        )

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        return await self._write(
            lambda: self._reach().patch(
                kind, namespace, name, patch, patch_type=patch_type, subresource=subresource, dry_run=dry_run
            ),
            kind,
        )

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> Object | None:
        return await self._send(
            lambda: self._reach().delete(
                kind,
                namespace,
                name,
                uid=uid,
                resource_version=resource_version,
                grace_seconds=grace_seconds,
                propagation=propagation,
            ),
            writes=True,
        )

    async def _write(self, call: Callable[[], Awaitable[Object]], kind: Kind) -> Object:
        answer = await self._send(call, writes=True)
        self._acknowledged(kind, answer)
        return answer

    async def _send(self, call: Callable[[], Awaitable[T]], *, writes: bool = False) -> T:
        await self._arrive()
        token = WRITER.set(self.writer)
        try:
            if writes and self._happens(self._weather.double):
                with suppress(ApiError, StoreError):
                    await call()
            answer = await call()
        except StoreError as error:
            raise Unavailable("the server ended") from error
        finally:
            WRITER.reset(token)
        await self._clock.sleep(LATENCY_SECONDS * self._ids.fraction())
        await self.gate.passed()
        if not self.alive or self._happens(self._weather.lose_answer):
            raise Unavailable("the answer was lost")
        return answer

    async def _arrive(self) -> None:
        await self.gate.passed()
        await self._clock.sleep(LATENCY_SECONDS * self._ids.fraction())
        await self.gate.passed()
        if not self.alive or self._happens(self._weather.lose_request):
            raise Unavailable("the request was lost")

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self._ids.fraction() < chance
