"""Deletes Events that nobody repeated for an hour, as Kubernetes does. Keys are Events; writes nothing else."""

from __future__ import annotations

from datetime import datetime

from iacorch.api import objects
from iacorch.api.catalogue import EVENT
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers.actions import Key, Plan, delete
from iacorch.controllers.runtime import Watch, own_key
from iacorch.kit import limits
from iacorch.kit.clock import Clock


def plan(event: Object, *, now: datetime) -> Plan:
    """Delete it, or look again when it is old enough. An Event that was repeated starts afresh."""
    text = event.get("lastTimestamp") or event.get("eventTime") or objects.metadata(event).get("creationTimestamp")
    last = objects.moment(text) or now
    left = limits.EVENT_KEPT_SECONDS - (now - last).total_seconds()
    if left > 0:
        return Plan(again_seconds=left)
    return Plan((delete(EVENT, event),), why="it is old")


class EventExpiryController:
    """Implements `runtime.Controller`."""

    name = "eventexpiry-controller"
    watches = (Watch(EVENT, own_key),)

    def __init__(self, informers: Informers, *, clock: Clock) -> None:
        self._events, self._clock = informers.of(EVENT), clock

    async def plan(self, key: Key) -> Plan:
        event = self._events.get(*key)
        return plan(event, now=self._clock.now()) if event is not None else Plan()
