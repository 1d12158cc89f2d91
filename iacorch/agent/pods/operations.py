"""Carrying out what `machine` decided: one operation of one pod.

In: an `Operation`. Out: its effect on the runtime, the network or the volumes, put down in the pod's `Knowledge`. A
failure becomes a `Setback`, which the machine sees next time. The pod's worker calls it, one operation after another;
only stopping a container goes on beside the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

import structlog

from iacorch.agent.containers import images, names
from iacorch.agent.containers.environment import ConfigMissing, Facts, Sources
from iacorch.agent.containers.references import References
from iacorch.agent.containers.specification import sandbox_spec
from iacorch.agent.journal import Journal
from iacorch.agent.lifecycle.observed import (
    AttachNetwork,
    CleanUp,
    CreateSandbox,
    DetachNetwork,
    EnsureImage,
    KillContainer,
    Operation,
    PrepareVolumes,
    RemoveContainer,
    StartContainer,
    StopContainer,
    Stopping,
)
from iacorch.agent.network.contract import PodNetwork, SandboxGone
from iacorch.agent.pods import hooks
from iacorch.agent.pods.assembly import Looked, assemble, host_ports
from iacorch.agent.pods.knowledge import Knowledge
from iacorch.agent.pods.prober import Prober, Subject
from iacorch.agent.pods.reporter import Reporter
from iacorch.agent.runtime.contract import SANDBOX, NoSuchImage, Runtime
from iacorch.agent.volumes.payload import references
from iacorch.agent.volumes.pod import PodVolumes
from iacorch.api import objects
from iacorch.client.contract import Client
from iacorch.errors import ApiError, IacorchError, RuntimeFailed
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


class Operations:
    """One pod's; `tasks` owns what goes on beside the worker."""

    def __init__(self, node: Node, known: Knowledge, volumes: PodVolumes, tasks: Tasks) -> None:
        self._node, self._known, self._volumes, self._tasks = node, known, volumes, tasks
        self._pull: asyncio.Timeout | None = None

    def stop_pulling(self) -> None:
        """The pod is ending: it does not need the image any more."""
        if self._pull is not None:
            self._pull.reschedule(asyncio.get_running_loop().time())

    async def perform(self, operation: Operation) -> None:
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
            self._known.setbacks.pop(name, None)
            return
        pause = self._known.set_back(name, reason, message, now=self._node.clock.now(), pauses=(start, top))
        if name == SANDBOX:
            self._event(reason, message, warning=True)
        else:
            self._event("Failed", images.event_words(reason, message), warning=True)
        log.info(
            "a pod was set back",
            pod=objects.key(self._known.pod),
            reason=reason,
            message=message,
            again_in_seconds=pause,
        )

    async def _prepare_volumes(self) -> None:
        self._volumes.prepare(self._known.pod, await self._sources(), self._facts())
        self._known.volumes_ready = True

    async def refresh_volumes(self) -> None:
        """Show the newest config maps and secrets; what cannot be had now stays as it was."""
        if not self._known.volumes_ready or self._known.ending_since is not None:
            return
        try:
            self._volumes.refresh(self._known.pod, await self._sources(), self._facts())
        except (ApiError, ConfigMissing, OSError) as error:
            log.info("volumes could not be brought up to date", pod=objects.key(self._known.pod), error=str(error))

    async def _create_sandbox(self, attempt: int) -> None:
        spec = sandbox_spec(self._known.pod, attempt, self._volumes.memory_volumes(self._known.pod))
        state = await self._node.runtime.create_sandbox(spec)
        self._known.containers[state.id] = state

    async def _attach(self, sandbox_id: str, pid: int) -> None:
        try:
            self._known.pod_ip = await self._node.network.attach(
                pod_uid=objects.uid(self._known.pod),
                namespace=objects.namespace(self._known.pod),
                name=objects.name(self._known.pod),
                sandbox_pid=pid,
                host_ports=host_ports(self._known.pod),
            )
        except SandboxGone:
            self._known.dirty.add(sandbox_id)
            return
        self._known.attached_sandbox = sandbox_id

    async def _detach(self) -> None:
        await self._node.network.detach(objects.uid(self._known.pod))
        self._known.attached_sandbox = ""

    async def _ensure_image(self, name: str) -> None:
        container = self._known.container(name)
        reference = container["image"]
        policy = images.policy_of(reference, container.get("imagePullPolicy"))
        try:
            async with asyncio.timeout(None) as self._pull:
                if self._known.ending_since is not None:
                    return
                self._known.images[name] = await images.ensure(self._node.runtime, reference, policy, tell=self._event)
        except TimeoutError:
            return  # the pod is ending and does not need it any more
        finally:
            self._pull = None

    async def _start(self, start: StartContainer) -> None:
        container = self._known.container(start.name)
        inputs = Looked(await self._sources(), self._facts(), self._node.dns, self._node.resolv_conf)
        spec = assemble(self._known.pod, container, start, self._known.images[start.name], inputs, self._volumes)
        if images.policy_of(container["image"], container.get("imagePullPolicy")) == "Always":
            del self._known.images[start.name]  # the next attempt asks the registry again
        try:
            container_id = await self._node.runtime.create_container(spec)
        except NoSuchImage:
            self._known.images.pop(start.name, None)
            raise
        self._event("Created", f"Created container {start.name}")
        try:
            await self._node.runtime.start(container_id)
        except RuntimeFailed as error:
            self._known.dirty |= {container_id, start.sandbox_id}
            self._event("Failed", f"Error: {error.message}", warning=True)
            return
        self._known.containers[container_id] = await self._node.runtime.inspect(container_id)
        self._event("Started", f"Started container {start.name}")
        await self._post_start(container, container_id)

    async def _post_start(self, container: dict[str, Any], container_id: str) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        reply = await hooks.run(
            handler,
            self._subject(container_id, container),
            prober=self._node.prober,
            clock=self._node.clock,
            timeout_seconds=limits.POST_START_SECONDS,
        )
        if not reply.is_good:
            self._event("FailedPostStartHook", f"PostStartHook failed: {reply.message}", warning=True)
            await self._kill(container_id)

    def _stop(self, operation: StopContainer) -> None:
        """In a task of its own: other containers of the pod are stopped at the same time."""
        deadline = self._node.clock.now() + timedelta(seconds=operation.grace_seconds)
        self._known.stopping[operation.container_id] = Stopping(deadline)
        self._event("Killing", f"Stopping container {operation.name}")
        self._tasks.spawn(self._stop_slowly(operation), name=f"stop {operation.name}")

    async def _stop_slowly(self, operation: StopContainer) -> None:
        container = self._known.container(operation.name)
        reply = await hooks.stop(
            container,
            self._subject(operation.container_id, container),
            runtime=self._node.runtime,
            prober=self._node.prober,
            clock=self._node.clock,
            grace_seconds=operation.grace_seconds,
        )
        if not reply.is_good:
            self._event("FailedPreStopHook", f"PreStopHook failed: {reply.message}", warning=True)

    async def _kill(self, container_id: str) -> None:
        again = self._node.clock.now() + timedelta(seconds=limits.KILL_AGAIN_SECONDS)
        self._known.stopping[container_id] = Stopping(again, is_killed=True)
        await self._node.runtime.kill(container_id)
        self._known.dirty.add(container_id)

    async def _remove(self, container_id: str) -> None:
        await self._node.runtime.remove(container_id)
        self._known.forget(container_id)

    async def _clean_up(self) -> None:
        for volume in self._volumes.memory_volumes(self._known.pod):
            await self._node.runtime.remove_volume(volume.name)
        self._volumes.remove()
        self._known.is_cleaned = True

    def _facts(self) -> Facts:
        node = self._node
        return Facts(node.name, node.address, self._known.pod_ip, node.cpu_milli, node.memory_bytes)

    async def _sources(self) -> Sources:
        wanted = references(self._known.pod)
        return await self._node.references.sources(objects.namespace(self._known.pod), wanted) if wanted else Sources()

    def _subject(self, container_id: str, container: dict[str, Any]) -> Subject:
        ports = {p["name"]: int(p["containerPort"]) for p in container.get("ports") or () if p.get("name")}
        address = self._node.address if objects.spec(self._known.pod).get("hostNetwork") else self._known.pod_ip
        return Subject(container_id, address, ports)

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._node.reporter.event(self._known.pod, reason, message, warning=warning)
