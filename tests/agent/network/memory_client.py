"""A `Client` over a dict, for tests of the network: lists and watches, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client, ObjectList, WatchEvent, WatchType
from iacorch.errors import Unavailable


class MemoryClient:
    """Objects by (kind, namespace, name). `away` makes every call fail, as a control plane that is down does."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.away = False
        self._revision = 0
        self._events: list[tuple[int, str, WatchEvent]] = []
        self._changed = asyncio.Event()

    def put(self, obj: Object) -> None:
        self._revision += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self._revision)}
        obj = {**obj, "metadata": metadata}
        key = (obj["kind"], metadata.get("namespace", ""), metadata["name"])
        event = WatchType.MODIFIED if key in self.objects else WatchType.ADDED
        self.objects[key] = obj
        self._tell(obj["kind"], WatchEvent(event, obj))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        self._revision += 1
        obj = self.objects.pop((kind, namespace, name))
        metadata = {**obj["metadata"], "resourceVersion": str(self._revision)}
        self._tell(kind, WatchEvent(WatchType.DELETED, {**obj, "metadata": metadata}))

    def as_client(self) -> Client:
        return cast(Client, self)

    async def list(self, kind: Kind, namespace: str = "", **_: Any) -> ObjectList:
        if self.away:
            raise Unavailable("away")
        return ObjectList([o for (k, _, _), o in self.objects.items() if k == kind.kind], str(self._revision))

    @asynccontextmanager
    async def watch(self, kind: Kind, namespace: str = "", *, revision: str, **_: Any) -> AsyncIterator[Any]:
        if self.away:
            raise Unavailable("away")
        yield self._follow(kind.kind, int(revision))

    async def _follow(self, kind: str, seen: int) -> AsyncIterator[WatchEvent]:
        while True:
            changed = self._changed
            for revision, of, event in [e for e in self._events if e[0] > seen]:
                seen = revision
                if of == kind:
                    yield event
            await changed.wait()

    def _tell(self, kind: str, event: WatchEvent) -> None:
        self._events.append((self._revision, kind, event))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
