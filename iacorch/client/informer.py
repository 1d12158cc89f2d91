"""A local copy of one kind, kept by a list and a watch.

In: a client and a kind, optionally narrowed. Out: synchronous reads (`get`, `items`, `by_index`) and callbacks. Who
uses it: controllers, scheduler, agent. The objects are shared between all readers: never change one, copy it first.

A watch that ends is resumed from the last revision seen; one that is too old is replaced by a new list, and what
disappeared in between is reported as deleted. Callbacks are synchronous and only enqueue keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import structlog

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client, WatchEvent, WatchType
from iacorch.errors import ApiError, Gone
from iacorch.kit import limits
from iacorch.kit.clock import Clock

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-wide object is ""."""
OnChange = Callable[[Object | None, Object | None], None]
"""Called with (old, new): (None, new) for added, (old, None) for deleted."""
IndexBy = Callable[[Object], Iterable[str]]

log = structlog.get_logger(__name__)


def key_of(obj: Object) -> Key:
    """(namespace, name) of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Informer:
    """See the module docstring. Use from one event loop; `run` is the only coroutine that writes the copy."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        clock: Clock,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self.revision = 0
        self._client, self._namespace, self._clock = client, namespace, clock
        self._label_selector, self._field_selector = label_selector, field_selector
        self._objects: dict[Key, Object] = {}
        self._indexes: dict[str, tuple[IndexBy, dict[str, dict[Key, Object]]]] = {}
        self._callbacks: list[OnChange] = []
        self._waiters: dict[asyncio.Future[None], int] = {}

    # Reads

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def items(self) -> Iterator[Object]:
        """Every object, in no particular order. The copy must not change while iterating: do not await in between."""
        return iter(self._objects.values())

    def by_index(self, index: str, value: str) -> list[Object]:
        """The objects that `add_index`'s function filed under `value`."""
        return list(self._indexes[index][1].get(value, {}).values())

    def __len__(self) -> int:
        return len(self._objects)

    # Set-up, before or after `run` has started

    def add_index(self, name: str, index_by: IndexBy) -> None:
        """File every object under the strings that `index_by` returns for it."""
        self._indexes[name] = (index_by, {})
        for key, obj in self._objects.items():
            self._file(name, key, None, obj)

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` for every change, and now for everything already here."""
        self._callbacks.append(callback)
        for obj in list(self._objects.values()):
            callback(None, obj)

    async def reached(self, revision: int, *, timeout_seconds: float = limits.READ_YOUR_WRITES_SECONDS) -> bool:
        """Wait until the copy has seen `revision`; False when that takes too long."""
        if self.revision >= revision:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = revision
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.pop(waiter, None)
        return True

    # The loop

    async def run(self) -> None:
        """List, then watch, for ever; what got nowhere is tried again after a pause that doubles."""
        pause = limits.INFORMER_BACKOFF_START_SECONDS
        relist = True
        while True:
            listed, came_to = relist, self.revision
            try:
                if relist:
                    await self._list()
                    relist = False
                watched_from = self.revision
                await self._watch()
                stuck = self.revision == watched_from
            except Gone:
                relist, stuck = True, listed
            except ApiError as error:
                stuck = True
                log.info("watch interrupted", kind=self.kind.kind, error=error.message, pause_seconds=pause)
            if self.revision > came_to:
                pause = limits.INFORMER_BACKOFF_START_SECONDS
            if stuck:
                await self._clock.sleep(pause)
                pause = min(pause * 2, limits.INFORMER_BACKOFF_MAX_SECONDS)

    async def _list(self) -> None:
        page = await self._client.list(
            self.kind, self._namespace, label_selector=self._label_selector, field_selector=self._field_selector
        )
        fresh = {key_of(obj): obj for obj in page.items}
        for key in [key for key in self._objects if key not in fresh]:
            self._put(key, None)
        for key, obj in fresh.items():
            self._put(key, obj)
        self._advance(int(page.revision))
        self.synced.set()

    async def _watch(self) -> None:
        watch = self._client.watch(
            self.kind,
            self._namespace,
            revision=str(self.revision),
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        async with watch as events:
            async for event in events:
                self._take(event)

    def _take(self, event: WatchEvent) -> None:
        if event.type is not WatchType.BOOKMARK:
            self._put(key_of(event.object), None if event.type is WatchType.DELETED else event.object)
        self._advance(int(event.object["metadata"]["resourceVersion"]))

    def _put(self, key: Key, new: Object | None) -> None:
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None:
            before, after = old["metadata"], new["metadata"]
            if before.get("resourceVersion") == after.get("resourceVersion"):
                return
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for name in self._indexes:
            self._file(name, key, old, new)
        for callback in self._callbacks:
            callback(old, new)

    def _file(self, name: str, key: Key, old: Object | None, new: Object | None) -> None:
        index_by, filed = self._indexes[name]
        for value in index_by(old) if old is not None else ():
            with suppress(KeyError):
                del filed[value][key]
                if not filed[value]:
                    del filed[value]
        for value in index_by(new) if new is not None else ():
            filed.setdefault(value, {})[key] = new if new is not None else {}

    def _advance(self, revision: int) -> None:
        self.revision = revision
        for waiter, wanted in list(self._waiters.items()):
            if revision >= wanted and not waiter.done():
                waiter.set_result(None)
