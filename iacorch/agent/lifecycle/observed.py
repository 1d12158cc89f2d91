"""What a worker knows about its pod, and what it may do next, as values.

In: the pod from the API, the runtime's containers, and what the worker remembers (failed operations, probes, stops in
progress). Out: `View`, the questions that both `machine` (what to do) and `status` (what to say) ask about it; and the
closed union of `Operation`s. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, TypeAlias

from iacorch.agent.runtime.contract import SANDBOX, ContainerState, Phase
from iacorch.api.objects import Object
from iacorch.kit import limits

DEFAULT_GRACE_SECONDS: Final = 30
MAYBE_ATTACHED: Final = "?"
"""In place of a sandbox's ID: an agent that was here before may have put the pod on the network."""


class ProbeKind(StrEnum):
    STARTUP = "startupProbe"
    READINESS = "readinessProbe"
    LIVENESS = "livenessProbe"


@dataclass(frozen=True, slots=True)
class Setback:
    """An operation for a container (or, under `SANDBOX`, for the whole pod) that failed and is tried again."""

    reason: str
    message: str
    count: int
    at: datetime
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Stopping:
    """A container that was asked to stop; at `deadline` it is killed (again)."""

    deadline: datetime
    is_killed: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything about one pod on this node at one moment. Missing probe results are not known yet."""

    containers: tuple[ContainerState, ...] = ()
    attached_sandbox: str = ""
    """The sandbox whose network stands; empty when the pod is not on the network, or `MAYBE_ATTACHED`."""
    pod_ip: str = ""
    host_ip: str = ""
    volumes_ready: bool = False
    images_ready: frozenset[str] = frozenset()
    """Names of containers whose image is here as their pull policy wants it."""
    setbacks: Mapping[str, Setback] = field(default_factory=dict)
    probes: Mapping[tuple[str, ProbeKind], bool] = field(default_factory=dict)
    stopping: Mapping[str, Stopping] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container ID."""
    ending_since: datetime | None = None
    """When this agent first saw that the pod is to end."""
    is_removed: bool = False
    """The API does not have the pod any more."""
    is_cleaned: bool = False
    """Volumes and files of the pod are gone from the disk."""


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    pass


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class AttachNetwork:
    sandbox_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class EnsureImage:
    name: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    attempt: int
    crashes: int
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Run the preStop hook and send the stop signal, without waiting for either."""

    container_id: str
    name: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class KillContainer:
    container_id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    container_id: str


@dataclass(frozen=True, slots=True)
class DetachNetwork:
    pass


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Remove the pod's volumes and files."""


Operation: TypeAlias = (
    PrepareVolumes
    | CreateSandbox
    | AttachNetwork
    | EnsureImage
    | StartContainer
    | StopContainer
    | KillContainer
    | RemoveContainer
    | DetachNetwork
    | CleanUp
)


class Place(StrEnum):
    """Where in a pod a container stands."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with restartPolicy Always: starts in its turn, runs beside the others, ends after them."""
    APP = "app"


@dataclass(frozen=True, slots=True)
class Restart:
    """When a container that ended runs again, and what it has behind it by then."""

    due: datetime
    pause_seconds: float
    crashes: int


@dataclass(frozen=True)
class View:
    """A pod as the worker sees it at `now`. Not slotted: its derived values are cached."""

    pod: Object
    observed: Observed
    now: datetime

    @cached_property
    def spec(self) -> dict[str, Any]:
        return dict(self.pod.get("spec") or {})

    @cached_property
    def previous(self) -> dict[str, Any]:
        """The status that was reported before."""
        return dict(self.pod.get("status") or {})

    @cached_property
    def containers(self) -> tuple[tuple[Place, dict[str, Any]], ...]:
        """Every container of the specification, in the order of starting."""
        sidecar = [
            (Place.SIDECAR if c.get("restartPolicy") == "Always" else Place.INIT, c)
            for c in self.spec.get("initContainers") or ()
        ]
        return (*sidecar, *((Place.APP, c) for c in self.spec.get("containers") or ()))

    @cached_property
    def restart_policy(self) -> str:
        return str(self.spec.get("restartPolicy") or "Always")

    @cached_property
    def is_ending(self) -> bool:
        return self.observed.is_removed or bool((self.pod.get("metadata") or {}).get("deletionTimestamp"))

    @cached_property
    def is_over_time(self) -> bool:
        """`activeDeadlineSeconds` has passed since the pod started."""
        deadline = self.active_deadline
        return deadline is not None and self.now >= deadline

    @cached_property
    def active_deadline(self) -> datetime | None:
        seconds, started = self.spec.get("activeDeadlineSeconds"), self.previous.get("startTime")
        if seconds is None or not started:
            return None
        return datetime.fromisoformat(started.replace("Z", "+00:00")) + timedelta(seconds=int(seconds))

    @cached_property
    def grace_seconds(self) -> int:
        """The pod's own; a delete may have brought another one."""
        asked = (self.pod.get("metadata") or {}).get("deletionGracePeriodSeconds")
        if asked is not None:
            return int(asked)
        own = self.spec.get("terminationGracePeriodSeconds")
        return DEFAULT_GRACE_SECONDS if own is None else int(own)

    @cached_property
    def end_deadline(self) -> datetime:
        """When an ending pod's containers are killed."""
        return (self.observed.ending_since or self.now) + timedelta(seconds=self.grace_seconds)

    # Sandboxes

    @cached_property
    def sandboxes(self) -> tuple[ContainerState, ...]:
        mine = [c for c in self.observed.containers if c.owner.name == SANDBOX]
        return tuple(sorted(mine, key=lambda c: c.owner.attempt))

    @cached_property
    def sandbox(self) -> ContainerState | None:
        """The newest one, if it runs."""
        newest = self.sandboxes[-1] if self.sandboxes else None
        return newest if newest is not None and newest.is_running else None

    # Containers

    @cached_property
    def _attempts(self) -> dict[str, tuple[ContainerState, ...]]:
        found: dict[str, list[ContainerState]] = {}
        for state in self.observed.containers:
            if state.owner.name != SANDBOX:
                found.setdefault(state.owner.name, []).append(state)
        return {name: tuple(sorted(states, key=lambda c: c.owner.attempt)) for name, states in found.items()}

    def attempts(self, name: str) -> tuple[ContainerState, ...]:
        """Every attempt that the runtime still has, oldest first."""
        return self._attempts.get(name, ())

    def latest(self, name: str) -> ContainerState | None:
        attempts = self.attempts(name)
        return attempts[-1] if attempts else None

    def current(self, name: str) -> ContainerState | None:
        """The newest attempt, if it belongs to the sandbox that runs."""
        state = self.latest(name)
        return state if state is not None and self.sandbox is not None and state.sandbox_id == self.sandbox.id else None

    @cached_property
    def running(self) -> tuple[ContainerState, ...]:
        return tuple(c for c in self.observed.containers if c.owner.name != SANDBOX and c.is_running)

    def place(self, name: str) -> Place:
        return next((place for place, c in self.containers if c["name"] == name), Place.APP)

    @cached_property
    def has_begun_apps(self) -> bool:
        """Init containers are behind us: an app container exists in the sandbox that runs."""
        return any(place is Place.APP and self.current(c["name"]) is not None for place, c in self.containers)

    def previous_status(self, name: str) -> dict[str, Any]:
        for section in ("containerStatuses", "initContainerStatuses"):
            for entry in self.previous.get(section) or ():
                if entry.get("name") == name:
                    return dict(entry)
        return {}

    def next_attempt(self, name: str) -> int:
        """One more than the newest; where the runtime lost them all, one more than what was reported."""
        if (latest := self.latest(name)) is not None:
            return latest.owner.attempt + 1
        before = self.previous_status(name)
        return int(before.get("restartCount") or 0) + 1 if before.get("containerID") else 0

    def is_started(self, name: str) -> bool:
        """Running, and through its startup probe if it has one."""
        state = self.current(name)
        if state is None or not state.is_running:
            return False
        if not self._container(name).get(ProbeKind.STARTUP):
            return True
        return self.observed.probes.get((state.id, ProbeKind.STARTUP)) is True

    def is_ready(self, name: str) -> bool:
        state = self.current(name)
        if state is None or not self.is_started(name) or state.id in self.observed.stopping:
            return False
        if not self._container(name).get(ProbeKind.READINESS):
            return True
        return self.observed.probes.get((state.id, ProbeKind.READINESS)) is True

    def _container(self, name: str) -> dict[str, Any]:
        return next((c for _, c in self.containers if c["name"] == name), {})

    def restart(self, name: str) -> Restart | None:
        """Whether and when a container that ended runs again; None: never.

        The first restart is at once; the next ones wait 10 s, doubling to 5 minutes. Ten minutes of running clear it.
        """
        state = self.latest(name)
        if state is None or state.phase is not Phase.EXITED or not self._may_restart(name, state):
            return None
        if self._is_of_lost_sandbox(state):
            return Restart(self.now, 0.0, 0)  # not its own fault
        finished = state.finished_at or self.now
        ran = (finished - state.started_at).total_seconds() if state.started_at else 0.0
        crashes = 0 if ran >= limits.CRASH_FORGIVEN_SECONDS else state.owner.crashes
        pause = 0.0
        if crashes:
            pause = min(
                limits.CRASH_BACKOFF_START_SECONDS * 2.0 ** min(crashes - 1, 30), limits.CRASH_BACKOFF_MAX_SECONDS
            )
        return Restart(finished + timedelta(seconds=pause), pause, crashes + 1)

    def _is_of_lost_sandbox(self, state: ContainerState) -> bool:
        return self.sandbox is None or state.sandbox_id != self.sandbox.id

    def _may_restart(self, name: str, state: ContainerState) -> bool:
        place = self.place(name)
        policy = "Always" if place is Place.SIDECAR else self.restart_policy
        if place is Place.INIT and policy == "Always":
            policy = "OnFailure"
        if self.is_ending or self.is_over_time:
            return False
        if place is Place.INIT and self._is_of_lost_sandbox(state):
            return self.restart_policy != "Never"  # what it did may be lost with the sandbox
        return policy == "Always" or (policy == "OnFailure" and state.exit_code != 0)
