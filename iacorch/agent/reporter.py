"""News of pods on their way to the API: statuses and events.

In: a pod and its newest status, or an event about it. Out: patches and Event objects. Nobody waits for it: containers
must start while the API is slow or away. Of several statuses of one pod only the newest is sent; of events, a bounded
number waits and the oldest are dropped. The worker calls it; `pods.py` runs it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from iacorch.agent.status import OWN_CONDITIONS
from iacorch.api import objects
from iacorch.api.catalogue import EVENT, POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client, PatchType
from iacorch.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339
from iacorch.kit.ids import Ids
from iacorch.kit.queue import WorkQueue
from iacorch.kit.tasks import Tasks

_COMPONENT: Final = "iacorch-agent"
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Repeated:
    """An event that was sent, to be counted up when it happens again."""

    name: str
    count: int


class Reporter:
    """Use from one event loop; `run` sends."""

    def __init__(self, client: Client, clock: Clock, ids: Ids, *, node_name: str) -> None:
        self._client, self._clock, self._ids, self._node_name = client, clock, ids, node_name
        self._statuses: dict[str, tuple[Object, dict[str, Any]]] = {}
        self._queue: WorkQueue[str] = WorkQueue(clock, backoff_max_seconds=limits.INFORMER_BACKOFF_MAX_SECONDS)
        self._events: deque[tuple[Object, str, str, str]] = deque(maxlen=limits.EVENTS_WAITING)
        self._has_events = asyncio.Event()
        self._sent: OrderedDict[tuple[str, str, str], _Repeated] = OrderedDict()
        self.is_sent: Callable[[str], None] = lambda _uid: None

    def status(self, pod: Object, status: dict[str, Any]) -> None:
        """Send `status`, in place of one of the same pod that was not sent yet."""
        uid = objects.uid(pod)
        self._statuses[uid] = (pod, status)
        self._queue.add(uid)

    def event(self, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
        self._events.append((pod, reason, message, "Warning" if warning else "Normal"))
        self._has_events.set()

    def forget(self, uid: str) -> None:
        self._statuses.pop(uid, None)

    @property
    def is_idle(self) -> bool:
        return not self._statuses

    async def run(self) -> None:
        try:
            async with Tasks("reporter") as tasks:
                for _ in range(limits.STATUS_WRITERS):
                    tasks.spawn(self._send_statuses(), name="statuses")
                await self._send_events()
        finally:
            self._queue.close()

    async def _send_statuses(self) -> None:
        while True:
            uid = await self._queue.get()
            if (entry := self._statuses.get(uid)) is not None:
                try:
                    await self._send_status(*entry)
                except ApiError as error:
                    pause = self._queue.retry(uid)
                    log.info(
                        "a status was not accepted", pod=objects.key(entry[0]), error=error.message, again_in=pause
                    )
                else:
                    self._queue.forget(uid)
                    if self._statuses.get(uid) is entry:
                        del self._statuses[uid]
            self._queue.done(uid)

    async def _send_status(self, pod: Object, status: dict[str, Any]) -> None:
        own = [entry for entry in status.get("conditions") or () if entry["type"] in OWN_CONDITIONS]
        # The UID makes the server refuse the patch when another pod has taken the name.
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {**status, "conditions": own}}
        try:
            await self._client.patch(
                POD,
                objects.namespace(pod),
                objects.name(pod),
                patch,
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )
        except (NotFound, Invalid) as error:
            log.info("a status has no pod any more", pod=objects.key(pod), error=error.message)
        except Conflict:
            found = await self._client.get(POD, objects.namespace(pod), objects.name(pod))
            if objects.uid(found) == objects.uid(pod):
                raise
            log.info("another pod has taken the name of this one", pod=objects.key(pod))

    async def _send_events(self) -> None:
        while True:
            while self._events:
                try:
                    await self._send_event(*self._events.popleft())
                except ApiError as error:
                    log.info("an event was not accepted", error=error.message)
                    await self._clock.sleep(limits.INFORMER_BACKOFF_START_SECONDS)
            self._has_events.clear()
            await self._has_events.wait()

    async def _send_event(self, pod: Object, reason: str, message: str, kind: str) -> None:
        now, namespace = rfc3339(self._clock.now()), objects.namespace(pod)
        key = (objects.uid(pod), reason, message)
        if (before := self._sent.get(key)) is not None:
            before.count += 1
            patch = {"count": before.count, "lastTimestamp": now}
            try:
                await self._client.patch(EVENT, namespace, before.name, patch, patch_type=PatchType.MERGE)
                return
            except NotFound:
                del self._sent[key]
        name = f"{objects.name(pod)}.{self._ids.suffix(16)}"
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {**objects.reference(pod), "apiVersion": "v1", "kind": "Pod"},
            "reason": reason,
            "message": message[: limits.EVENT_MESSAGE_CHARACTERS],
            "type": kind,
            "source": {"component": _COMPONENT, "host": self._node_name},
            "reportingComponent": _COMPONENT,
            "reportingInstance": self._node_name,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(EVENT, body)
        except (Invalid, NotFound, Forbidden) as error:
            # A namespace that is going away takes no more events.
            log.info("an event was refused", reason=reason, error=error.message)
            return
        self._sent[key] = _Repeated(name, 1)
        while len(self._sent) > limits.EVENTS_REMEMBERED:
            self._sent.popitem(last=False)
