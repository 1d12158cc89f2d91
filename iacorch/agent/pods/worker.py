"""One pod's worker: asks `machine` for the next step and carries it out.

In: the pod from the API (`update`), the runtime's containers (`noticed`), probes. Out: operations (`operations.py`),
one after another; statuses and events to the `Reporter`. `pods.py` makes one for each pod and gives it what happens.
What is known of the pod is in its `Knowledge`. Nothing is decided here.

Everything that must survive this process is elsewhere: containers carry labels, the network keeps its leases, the
journal keeps the pod. A worker that starts on a pod that runs already looks first, and finds nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

from iacorch.agent.lifecycle import machine
from iacorch.agent.lifecycle.observed import ProbeKind, View
from iacorch.agent.lifecycle.status import new_backoffs, own_truth
from iacorch.agent.pods.knowledge import Knowledge
from iacorch.agent.pods.operations import Node, Operations
from iacorch.agent.pods.probes import Probes
from iacorch.agent.runtime.contract import SANDBOX, ContainerState, LogOptions, NoSuchContainer, Phase
from iacorch.agent.volumes.pod import MESSAGE_BYTES, PodVolumes
from iacorch.api import objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.errors import ApiError, Conflict, NotFound, RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks

log = structlog.get_logger(__name__)


class Worker:
    """See the module docstring. `run` returns when nothing of the pod is left, here and in the API."""

    def __init__(self, node: Node, pod: Object, containers: Iterable[ContainerState] = (), pod_ip: str = "") -> None:
        self.node = node
        self._key = objects.key(pod)
        self._known = Knowledge(pod, containers, pod_ip=pod_ip, host_ip=node.address)
        self._known.ending_since = node.clock.now() if objects.is_deleting(pod) else None
        self._wake = asyncio.Event()
        self._volumes = PodVolumes(node.pods_folder / objects.uid(pod))
        self._operations: Operations | None = None
        self._refresh_at = node.clock.monotonic() + limits.CONFIG_REFRESH_SECONDS

    @property
    def pod(self) -> Object:
        return self._known.pod

    # What happens to the pod

    def update(self, pod: Object) -> None:
        """The API has a newer version of the pod."""
        self._known.pod = pod
        if objects.is_deleting(pod) and self._known.ending_since is None:
            # An agent that starts while the API is away must know this too.
            self.node.journal.put({**pod, "status": self._known.last_status()})
        if objects.is_deleting(pod):
            self._begin_ending()
        if self._known.status is not None and own_truth(objects.status(pod)) != own_truth(self._known.status):
            # Somebody else wrote it, as the node controller does while this node is silent; or ours is on its way.
            self.node.reporter.status(pod, self._known.status)
        self._wake.set()

    def removed(self) -> None:
        """The API does not have the pod any more."""
        self._known.is_removed = True
        self._begin_ending()
        self._wake.set()

    def noticed(self, container_id: str) -> None:
        """Something happened to a container of the pod, or may have."""
        self._known.dirty.add(container_id)
        self._wake.set()

    def known(self) -> dict[str, Phase]:
        """For the relist: what this worker believes of its containers."""
        return {container_id: state.phase for container_id, state in self._known.containers.items()}

    def container(self, name: str, *, previous: bool = False) -> ContainerState | None:
        """The newest attempt at a container, or the one before it: whose logs are asked for."""
        attempts = self._view().attempts(name)
        wanted = 2 if previous else 1
        return attempts[-wanted] if len(attempts) >= wanted else None

    def _begin_ending(self) -> None:
        if self._known.ending_since is None:
            self._known.ending_since = self.node.clock.now()
        if self._operations is not None:
            self._operations.stop_pulling()

    # The loop

    async def run(self) -> None:
        async with Tasks(f"pod/{self._key}") as tasks:
            operations = self._operations = Operations(self.node, self._known, self._volumes, tasks)
            probes = Probes(tasks, self.node.prober, self.node.clock, changed=self._wake.set, unhealthy=self._unhealthy)
            self._known.probes = probes.results
            self._adopt(probes)
            while True:
                self._wake.clear()
                await self._look()
                view = self._view()
                probes.sync(view)
                step = machine.step(view.pod, view.observed, view.now)
                self._report(step.status)
                if step.is_finished:
                    await self._finish()
                    return
                if step.operation is not None:
                    log.debug("step", pod=self._key, step=str(step))
                    await operations.perform(step.operation)
                else:
                    await self._wait(step)
                    await self._keep_volumes_fresh(operations)

    def _adopt(self, probes: Probes) -> None:
        """What runs already was prepared before."""
        view = self._view()
        if (sandbox := view.sandbox) is None:
            return
        probes.adopt(view)
        if self._known.pod_ip:
            self._known.attached_sandbox = sandbox.id
        self._known.volumes_ready = any(c.sandbox_id == sandbox.id for c in view.observed.containers)

    def _view(self) -> View:
        return self._known.view(self.node.clock.now())

    async def _look(self) -> None:
        """Ask the runtime about what changed."""
        while self._known.dirty:
            container_id = self._known.dirty.pop()
            try:
                state = await self.node.runtime.inspect(container_id)
            except NoSuchContainer:
                self._known.forget(container_id)
                continue
            except RuntimeFailed as error:
                self._known.dirty.add(container_id)
                log.warning("the runtime does not tell", pod=self._key, error=error.message)
                await self.node.clock.sleep(limits.SETBACK_START_SECONDS)
                continue
            self._known.containers[container_id] = state
            if state.phase is Phase.EXITED and container_id not in self._known.messages:
                self._known.stopping.pop(container_id, None)
                await self._ended(state)

    async def _ended(self, state: ContainerState) -> None:
        """Keep its last words: the container may be removed before anybody asks."""
        if state.owner.name == SANDBOX:
            return
        message = self._volumes.message(state.owner.name, state.owner.attempt)
        container = self._known.container(state.owner.name)
        if not message and state.exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = await self._last_words(state.id)
        self._known.messages[state.id] = message

    async def _last_words(self, container_id: str) -> str:
        try:
            async with self.node.runtime.logs(container_id, LogOptions(tail_lines=80)) as chunks:
                text = b"".join([chunk async for chunk in chunks])
        except RuntimeFailed:
            return ""
        return text[-MESSAGE_BYTES // 2 :].decode("utf-8", "replace")

    async def _wait(self, step: machine.Step) -> None:
        seconds = self._refresh_at - self.node.clock.monotonic()
        if step.wake_at is not None:
            seconds = min(seconds, (step.wake_at - self.node.clock.now()).total_seconds())
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _keep_volumes_fresh(self, operations: Operations) -> None:
        if self.node.clock.monotonic() >= self._refresh_at:
            self._refresh_at = self.node.clock.monotonic() + limits.CONFIG_REFRESH_SECONDS
            await operations.refresh_volumes()

    # News

    def _report(self, status: dict[str, Any]) -> None:
        known, before = self._known, self._known.last_status()
        if status == before and (known.status is not None or status == objects.status(known.pod)):
            known.status = status
            return
        for message in new_backoffs(known.pod, before, status):
            self._warn("BackOff", message)
        known.status = status
        self.node.journal.put({**known.pod, "status": status})
        if not known.is_removed:
            self.node.reporter.status(known.pod, status)

    def _unhealthy(self, name: str, kind: ProbeKind, message: str) -> None:
        self._warn("Unhealthy", f"{kind.removesuffix('Probe').capitalize()} probe failed: {message}")

    def _warn(self, reason: str, message: str) -> None:
        self.node.reporter.event(self.pod, reason, message, warning=True)

    async def _finish(self) -> None:
        """Take the pod from the API, then from the journal; repeated until the API is there."""
        pause = limits.INFORMER_BACKOFF_START_SECONDS
        while not self._known.is_removed:
            try:
                await self.node.client.delete(
                    POD,
                    objects.namespace(self.pod),
                    objects.name(self.pod),
                    uid=objects.uid(self.pod),
                    grace_seconds=0,
                )
                break
            except (NotFound, Conflict):
                break  # gone, or another pod of the same name
            except ApiError as error:
                log.info("a finished pod is not deleted yet", pod=self._key, error=error.message)
            await self.node.clock.sleep(pause)
            pause = min(pause * 2, limits.INFORMER_BACKOFF_MAX_SECONDS)
        self.node.reporter.forget(objects.uid(self.pod))
        self.node.journal.remove(objects.uid(self.pod))
