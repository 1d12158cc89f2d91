"""What the agent asks of a container runtime, as values and one protocol.

In: specifications, made from a pod by `containers/specification.py`. Out: `ContainerState`s, logs, events.
The worker calls it. `docker.py` is the real one, `fake.py` the one for tests and for the simulation; both pass
`tests/agent/runtime_conformance.py`.

A sandbox is a container like any other, with the name `SANDBOX`: it holds the pod's network and IPC namespaces open and
does nothing else. Everything that the agent must find again after it was restarted is written on the containers as
labels, so that the runtime alone tells what exists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from iacorch.errors import RuntimeFailed

SANDBOX: Final = ""
"""The `name` of a sandbox among a pod's containers; no container of a pod can be called this."""


class NoSuchContainer(RuntimeFailed):
    """The container does not exist (any more)."""


class NoSuchImage(RuntimeFailed):
    """The image is not on this node, or not in its registry."""


class ImagePullFailed(RuntimeFailed):
    """The registry could not be reached or refused."""


class RuntimeAway(RuntimeFailed):
    """The runtime itself does not answer; nothing is known about what was asked of it."""


class Phase(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a container is: the pod, the container's name in it, and which attempt at running it this is."""

    pod_uid: str
    pod_namespace: str
    pod_name: str
    name: str = SANDBOX
    attempt: int = 0
    crashes: int = 0
    """How often in a row the container has crashed before this attempt; decides the back-off after the next crash."""
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """A file system in memory that lives as long as a container that has it mounted (the sandbox does)."""

    name: str
    size_bytes: int = 0
    """Zero: the kernel's default, half of the memory."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the node, or a memory volume, as it appears in the container."""

    source: str | MemoryVolume
    target: str
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means: no bound. CPU in thousandths of a core."""

    cpu_request_milli: int = 0
    cpu_limit_milli: int = 0
    memory_limit_bytes: int = 0
    pids_limit: int = 0


@dataclass(frozen=True, slots=True)
class Security:
    """The parts of a security context that a runtime can enforce."""

    user: str = ""
    """`uid`, `uid:gid`, or empty for the image's own."""
    supplemental_groups: tuple[int, ...] = ()
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    seccomp_unconfined: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    owner: Owner
    hostname: str
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    memory_volumes: tuple[MemoryVolume, ...] = ()
    """Mounted by the sandbox too, so that they outlive the containers that use them."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One attempt at one container of a pod, complete: nothing is looked up any more."""

    owner: Owner
    sandbox_id: str
    image: str
    command: tuple[str, ...] = ()
    """Replaces the image's entrypoint when not empty."""
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    security: Security = Security()
    host_pid: bool = False
    share_pid: bool = False
    """Join the sandbox's process namespace."""
    stdin: bool = False
    tty: bool = False
    oom_score_adj: int = 0
    """Never below zero: a node that is a container itself may not lower it."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """What the runtime says about one container or sandbox."""

    id: str
    owner: Owner
    phase: Phase
    image: str = ""
    """As it was asked for."""
    image_id: str = ""
    """`sha256:...`"""
    sandbox_id: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    message: str = ""
    """Why it could not be started, in the runtime's words."""
    pid: int = 0
    tty: bool = False

    @property
    def is_running(self) -> bool:
        return self.phase is Phase.RUNNING


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the runtime's list: enough to see whether what is known is still true."""

    id: str
    pod_uid: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to a container of ours; look at it again."""

    container_id: str
    pod_uid: str
    action: str


@dataclass(frozen=True, slots=True)
class ImageState:
    id: str
    references: tuple[str, ...]
    size_bytes: int = 0
    digests: tuple[str, ...] = ()
    user: str = ""
    """The image's own user, `name` or `uid[:gid]`."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """`output` is standard output and error together, cut at the bound that was asked for."""

    exit_code: int
    output: bytes


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    timestamps: bool = False
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """For the Node object: `docker://20.10.24`, and what the engine knows about the machine."""

    version: str
    os_image: str
    kernel: str
    architecture: str
    cpus: int
    memory_bytes: int


class Runtime(Protocol):
    """Every method raises a `RuntimeFailed`; `RuntimeAway` when the runtime does not answer.

    Repeating is safe: starting what runs, killing what has ended and removing what is gone are not errors.
    """

    async def info(self) -> RuntimeInfo: ...

    async def list(self) -> tuple[Listed, ...]:
        """Every container and sandbox of ours, running or not."""
        ...

    async def inspect(self, container_id: str) -> ContainerState:
        """Raises NoSuchContainer."""
        ...

    async def create_sandbox(self, spec: SandboxSpec) -> ContainerState:
        """Create and start. One that exists already for this owner and attempt is taken over."""
        ...

    async def create_container(self, spec: ContainerSpec) -> str:
        """Create without starting and answer the ID. One that exists for this owner and attempt is replaced if it
        never ran, else taken over. Raises NoSuchImage."""
        ...

    async def start(self, container_id: str) -> None:
        """Raises RuntimeFailed with the reason when the process cannot be started."""
        ...

    async def signal(self, container_id: str, signal: str = "") -> None:
        """Send a signal; "" is the image's stop signal (SIGTERM if it names none). Does not wait."""
        ...

    async def kill(self, container_id: str) -> None:
        """SIGKILL. Does not wait."""
        ...

    async def remove(self, container_id: str) -> None:
        """Remove, by force if it still runs."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove a memory volume."""
        ...

    async def exec(
        self, container_id: str, command: tuple[str, ...], *, timeout_seconds: float, output_bytes: int
    ) -> ExecResult:
        """Run a command in a running container. Raises TimeoutError when it takes longer."""
        ...

    def logs(self, container_id: str, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Standard output and error in chunks of any size; with `follow`, until the container ends."""
        ...

    async def image(self, reference: str) -> ImageState | None:
        """The image on this node under a reference or ID; None when it is not here."""
        ...

    async def images(self) -> tuple[ImageState, ...]: ...

    async def pull(self, reference: str) -> ImageState:
        """Raises NoSuchImage or ImagePullFailed."""
        ...

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Load an archive as `docker save` writes it; answers the references that it held."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[RuntimeEvent]]:
        """Events from now on; entering means that the subscription stands. The iterator ends when the stream breaks."""
        ...
