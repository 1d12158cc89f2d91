"""The scheduler's edge: keeps the snapshot from the informers, decides pod by pod, binds.

In: nodes and pods from informers. Out: bindings (`pods/binding`), the condition PodScheduled=False with the reason on
pods that fit nowhere, and Events. Started by `iacorch.scheduler.run`. Decisions are in `plan`, and only carried here.

A decision is assumed at once (the snapshot counts the pod on its node) and bound in the background, a bounded number
at a time; a binding that fails is taken back, and the pod is tried again. Node and pod changes put parked pods back in
line when they may help.
"""

from __future__ import annotations

import asyncio

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.client.recorder import NORMAL, WARNING, Recorder
from iacorch.errors import ApiError, Conflict, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.queue import WorkQueue
from iacorch.kit.tasks import Tasks, keep_running
from iacorch.scheduler.filters import Change
from iacorch.scheduler.plan import Placement, Unschedulable, plan
from iacorch.scheduler.pod import DEFAULT_SCHEDULER, PodInfo, pod_info
from iacorch.scheduler.queue import SchedulingQueue
from iacorch.scheduler.scores import DEFAULT, Profile
from iacorch.scheduler.snapshot import Snapshot

log = structlog.get_logger(__name__)


class Scheduler:
    """See the module docstring. Use from one event loop; `idle` is for tests and the simulation."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        informers: Informers,
        profile: Profile = DEFAULT,
        name: str = DEFAULT_SCHEDULER,
    ) -> None:
        self._client, self._clock, self._informers, self._profile, self._name = client, clock, informers, profile, name
        self.snapshot = Snapshot()
        self._queue = SchedulingQueue()
        self._recorder = Recorder(client, component=name, clock=clock)
        self._binding: WorkQueue[str] = WorkQueue(clock)
        self._assumed: dict[str, tuple[PodInfo, str]] = {}
        self._refused: dict[str, tuple[PodInfo, str]] = {}
        self._wake = asyncio.Event()
        self._nodes, self._pods = informers.of(NODE), informers.of(POD)
        self._nodes.on_change(self._node_changed)
        self._pods.on_change(self._pod_changed)

    @property
    def idle(self) -> bool:
        return not self._queue and self._binding.idle and self._recorder.idle

    async def run(self) -> None:
        """For ever. The informers must be running."""
        await self._informers.synced()
        async with Tasks("scheduler") as tasks:
            tasks.spawn(keep_running(self._recorder.run, name="recorder", clock=self._clock), name="recorder")
            for number in range(limits.SCHEDULER_BINDERS):
                tasks.spawn(keep_running(self._write, name="binder", clock=self._clock), name=f"binder-{number}")
            tasks.spawn(keep_running(self._retry_parked, name="retry", clock=self._clock), name="retry")
            await keep_running(self._decide, name="decide", clock=self._clock)

    # What the informers tell: bookkeeping only

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self.snapshot.remove_node(objects.name(old or {}))
            return
        if old is not None and not _matters(old, new):
            return
        self.snapshot.set_node(new)
        self._changed(Change.NODE)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or objects.uid(old) != objects.uid(new)):
            self._gone(objects.uid(old))
        if new is None:
            return
        uid = objects.uid(new)
        node = objects.spec(new).get("nodeName")
        if objects.status(new).get("phase") in ("Succeeded", "Failed"):
            self._gone(uid)
        elif node:
            self._assumed.pop(uid, None)
            self._queue.forget(uid)
            if self.snapshot.node_of(uid) != node or (old is not None and objects.labels(old) != objects.labels(new)):
                self.snapshot.place(pod_info(new), node)
                self._changed(Change.POD_PLACED)
        elif self._is_ours(new):
            if uid not in self._assumed and (old is None or self._wish(old) != self._wish(new)):
                self._queue.add(pod_info(new))
                self._wake.set()
        else:
            self._queue.forget(uid)

    def _gone(self, uid: str) -> None:
        self._queue.forget(uid)
        self._assumed.pop(uid, None)
        self._refused.pop(uid, None)
        if self.snapshot.remove(uid):
            self._changed(Change.POD_GONE)

    def _changed(self, change: Change) -> None:
        if self._queue.changed(change):
            self._wake.set()

    def _is_ours(self, pod: Object) -> bool:
        spec = objects.spec(pod)
        named = spec.get("schedulerName") or DEFAULT_SCHEDULER
        return named == self._name and not spec.get("schedulingGates") and not objects.is_deleting(pod)

    def _wish(self, pod: Object) -> tuple[object, ...]:
        """What a placement depends on: our own report on the pod must not wake it."""
        return objects.uid(pod), objects.spec(pod), objects.labels(pod), objects.is_deleting(pod)

    # Deciding

    async def _decide(self) -> None:
        while True:
            decided = 0
            while (pod := self._queue.pop()) is not None:
                self._decide_one(pod)
                decided += 1
                if decided % limits.SCHEDULER_DECISIONS_PER_TURN == 0:
                    await self._clock.sleep(0)  # let bindings go out and news come in
            self._wake.clear()
            if not len(self._queue):
                await self._wake.wait()

    def _decide_one(self, pod: PodInfo) -> None:
        verdict = plan(pod, self.snapshot, self._profile)
        if isinstance(verdict, Placement):
            self.snapshot.place(pod, verdict.node)
            self._assumed[pod.uid] = (pod, verdict.node)
            self._refused.pop(pod.uid, None)
        else:
            self._queue.park(pod, verdict.woken_by)
            self._refuse(pod, verdict)
            return
        self._binding.add(pod.uid)

    def _refuse(self, pod: PodInfo, verdict: Unschedulable) -> None:
        before = self._refused.get(pod.uid)
        if before is not None and before[1] == verdict.message:
            return
        self._refused[pod.uid] = (pod, verdict.message)
        self._recorder.record(pod.pod, WARNING, "FailedScheduling", verdict.message)
        self._binding.add(pod.uid)

    async def _retry_parked(self) -> None:
        """Now and then try everything again, should a change have been missed."""
        while True:
            await self._clock.sleep(limits.SCHEDULER_RETRY_SECONDS)
            self._changed(~Change(0))

    # Writing

    async def _write(self) -> None:
        while True:
            uid = await self._binding.get()
            finished = False
            try:
                if uid in self._assumed:
                    await self._bind(*self._assumed[uid])
                elif uid in self._refused:
                    await self._report(*self._refused[uid])
                self._binding.forget(uid)
                finished = True
            except (Conflict, NotFound) as stale:
                # Bound, changed or gone meanwhile: the informer tells what is so now.
                log.debug("look again", pod=uid, reason=stale.message)
                finished = True
                self._take_back(uid)
            except ApiError as error:
                log.warning("not written", pod=uid, error=error.message)
                finished = True
                self._binding.retry(uid)
            finally:
                if not finished:
                    self._take_back(uid)
                self._binding.done(uid)

    async def _bind(self, pod: PodInfo, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.create(POD, binding, subresource="binding")
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self._recorder.record(pod.pod, NORMAL, "Scheduled", message)

    async def _report(self, pod: PodInfo, message: str) -> None:
        current = self._pods.get(*pod.key)
        if current is None or objects.uid(current) != pod.uid or objects.spec(current).get("nodeName"):
            return
        conditions = objects.set_condition(
            objects.conditions(current),
            "PodScheduled",
            "False",
            reason="Unschedulable",
            message=message,
            now=self._clock.now(),
        )
        if conditions == objects.conditions(current):
            return
        patch = {
            "metadata": {"uid": pod.uid, "resourceVersion": objects.resource_version(current)},
            "status": {"conditions": conditions},
        }
        await self._client.patch(POD, pod.namespace, pod.name, patch, subresource="status")

    def _take_back(self, uid: str) -> None:
        """A write failed for good: undo what was assumed and try the pod again if it still waits."""
        assumed = self._assumed.pop(uid, None)
        self._refused.pop(uid, None)
        if assumed is None:
            return
        pod, _ = assumed
        current = self._pods.get(*pod.key)
        still_there = current is not None and objects.uid(current) == uid
        if still_there and objects.spec(current or {}).get("nodeName"):
            return
        self.snapshot.remove(uid)
        self._changed(Change.POD_GONE)
        if current is not None and still_there and self._is_ours(current):
            self._queue.add(pod_info(current))
            self._wake.set()


def _matters(old: Object, new: Object) -> bool:
    """Whether a node changed in something that a filter or a score looks at. Heartbeats do not."""

    def seen(node: Object) -> tuple[object, ...]:
        ready = objects.condition(node, "Ready") or {}
        spec = objects.spec(node)
        return (
            objects.labels(node),
            spec.get("taints"),
            spec.get("unschedulable"),
            objects.status(node).get("allocatable"),
            ready.get("status"),
            objects.is_deleting(node),
        )

    return seen(old) != seen(new)
