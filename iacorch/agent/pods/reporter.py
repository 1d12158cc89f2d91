"""News of pods on their way to the API: statuses and events.

In: a pod and its newest status, or an event about it. Out: patches and Event objects. Nobody waits for it: containers
must start while the API is slow or away. Of several statuses of one pod only the newest is sent; events go through
`client.recorder`, which drops the oldest when too many wait. The worker calls it; the composition root runs it.
"""

from __future__ import annotations

from typing import Any, Final

import structlog

from iacorch.agent.lifecycle.status import OWN_CONDITIONS
from iacorch.api import objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client, PatchType
from iacorch.client.recorder import NORMAL, WARNING, Recorder
from iacorch.errors import ApiError, Conflict, Invalid, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.queue import WorkQueue
from iacorch.kit.tasks import Tasks

_COMPONENT: Final = "iacorch-agent"
_GONE: Final[dict[str, Any]] = {"reason": None, "message": None}
"""A patch that leaves these out keeps what the API has: the reason why a pod that is ready now was not."""
log = structlog.get_logger(__name__)


class Reporter:
    """Use from one event loop; `run` sends."""

    def __init__(self, client: Client, clock: Clock, *, node_name: str) -> None:
        self._client = client
        self._statuses: dict[str, tuple[Object, dict[str, Any]]] = {}
        self._queue: WorkQueue[str] = WorkQueue(clock, backoff_max_seconds=limits.INFORMER_BACKOFF_MAX_SECONDS)
        self._recorder = Recorder(client, component=_COMPONENT, host=node_name, clock=clock)

    def status(self, pod: Object, status: dict[str, Any]) -> None:
        """Send `status`, in place of one of the same pod that was not sent yet."""
        uid = objects.uid(pod)
        self._statuses[uid] = (pod, status)
        self._queue.add(uid)

    def event(self, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
        self.event_about({"apiVersion": "v1", "kind": "Pod", **pod}, reason, message, warning=warning)

    def event_about(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """About any object, of which the kind is given."""
        self._recorder.record(about, WARNING if warning else NORMAL, reason, message)

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
                await self._recorder.run()
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
        own = [_GONE | entry for entry in status.get("conditions") or () if entry["type"] in OWN_CONDITIONS]
        # The UID makes the server refuse the patch when another pod has taken the name.
        patch = {"metadata": {"uid": objects.uid(pod)}, "status": {**_GONE, **status, "conditions": own}}
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
