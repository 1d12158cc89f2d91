"""Events are kept for an hour after they were last seen, and never more than so many.

In: the stored Events and a moment. Out: which to remove. `run` is the loop that the composition root starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import EVENT
from iacorch.api.objects import Object
from iacorch.errors import Conflict, NotFound, StoreError
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, DeleteOptions, ReadOptions, Target

log = structlog.get_logger(__name__)

_MOMENTS: Final = ("lastTimestamp", "eventTime", "firstTimestamp")


def last_seen(event: Object) -> datetime | None:
    """When the event was last reported; the latest of what it carries."""
    texts = [event.get(field) for field in _MOMENTS]
    texts.append((event.get("series") or {}).get("lastObservedTime"))
    moments = [moment for text in texts if (moment := objects.moment(text))]
    return max(moments, default=objects.creation_timestamp(event))


def expired(events: Iterable[Object], *, now: datetime, most: int = limits.EVENTS) -> list[Object]:
    """Those past their time, and the oldest of those beyond `most`."""
    oldest = datetime.min.replace(tzinfo=now.tzinfo)
    by_age = sorted(((last_seen(event) or oldest, objects.key(event), event) for event in events), reverse=True)
    limit = now - timedelta(seconds=limits.EVENT_SECONDS)
    return [event for place, (moment, _, event) in enumerate(by_age) if place >= most or moment < limit]


async def prune(registry: Registry, now: datetime) -> int:
    """One pass; returns how many went."""
    listing = await registry.list(SYSTEM, Target(EVENT), ReadOptions())
    gone = expired((item.decode() for item in listing.items), now=now)
    for event in gone:
        target = Target(EVENT, objects.namespace(event), objects.name(event))
        try:
            await registry.delete(SYSTEM, target, DeleteOptions(uid=objects.uid(event)))
        except (NotFound, Conflict):
            continue  # it went by itself, or another of its name has come
    return len(gone)


async def run(registry: Registry, clock: Clock) -> None:
    """For ever."""
    while True:
        await clock.sleep(limits.EVENT_PRUNE_SECONDS)
        try:
            await prune(registry, clock.now())
        except StoreError as error:
            log.warning("events were not pruned", error=error.message)
