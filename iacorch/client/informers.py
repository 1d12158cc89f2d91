"""One set of informers for everyone in a process: one watch and one copy for each kind.

In: a client and a clock. Out: `Informers.of(kind)`, the shared `Informer` of all namespaces. Made by composition roots
(or by `controllers.run`), shared by controllers and scheduler. Kinds may be asked for before or after `run` starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from iacorch.api.catalogue import GroupVersionResource, Kind
from iacorch.client.contract import Client
from iacorch.client.informer import Informer
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks


class Informers:
    """Use from one event loop."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._informers: dict[GroupVersionResource, Informer] = {}
        self._new = asyncio.Event()

    def of(self, kind: Kind) -> Informer:
        """The shared informer of `kind`, made at the first call."""
        if (informer := self._informers.get(kind.gvr)) is None:
            informer = self._informers[kind.gvr] = Informer(self._client, kind, clock=self._clock)
            self._new.set()
        return informer

    def __iter__(self) -> Iterator[Informer]:
        return iter(list(self._informers.values()))

    async def synced(self) -> None:
        """Wait until every informer asked for so far has its first list."""
        for informer in self:
            await informer.synced.wait()

    async def run(self) -> None:
        """Run every informer, also those asked for later, for ever."""
        started: set[GroupVersionResource] = set()
        async with Tasks("informers") as tasks:
            while True:
                self._new.clear()
                for gvr, informer in list(self._informers.items()):
                    if gvr not in started:
                        started.add(gvr)
                        tasks.spawn(informer.run(), name=informer.kind.plural)
                await self._new.wait()
