"""All pods of this node: who runs, who is told what.

In: the informer on the pods that were bound to this node, the runtime's events and list, the journal. Out: one `Worker`
a pod, told of everything that concerns it. The composition root makes one and runs it.

After a start the journal's pods and the runtime's containers are taken over first, without the API: what runs keeps
running and is restarted when it crashes. Pods that the API does not have any more are ended once it has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from iacorch.agent.pods.operations import Node
from iacorch.agent.pods.worker import Worker
from iacorch.agent.runtime.contract import ContainerState, NoSuchContainer
from iacorch.agent.volumes.payload import references
from iacorch.api import objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.client.informer import Informer
from iacorch.errors import NetworkFailed, RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks, keep_running

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was on the node when the agent started."""

    states: Sequence[ContainerState]
    addresses: Mapping[str, str]

    def worker(self, node: Node, pod: Object) -> Worker:
        uid = objects.uid(pod)
        worker = Worker(node, pod, [s for s in self.states if s.owner.pod_uid == uid], self.addresses.get(uid, ""))
        for container_id in worker.known():
            worker.noticed(container_id)  # it may have been found a while ago
        return worker


class Pods:
    """Use from one event loop."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.informer = Informer(node.client, POD, field_selector=f"spec.nodeName={node.name}", clock=node.clock)
        self.workers: dict[str, Worker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: Tasks | None = None
        self._found = _Found([], {})
        self._strangers: list[Object] = []
        """Pods of which only containers were found; ended when the API does not know them either."""

    async def run(self) -> None:
        """For ever. Cancelling ends the workers and leaves every container running."""
        async with Tasks("pods") as tasks:
            self._tasks = tasks
            await self._take_over()
            self.informer.on_change(self._changed)
            tasks.spawn(self.informer.run(), name="informer")
            tasks.spawn(self._end_what_the_api_has_not(), name="orphans")
            tasks.spawn(keep_running(self._hear, name="runtime events", clock=self._node.clock), name="events")
            await keep_running(self._relist_for_ever, name="runtime relist", clock=self._node.clock)

    def find(self, uid: str) -> Worker | None:
        return self.workers.get(uid)

    # Taking over after a start

    async def _take_over(self) -> None:
        states = await self._all_states()
        pods: dict[str, Object] = {objects.uid(pod): pod for pod in self._node.journal.read()}
        for uid in {state.owner.pod_uid for state in states} - pods.keys():
            # The journal was lost. The API may know the pod; until then its labels say whose it is.
            pods[uid] = _stand_in([state for state in states if state.owner.pod_uid == uid])
        self._found = _Found(states, await self._sync_network(pods))
        for pod in pods.values():
            if objects.spec(pod):
                self._start(self._found.worker(self._node, pod))
        self._strangers = [pod for pod in pods.values() if not objects.spec(pod)]
        log.info("took over", pods=len(self.workers), containers=len(states))

    async def _all_states(self) -> list[ContainerState]:
        pause = limits.SETBACK_START_SECONDS
        while True:
            try:
                states = []
                for entry in await self._node.runtime.list():
                    try:
                        states.append(await self._node.runtime.inspect(entry.id))
                    except NoSuchContainer:
                        continue
                return states
            except RuntimeFailed as error:
                log.warning("waiting for the runtime", error=error.message, again_in_seconds=pause)
                await self._node.clock.sleep(pause)
                pause = min(pause * 2, limits.SETBACK_MAX_SECONDS)

    async def _sync_network(self, pods: dict[str, Object]) -> dict[str, str]:
        try:
            return dict(await self._node.network.sync(list(pods)))
        except NetworkFailed as error:
            # Attaching again is safe and gives the same addresses.
            log.warning("the pod network does not tell what is attached", error=error.message)
            return {}

    async def _end_what_the_api_has_not(self) -> None:
        await self.informer.synced.wait()
        alive = {objects.uid(pod) for pod in self.informer.items()}
        for uid, worker in list(self.workers.items()):
            if uid not in alive:
                log.info("ending a pod that the API does not have", pod=objects.key(worker.pod))
                worker.removed()
        for pod in self._strangers:
            if objects.uid(pod) not in alive and objects.uid(pod) not in self.workers:
                worker = self._found.worker(self._node, pod)
                worker.removed()
                self._start(worker)
        self._strangers, self._found = [], _Found([], {})

    # What happens

    def _changed(self, old: Object | None, new: Object | None) -> None:
        before = self.workers.get(objects.uid(old)) if old is not None else None
        if before is not None and (new is None or objects.uid(new) != objects.uid(before.pod)):
            before.removed()
        if new is None:
            return
        if (worker := self.workers.get(objects.uid(new))) is not None:
            worker.update(new)
        elif not _is_over_and_unknown(new):
            self._node.journal.put(new)
            self._start(self._found.worker(self._node, new))

    def _start(self, worker: Worker) -> None:
        assert self._tasks is not None
        uid = objects.uid(worker.pod)
        self.workers[uid] = worker
        self._running[uid] = self._tasks.spawn(self._work(uid, worker), name=objects.key(worker.pod))

    async def _work(self, uid: str, worker: Worker) -> None:
        """A worker that fails in a way nobody thought of starts again; the node's other pods do not notice."""
        finished = asyncio.Event()

        async def work() -> None:
            await worker.run()
            finished.set()
            await asyncio.Event().wait()

        async with Tasks(f"worker/{uid}") as tasks:
            tasks.spawn(keep_running(work, name=f"pod {objects.key(worker.pod)}", clock=self._node.clock))
            await finished.wait()
        del self.workers[uid], self._running[uid]
        self._forget_references()

    def _forget_references(self) -> None:
        used = (
            (kind, objects.namespace(worker.pod), name)
            for worker in self.workers.values()
            for kind, name in references(worker.pod)
        )
        self._node.references.forget_all_but(used)

    # The runtime's news

    async def _hear(self) -> None:
        async with self._node.runtime.events() as events:
            await self._relist()  # what was missed before the subscription stood
            async for event in events:
                if (worker := self.workers.get(event.pod_uid)) is not None:
                    worker.noticed(event.container_id)

    async def _relist_for_ever(self) -> None:
        while True:
            await self._node.clock.sleep(limits.RUNTIME_RELIST_SECONDS)
            await self._relist()

    async def _relist(self) -> None:
        """Point each worker at the containers about which it believes something that is not so."""
        listed = await self._node.runtime.list()
        found = {uid: {e.id: e.phase for e in listed if e.pod_uid == uid} for uid in {e.pod_uid for e in listed}}
        for uid, worker in self.workers.items():
            seen, believed = found.get(uid, {}), worker.known()
            for container_id in seen.keys() | believed.keys():
                if seen.get(container_id) is not believed.get(container_id):
                    worker.noticed(container_id)


def _is_over_and_unknown(pod: Object) -> bool:
    """Ended before it began here: it stands in the API as a record."""
    status = objects.status(pod)
    over = status.get("phase") in ("Succeeded", "Failed")
    return over and not objects.is_deleting(pod) and not status.get("containerStatuses")


def _stand_in(states: Iterable[ContainerState]) -> Object:
    """A pod of which only containers are left: enough to end it."""
    owner = next(iter(states)).owner
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"uid": owner.pod_uid, "namespace": owner.pod_namespace, "name": owner.pod_name},
        "spec": {},
    }
