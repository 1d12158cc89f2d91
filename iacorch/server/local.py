"""The client contract in-process: for the control plane's own controllers, for tests, and for the simulation.

In: calls of `iacorch.client.contract.Client`, as one user. Out: what the registry answers. No bytes are moved and no
socket is opened; authorisation, validation and admission are the same as for anybody else. Objects of watch events are
shared with other watchers: do not write to them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import ObjectList, PatchType, Propagation, WatchEvent
from iacorch.server.objects.watching import Event
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, DeleteOptions, ReadOptions, Target, User, WriteOptions

MANAGER: Final = "iacorch"
"""Who owns the fields that controllers write."""


class LocalClient:
    """Implements `contract.Client`."""

    def __init__(self, registry: Registry, user: User = SYSTEM) -> None:
        self._registry, self._user = registry, user

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return (await self._registry.get(self._user, Target(kind, namespace, name))).decode()

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        options = ReadOptions(label_selector, field_selector)
        listing = await self._registry.list(self._user, Target(kind, namespace), options)
        return ObjectList([item.decode() for item in listing.items], str(listing.revision))

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
        options = ReadOptions(label_selector, field_selector, resource_version=revision, bookmarks=True)
        async with self._registry.watch(self._user, Target(kind, namespace), options) as events:
            yield _one_by_one(events)

    async def create(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        options = WriteOptions(dry_run, MANAGER, "Strict")
        namespace = objects.namespace(obj)
        match subresource:
            case "binding":
                target = Target(kind, namespace, objects.name(obj), subresource)
                written = await self._registry.bind(self._user, target, obj, options)
            case "eviction":
                target = Target(kind, namespace, objects.name(obj), subresource)
                written = await self._registry.evict(self._user, target, obj, options)
            case _:
                target = Target(kind, namespace, "", subresource)
                written = await self._registry.create(self._user, target, obj, options)
        return written.obj or {}

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        target = Target(kind, objects.namespace(obj), objects.name(obj), subresource)
        options = WriteOptions(dry_run, MANAGER, "Strict")
        return (await self._registry.update(self._user, target, obj, options)).obj or {}

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
        target = Target(kind, namespace, name, subresource)
        options = WriteOptions(dry_run, MANAGER, "Strict")
        return (await self._registry.patch(self._user, target, patch, patch_type, options)).obj or {}

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
        options = DeleteOptions(uid, resource_version, grace_seconds, propagation or "")
        return (await self._registry.delete(self._user, Target(kind, namespace, name), options)).obj


async def _one_by_one(batches: AsyncIterator[list[Event]]) -> AsyncIterator[WatchEvent]:
    async for events in batches:
        for event in events:
            yield WatchEvent(event.type, event.object())
