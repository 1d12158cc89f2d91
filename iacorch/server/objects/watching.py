"""Watches: store batches become typed events for one watcher, through its selectors.

In: the store's batches. Out: `Event`s with the stored bytes. What one change looks like is worked out once and shared
by all watchers of it (`Changes`): decryption, decoding, the encoded frame. Objects from here are shared: nobody may
write to them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import WatchType
from iacorch.errors import BadRequest, Compacted, FutureRevision, Gone, WatchTooSlow
from iacorch.server.objects.listing import Filter, list_objects, parse_filter, parse_revision
from iacorch.server.objects.storage import ObjectStore, Stored, too_large, too_old
from iacorch.server.request import ReadOptions, Target
from iacorch.store.contract import Batch, Change

EventBatches: TypeAlias = AsyncIterator[list["Event"]]

SHARED_CHANGES: Final = 512
"""Changes whose decoded form is kept for watchers that have not seen them yet."""
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


class Image:
    """One object at one revision, decoded and framed at most once."""

    __slots__ = ("_frames", "_obj", "stored")

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self._obj: Object | None = None
        self._frames: dict[WatchType, bytes] = {}

    @property
    def obj(self) -> Object:
        if self._obj is None:
            self._obj = self.stored.decode()
        return self._obj

    def frame(self, type_: WatchType) -> bytes:
        """The JSON line of a watch response."""
        if (frame := self._frames.get(type_)) is None:
            frame = self._frames[type_] = b'{"type":"%b","object":%b}\n' % (type_.encode(), self.stored.wire())
        return frame


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `image` is None for bookmarks, whose object is made from kind and revision."""

    type: WatchType
    kind: Kind
    revision: int
    image: Image | None = None
    ends_initial: bool = False

    def object(self) -> Object:
        if self.image is not None:
            return self.image.obj
        metadata: Object = {"resourceVersion": str(self.revision)}
        if self.ends_initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}

    def frame(self) -> bytes:
        if self.image is not None:
            return self.image.frame(self.type)
        return orjson.dumps({"type": self.type, "object": self.object()}) + b"\n"


class Changes:
    """What recent changes look like, shared by watchers."""

    def __init__(self, storage: ObjectStore) -> None:
        self._storage = storage
        self._seen: OrderedDict[tuple[int, str, str], tuple[Image | None, Image | None]] = OrderedDict()

    def look(self, kind: Kind, change: Change) -> tuple[Image | None, Image | None]:
        key = (change.revision, kind.group, kind.version)
        if (found := self._seen.get(key)) is None:
            before, after = self._storage.changed(kind, change)
            found = (Image(before) if before else None, Image(after) if after else None)
            self._seen[key] = found
            if len(self._seen) > SHARED_CHANGES:
                self._seen.popitem(last=False)
        return found


@asynccontextmanager
async def watch_objects(
    storage: ObjectStore, changes: Changes, target: Target, options: ReadOptions
) -> AsyncIterator[EventBatches]:
    """Lists of events, never empty. Raises BadRequest, Gone, Timeout on entering; Gone when the watcher is too slow."""
    wanted = parse_filter(target, options)
    since = parse_revision(options.resource_version)
    initial: list[Event] = []
    send_initial = options.send_initial_events
    if send_initial and options.resource_version_match != "NotOlderThan":
        raise BadRequest(
            "sendInitialEvents: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if since is None or send_initial:
        # "" and "0" mean: start with synthetic ADDED events for what is there, as Kubernetes does.
        found = await list_objects(
            storage,
            target,
            ReadOptions(options.label_selector, options.field_selector, resource_version=options.resource_version),
        )
        initial = [
            Event(WatchType.ADDED, target.kind, item.revision, Image(item))
            for item in found.items
            if not target.name or item.decode()["metadata"]["name"] == target.name
        ]
        if send_initial:
            initial.append(Event(WatchType.BOOKMARK, target.kind, found.revision, ends_initial=True))
        start = found.revision
    else:
        start = since
    prefix = storage.prefix(target.kind, target.namespace)
    try:
        watch = storage.store.watch(prefix, since=start)  # type: ignore[arg-type]
        async with watch as batches:
            yield _events(batches, changes, target.kind, wanted, initial, bookmarks=options.bookmarks)
    except Compacted as error:
        raise too_old(error) from error
    except FutureRevision as error:
        raise too_large(error) from error


async def _events(
    batches: AsyncIterator[Batch],
    changes: Changes,
    kind: Kind,
    wanted: Filter,
    initial: list[Event],
    *,
    bookmarks: bool,
) -> AsyncIterator[list[Event]]:
    if initial:
        yield initial
    try:
        async for batch in batches:
            if batch.changes:
                events = [event for change in batch.changes if (event := _event(changes, kind, wanted, change))]
            elif bookmarks:
                events = [Event(WatchType.BOOKMARK, kind, batch.revision)]
            else:
                events = []
            if events:
                yield events
    except WatchTooSlow as error:
        raise Gone(f"the watch was ended because its client is too slow: {error.message}") from error


def _event(changes: Changes, kind: Kind, wanted: Filter, change: Change) -> Event | None:
    """What a change is to this watcher: entering its selection is ADDED, leaving it DELETED."""
    before, after = changes.look(kind, change)
    everything = wanted.matches_everything
    was = before is not None and (everything or wanted.matches(before.obj))
    now = after is not None and (everything or wanted.matches(after.obj))
    if was and now:
        return Event(WatchType.MODIFIED, kind, change.revision, after)
    if now:
        return Event(WatchType.ADDED, kind, change.revision, after)
    if was:
        return Event(WatchType.DELETED, kind, change.revision, before)
    return None
