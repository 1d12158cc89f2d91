"""One pod's worker: asks `machine` for the next step and carries it out.

In: the pod from the API (`update`), the runtime's containers (`noticed`), probes. Out: operations on the runtime, the
network and the volumes; statuses and events to the `Reporter`. `pods.py` makes one for each pod and gives it what
happens. Nothing is decided here: what an operation's failure means is a `Setback`, and the machine sees it next time.

Everything that must survive this process is elsewhere: containers carry labels, the network keeps its leases, the
journal keeps the pod. A worker that starts on a pod that runs already looks first, and finds nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

import structlog

from iacorch.agent import hooks, images, machine, names
from iacorch.agent.assembly import Looked, assemble, host_ports
from iacorch.agent.containers import sandbox_spec
from iacorch.agent.environment import ConfigMissing, Facts, Sources
from iacorch.agent.journal import Journal
from iacorch.agent.network.contract import PodNetwork, SandboxGone
from iacorch.agent.observed import (
    MAYBE_ATTACHED,
    AttachNetwork,
    CleanUp,
    CreateSandbox,
    DetachNetwork,
    EnsureImage,
    KillContainer,
    Observed,
    Operation,
    PrepareVolumes,
    ProbeKind,
    RemoveContainer,
    Setback,
    StartContainer,
    StopContainer,
    Stopping,
    View,
)
from iacorch.agent.prober import Prober, Subject
from iacorch.agent.probes import Probes
from iacorch.agent.references import References
from iacorch.agent.reporter import Reporter
from iacorch.agent.runtime.contract import (
    SANDBOX,
    ContainerState,
    ImageState,
    LogOptions,
    NoSuchContainer,
    NoSuchImage,
    Phase,
    Runtime,
)
from iacorch.agent.status import OWN_CONDITIONS, new_backoffs, own_truth
from iacorch.agent.volumes.payload import references
from iacorch.agent.volumes.pod import MESSAGE_BYTES, PodVolumes
from iacorch.api import objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import ApiError, Conflict, IacorchError, NotFound, RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """What every worker of this node works with."""

    name: str
    address: str
    cpu_milli: int
    memory_bytes: int
    dns: names.ClusterDns
    resolv_conf: str
    """The node's own, as text."""
    pods_folder: Path
    client: Client
    runtime: Runtime
    network: PodNetwork
    prober: Prober
    references: References
    reporter: Reporter
    journal: Journal
    clock: Clock


class Worker:
    """See the module docstring. `run` returns when nothing of the pod is left, here and in the API."""

    def __init__(self, node: Node, pod: Object, containers: Iterable[ContainerState] = (), pod_ip: str = "") -> None:
        self.node, self.pod = node, pod
        self._key = objects.key(pod)
        self._containers = {state.id: state for state in containers}
        self._status: dict[str, Any] | None = None
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._pull: asyncio.Timeout | None = None
        self._volumes = PodVolumes(node.pods_folder / objects.uid(pod))
        self._pod_ip = pod_ip
        self._attached_sandbox = MAYBE_ATTACHED
        self._is_removed = self._is_cleaned = self._volumes_ready = False
        self._ending_since = node.clock.now() if objects.is_deleting(pod) else None
        self._images: dict[str, ImageState] = {}
        self._setbacks: dict[str, Setback] = {}
        self._stopping: dict[str, Stopping] = {}
        self._messages: dict[str, str] = {}
        self._probes: Probes | None = None
        self._tasks: Tasks | None = None
        self._refresh_at = node.clock.monotonic() + limits.CONFIG_REFRESH_SECONDS

    # What happens to the pod

    def update(self, pod: Object) -> None:
        """The API has a newer version of the pod."""
        self.pod = pod
        if objects.is_deleting(pod) and self._ending_since is None:
            # An agent that starts while the API is away must know this too.
            self.node.journal.put({**pod, "status": self._last_status()})
        if objects.is_deleting(pod):
            self._begin_ending()
        if self._status is not None and own_truth(objects.status(pod)) != own_truth(self._status):
            # Somebody else wrote it, as the node controller does while this node is silent; or ours is on its way.
            self.node.reporter.status(pod, self._status)
        self._wake.set()

    def removed(self) -> None:
        """The API does not have the pod any more."""
        self._is_removed = True
        self._begin_ending()
        self._wake.set()

    def noticed(self, container_id: str) -> None:
        """Something happened to a container of the pod, or may have."""
        self._dirty.add(container_id)
        self._wake.set()

    def known(self) -> dict[str, Phase]:
        """For the relist: what this worker believes of its containers."""
        return {container_id: state.phase for container_id, state in self._containers.items()}

    def container(self, name: str, *, previous: bool = False) -> ContainerState | None:
        """The newest attempt at a container, or the one before it: whose logs are asked for."""
        attempts = self._view().attempts(name)
        wanted = 2 if previous else 1
        return attempts[-wanted] if len(attempts) >= wanted else None

    def _begin_ending(self) -> None:
        if self._ending_since is None:
            self._ending_since = self.node.clock.now()
        if self._pull is not None:
            self._pull.reschedule(asyncio.get_running_loop().time())

    # The loop

    async def run(self) -> None:
        async with Tasks(f"pod/{self._key}") as tasks:
            self._tasks = tasks
            self._probes = Probes(
                tasks, self.node.prober, self.node.clock, changed=self._wake.set, unhealthy=self._unhealthy
            )
            self._adopt()
            while True:
                self._wake.clear()
                await self._look()
                view = self._view()
                self._probes.sync(view)
                step = machine.step(view.pod, view.observed, view.now)
                self._report(step.status)
                if step.is_finished:
                    await self._finish()
                    return
                if step.operation is not None:
                    log.debug("step", pod=self._key, step=str(step))
                    await self._perform(step.operation)
                else:
                    await self._wait(step)

    def _adopt(self) -> None:
        """What runs already was prepared before."""
        view = self._view()
        if (sandbox := view.sandbox) is None or self._probes is None:
            return
        self._probes.adopt(view)
        if self._pod_ip:
            self._attached_sandbox = sandbox.id
        self._volumes_ready = any(c.sandbox_id == sandbox.id for c in view.observed.containers)

    async def _look(self) -> None:
        """Ask the runtime about what changed."""
        while self._dirty:
            container_id = self._dirty.pop()
            try:
                state = await self.node.runtime.inspect(container_id)
            except NoSuchContainer:
                self._drop(container_id)
                continue
            except RuntimeFailed as error:
                self._dirty.add(container_id)
                log.warning("the runtime does not tell", pod=self._key, error=error.message)
                await self.node.clock.sleep(limits.SETBACK_START_SECONDS)
                continue
            self._containers[container_id] = state
            if state.phase is Phase.EXITED and container_id not in self._messages:
                self._stopping.pop(container_id, None)
                await self._ended(state)

    def _drop(self, container_id: str) -> None:
        self._containers.pop(container_id, None)
        self._stopping.pop(container_id, None)
        self._messages.pop(container_id, None)

    async def _ended(self, state: ContainerState) -> None:
        if state.owner.name == SANDBOX:
            return
        message = self._volumes.message(state.owner.name, state.owner.attempt)
        container = self._container(state.owner.name)
        if not message and state.exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = await self._last_words(state.id)
        self._messages[state.id] = message

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
        if self.node.clock.monotonic() >= self._refresh_at:
            self._refresh_at = self.node.clock.monotonic() + limits.CONFIG_REFRESH_SECONDS
            await self._refresh_volumes()

    # What is known

    def _view(self) -> View:
        observed = Observed(
            containers=tuple(self._containers.values()),
            attached_sandbox=self._attached_sandbox,
            pod_ip=self._pod_ip,
            host_ip=self.node.address,
            volumes_ready=self._volumes_ready,
            images_ready=frozenset(self._images),
            setbacks=dict(self._setbacks),
            probes=dict(self._probes.results) if self._probes is not None else {},
            stopping=dict(self._stopping),
            messages=dict(self._messages),
            ending_since=self._ending_since,
            is_removed=self._is_removed,
            is_cleaned=self._is_cleaned,
        )
        return View({**self.pod, "status": self._last_status()}, observed, self.node.clock.now())

    def _last_status(self) -> dict[str, Any]:
        """What was reported last, with the conditions that others write as the API has them now."""
        given = objects.status(self.pod)
        if self._status is None:
            return given
        own = [c for c in self._status.get("conditions") or () if c["type"] in OWN_CONDITIONS]
        others = [c for c in given.get("conditions") or () if c["type"] not in OWN_CONDITIONS]
        return {**self._status, "conditions": own + others}

    def _report(self, status: dict[str, Any]) -> None:
        if status == self._last_status() and (self._status is not None or status == objects.status(self.pod)):
            self._status = status
            return
        for message in new_backoffs(self._last_status(), status):
            self._event("BackOff", message, warning=True)
        self._status = status
        self.node.journal.put({**self.pod, "status": status})
        if not self._is_removed:
            self.node.reporter.status(self.pod, status)

    def _facts(self) -> Facts:
        node = self.node
        return Facts(node.name, node.address, self._pod_ip, node.cpu_milli, node.memory_bytes)

    async def _sources(self) -> Sources:
        wanted = references(self.pod)
        return await self.node.references.sources(objects.namespace(self.pod), wanted) if wanted else Sources()

    def _container(self, name: str) -> dict[str, Any]:
        return next((c for _, c in self._view().containers if c["name"] == name), {"name": name})

    def _subject(self, container_id: str, container: dict[str, Any]) -> Subject:
        ports = {p["name"]: int(p["containerPort"]) for p in container.get("ports") or () if p.get("name")}
        address = self.node.address if objects.spec(self.pod).get("hostNetwork") else self._pod_ip
        return Subject(container_id, address, ports)

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.node.reporter.event(self.pod, reason, message, warning=warning)

    def _unhealthy(self, name: str, kind: ProbeKind, message: str) -> None:
        self._event("Unhealthy", f"{kind.removesuffix('Probe').capitalize()} probe failed: {message}", warning=True)

    # Operations

    async def _perform(self, operation: Operation) -> None:
        match operation:
            case PrepareVolumes():
                await self._try(SANDBOX, "FailedMount", self._prepare_volumes)
            case CreateSandbox(attempt):
                await self._try(SANDBOX, "FailedCreatePodSandBox", lambda: self._create_sandbox(attempt))
            case AttachNetwork(sandbox_id, pid):
                await self._try(SANDBOX, "FailedCreatePodSandBox", lambda: self._attach(sandbox_id, pid))
            case EnsureImage(name):
                await self._try(name, "ImageInspectError", lambda: self._ensure_image(name))
            case StartContainer():
                await self._try(operation.name, "CreateContainerError", lambda: self._start(operation))
            case StopContainer():
                self._stop(operation)
            case KillContainer(container_id):
                await self._try(SANDBOX, "FailedKillPod", lambda: self._kill(container_id))
            case RemoveContainer(container_id):
                await self._try(SANDBOX, "FailedKillPod", lambda: self._remove(container_id))
            case DetachNetwork():
                await self._try(SANDBOX, "FailedKillPod", self._detach)
            case CleanUp():
                await self._try(SANDBOX, "FailedKillPod", self._clean_up)
            case _:
                assert_never(operation)

    async def _try(self, name: str, reason: str, operation: Callable[[], Awaitable[None]]) -> None:
        """Carry out; a failure becomes a setback under `name`, a success clears it."""
        start, top = limits.SETBACK_START_SECONDS, limits.SETBACK_MAX_SECONDS
        try:
            await operation()
        except images.ImageTrouble as error:
            reason, message = error.reason, error.message
            start, top = limits.IMAGE_BACKOFF_START_SECONDS, limits.IMAGE_BACKOFF_MAX_SECONDS
        except ConfigMissing as error:
            message = error.message
            if name != SANDBOX:
                reason = "CreateContainerConfigError"
        except IacorchError as error:
            message = error.message
        except OSError as error:
            message = str(error)
        else:
            self._setbacks.pop(name, None)
            return
        count = self._setbacks[name].count + 1 if name in self._setbacks else 1
        pause = min(start * 2.0 ** min(count - 1, 30), top)
        now = self.node.clock.now()
        self._setbacks[name] = Setback(reason, message, count, now, now + timedelta(seconds=pause))
        self._event(reason if name == SANDBOX else "Failed", message, warning=True)
        log.info("a pod was set back", pod=self._key, reason=reason, message=message, again_in_seconds=pause)

    async def _prepare_volumes(self) -> None:
        self._volumes.prepare(self.pod, await self._sources(), self._facts())
        self._volumes_ready = True

    async def _refresh_volumes(self) -> None:
        """Show the newest config maps and secrets; what cannot be had now stays as it was."""
        if not self._volumes_ready or self._ending_since is not None:
            return
        try:
            self._volumes.refresh(self.pod, await self._sources(), self._facts())
        except (ApiError, ConfigMissing, OSError) as error:
            log.info("volumes could not be brought up to date", pod=self._key, error=str(error))

    async def _create_sandbox(self, attempt: int) -> None:
        spec = sandbox_spec(self.pod, attempt, self._volumes.memory_volumes(self.pod))
        state = await self.node.runtime.create_sandbox(spec)
        self._containers[state.id] = state

    async def _attach(self, sandbox_id: str, pid: int) -> None:
        try:
            self._pod_ip = await self.node.network.attach(
                pod_uid=objects.uid(self.pod),
                namespace=objects.namespace(self.pod),
                name=objects.name(self.pod),
                sandbox_pid=pid,
                host_ports=host_ports(self.pod),
            )
        except SandboxGone:
            self._dirty.add(sandbox_id)
            return
        self._attached_sandbox = sandbox_id

    async def _detach(self) -> None:
        await self.node.network.detach(objects.uid(self.pod))
        self._attached_sandbox = ""

    async def _ensure_image(self, name: str) -> None:
        container = self._container(name)
        reference = container["image"]
        policy = images.policy_of(reference, container.get("imagePullPolicy"))
        try:
            async with asyncio.timeout(None) as self._pull:
                if self._ending_since is not None:
                    return
                self._images[name] = await images.ensure(self.node.runtime, reference, policy, tell=self._event)
        except TimeoutError:
            return  # the pod is ending and does not need it any more
        finally:
            self._pull = None

    async def _start(self, start: StartContainer) -> None:
        container = self._container(start.name)
        inputs = Looked(await self._sources(), self._facts(), self.node.dns, self.node.resolv_conf)
        spec = assemble(self.pod, container, start, self._images[start.name], inputs, self._volumes)
        if images.policy_of(container["image"], container.get("imagePullPolicy")) == "Always":
            del self._images[start.name]  # the next attempt asks the registry again
        try:
            container_id = await self.node.runtime.create_container(spec)
        except NoSuchImage:
            self._images.pop(start.name, None)
            raise
        self._event("Created", f"Created container {start.name}")
        try:
            await self.node.runtime.start(container_id)
        except RuntimeFailed as error:
            self._dirty |= {container_id, start.sandbox_id}
            self._event("Failed", f"Error: {error.message}", warning=True)
            return
        self._containers[container_id] = await self.node.runtime.inspect(container_id)
        self._event("Started", f"Started container {start.name}")
        await self._post_start(container, container_id)

    async def _post_start(self, container: dict[str, Any], container_id: str) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        reply = await hooks.run(
            handler,
            self._subject(container_id, container),
            prober=self.node.prober,
            clock=self.node.clock,
            timeout_seconds=limits.POST_START_SECONDS,
        )
        if not reply.is_good:
            self._event("FailedPostStartHook", f"PostStartHook failed: {reply.message}", warning=True)
            await self._kill(container_id)

    def _stop(self, operation: StopContainer) -> None:
        """In a task of its own: other containers of the pod are stopped at the same time."""
        assert self._tasks is not None
        deadline = self.node.clock.now() + timedelta(seconds=operation.grace_seconds)
        self._stopping[operation.container_id] = Stopping(deadline)
        self._event("Killing", f"Stopping container {operation.name}")
        self._tasks.spawn(self._stop_slowly(operation), name=f"stop {operation.name}")

    async def _stop_slowly(self, operation: StopContainer) -> None:
        container = self._container(operation.name)
        reply = await hooks.stop(
            container,
            self._subject(operation.container_id, container),
            runtime=self.node.runtime,
            prober=self.node.prober,
            clock=self.node.clock,
            grace_seconds=operation.grace_seconds,
        )
        if not reply.is_good:
            self._event("FailedPreStopHook", f"PreStopHook failed: {reply.message}", warning=True)

    async def _kill(self, container_id: str) -> None:
        again = self.node.clock.now() + timedelta(seconds=limits.KILL_AGAIN_SECONDS)
        self._stopping[container_id] = Stopping(again, is_killed=True)
        await self.node.runtime.kill(container_id)
        self._dirty.add(container_id)

    async def _remove(self, container_id: str) -> None:
        await self.node.runtime.remove(container_id)
        self._drop(container_id)

    async def _clean_up(self) -> None:
        for volume in self._volumes.memory_volumes(self.pod):
            await self.node.runtime.remove_volume(volume.name)
        self._volumes.remove()
        self._is_cleaned = True

    async def _finish(self) -> None:
        """Take the pod from the API, then from the journal; repeated until the API is there."""
        pause = limits.INFORMER_BACKOFF_START_SECONDS
        while not self._is_removed:
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
