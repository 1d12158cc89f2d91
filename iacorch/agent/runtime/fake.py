"""A runtime without containers, for tests and for the simulation on virtual time.

In: a clock. Out: the `Runtime` contract, and a few handles with which a test plays the world (`crash`, `fail`, `lose`).
It refuses what Docker refuses: missing images, unknown containers, joining a sandbox that does not run.

What a container does is its command (or else the image's, given in `images`):
    forever        run until a stop signal comes (also the default)
    stubborn       run until killed
    exit N         end at once with status N
    after S N      end with status N after S seconds
    echo TEXT...   write a line and run for ever
    missing        cannot be started
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

from iacorch.agent.runtime.contract import (
    ContainerSpec,
    ContainerState,
    ExecResult,
    ImageState,
    Listed,
    LogOptions,
    NoSuchContainer,
    NoSuchImage,
    Owner,
    Phase,
    RuntimeEvent,
    RuntimeInfo,
    SandboxSpec,
)
from iacorch.errors import RuntimeFailed
from iacorch.kit.clock import Clock, rfc3339_micro
from iacorch.kit.tasks import Tasks

Command = tuple[str, ...]
Exec = Callable[[ContainerState, Command], ExecResult]

_EXIT_BY_TERM = 143
_EXIT_BY_KILL = 137


class FakeRuntime:
    """Use as an async context manager. Containers outlive the agent that made them, as on a real engine."""

    def __init__(
        self,
        clock: Clock,
        *,
        images: Mapping[str, Command] | None = None,
        start_seconds: float = 0.0,
        on_exec: Exec | None = None,
        info: RuntimeInfo | None = None,
    ) -> None:
        self.containers: dict[str, ContainerState] = {}
        self.specs: dict[str, ContainerSpec | SandboxSpec] = {}
        self.calls: list[str] = []
        self._clock, self._start_seconds = clock, start_seconds
        self._images: dict[str, Command] = dict(images or {})
        self._registry: dict[str, Command] = {}
        self._on_exec = on_exec
        self._info = info or RuntimeInfo("fake://1", "Fake OS", "6.0", "amd64", 4, 8 << 30)
        self._failures: dict[str, list[RuntimeFailed]] = {}
        self._listeners: set[asyncio.Queue[RuntimeEvent | None]] = set()
        self._output: dict[str, list[tuple[str, bytes]]] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._tasks = Tasks("fake-runtime")

    async def __aenter__(self) -> FakeRuntime:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, trace)

    # Handles for tests

    def add_image(self, reference: str, command: Command = ("forever",)) -> None:
        self._images[reference] = command

    def add_to_registry(self, reference: str, command: Command = ("forever",)) -> None:
        """The image can be pulled, and is not here yet."""
        self._registry[reference] = command

    def fail(self, operation: str, error: RuntimeFailed) -> None:
        """The next call of `operation` raises this; several queue up."""
        self._failures.setdefault(operation, []).append(error)

    def crash(self, container_id: str, exit_code: int = 1, *, oom_killed: bool = False) -> None:
        self._end(container_id, exit_code, oom_killed=oom_killed)

    def lose(self, container_id: str) -> None:
        """Remove a container behind everybody's back, without an event."""
        self.containers.pop(container_id, None)

    def break_events(self) -> None:
        """Cut every event stream."""
        for queue in self._listeners:
            queue.put_nowait(None)

    def find(self, pod_uid: str, name: str) -> ContainerState | None:
        """The newest attempt at a container."""
        mine = [c for c in self.containers.values() if c.owner.pod_uid == pod_uid and c.owner.name == name]
        return max(mine, key=lambda c: c.owner.attempt, default=None)

    # The contract

    async def info(self) -> RuntimeInfo:
        self._called("info")
        return self._info

    async def list(self) -> tuple[Listed, ...]:
        self._called("list")
        return tuple(Listed(c.id, c.owner.pod_uid, c.phase) for c in self.containers.values())

    async def inspect(self, container_id: str) -> ContainerState:
        self._called("inspect")
        return self._get(container_id)

    async def create_sandbox(self, spec: SandboxSpec) -> ContainerState:
        self._called("create_sandbox")
        container_id = self._create(spec.owner, "sandbox", spec, sandbox_id="")
        await self.start(container_id)
        return self._get(container_id)

    async def create_container(self, spec: ContainerSpec) -> str:
        self._called("create_container")
        if await self.image(spec.image) is None:
            raise NoSuchImage(f"No such image: {spec.image}", operation="create", subject=spec.image)
        return self._create(spec.owner, spec.image, spec, sandbox_id=spec.sandbox_id)

    async def start(self, container_id: str) -> None:
        self._called("start")
        state = self._get(container_id)
        if state.is_running:
            return
        if state.sandbox_id:
            sandbox = self.containers.get(state.sandbox_id)
            if sandbox is None or not sandbox.is_running:
                raise RuntimeFailed("cannot join the network of a container that does not run", operation="start")
        if self._start_seconds:
            await self._clock.sleep(self._start_seconds)
        command = self._command(container_id)
        now = self._clock.now()
        if command[:1] == ("missing",):
            message = 'exec: "missing": executable file not found in $PATH'
            self.containers[container_id] = replace(
                state, phase=Phase.EXITED, finished_at=now, exit_code=127, message=message
            )
            raise RuntimeFailed(message, operation="start", subject=container_id)
        self.containers[container_id] = replace(
            state, phase=Phase.RUNNING, started_at=now, finished_at=None, exit_code=0, pid=1000 + len(self.calls)
        )
        self._ended[container_id] = asyncio.Event()
        self._tell(container_id, "start")
        match command:
            case ("exit", code):
                self._end(container_id, int(code))
            case ("after", seconds, code):
                self._tasks.spawn(self._end_after(container_id, now, float(seconds), int(code)))
            case ("echo", *words):
                self._output.setdefault(container_id, []).append((rfc3339_micro(now), " ".join(words).encode() + b"\n"))
            case _:
                pass

    async def signal(self, container_id: str, signal: str = "") -> None:
        self._called("signal")
        state = self._get(container_id)
        if state.is_running and self._command(container_id)[:1] != ("stubborn",):
            self._end(container_id, _EXIT_BY_TERM)

    async def kill(self, container_id: str) -> None:
        self._called("kill")
        if (state := self.containers.get(container_id)) is not None and state.is_running:
            self._end(container_id, _EXIT_BY_KILL)

    async def remove(self, container_id: str) -> None:
        self._called("remove")
        if (state := self.containers.get(container_id)) is None:
            return
        if state.is_running:
            self._end(container_id, _EXIT_BY_KILL)
        del self.containers[container_id]
        self._tell(container_id, "destroy", state.owner)

    async def remove_volume(self, name: str) -> None:
        self._called("remove_volume")

    async def exec(
        self, container_id: str, command: tuple[str, ...], *, timeout_seconds: float, output_bytes: int
    ) -> ExecResult:
        self._called("exec")
        state = self._get(container_id)
        if not state.is_running:
            raise RuntimeFailed(f"container {container_id} is not running", operation="exec", subject=container_id)
        match command:
            case ("exit", code):
                return ExecResult(int(code), b"")
            case ("echo", *words):
                return ExecResult(0, (" ".join(words).encode() + b"\n")[:output_bytes])
            case ("forever",):
                await self._clock.sleep(timeout_seconds)
                raise TimeoutError
            case _ if self._on_exec is not None:
                return self._on_exec(state, command)
            case _:
                return ExecResult(0, b"")

    @asynccontextmanager
    async def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        self._called("logs")
        self._get(container_id)
        yield self._lines(container_id, options)

    async def _lines(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        lines = self._output.get(container_id, [])
        if options.tail_lines is not None:
            lines = lines[max(0, len(lines) - options.tail_lines) :]
        for stamp, line in lines:
            yield (f"{stamp} ".encode() if options.timestamps else b"") + line
        if options.follow and self._get(container_id).is_running:
            await self._ended[container_id].wait()

    async def image(self, reference: str) -> ImageState | None:
        for known in self._images:
            found = ImageState(_image_id(known), (known,), 1 << 20)
            if reference in (known, found.id):
                return found
        return None

    async def images(self) -> tuple[ImageState, ...]:
        return tuple(ImageState(_image_id(known), (known,), 1 << 20) for known in self._images)

    async def pull(self, reference: str) -> ImageState:
        self._called("pull")
        if reference not in self._registry:
            raise NoSuchImage(f"manifest for {reference} not found", operation="pull", subject=reference)
        self._images[reference] = self._registry[reference]
        return ImageState(_image_id(reference), (reference,), 1 << 20)

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """The archive is one reference a line."""
        self._called("load")
        references = tuple((b"".join([chunk async for chunk in chunks])).decode().split())
        for reference in references:
            self.add_image(reference)
        return references

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[RuntimeEvent]]:
        self._called("events")
        queue: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield _drain(queue)
        finally:
            self._listeners.discard(queue)

    # Inside

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if queued := self._failures.get(operation):
            raise queued.pop(0)

    def _get(self, container_id: str) -> ContainerState:
        if (state := self.containers.get(container_id)) is None:
            raise NoSuchContainer(f"No such container: {container_id}", subject=container_id)
        return state

    def _create(self, owner: Owner, image: str, spec: ContainerSpec | SandboxSpec, *, sandbox_id: str) -> str:
        name = f"{owner.pod_uid}/{owner.name}/{owner.attempt}"
        container_id = hashlib.sha256(name.encode()).hexdigest()
        found = self.containers.get(container_id)
        if found is None or found.phase is Phase.CREATED:
            self.containers[container_id] = ContainerState(
                id=container_id,
                owner=owner,
                phase=Phase.CREATED,
                image=image,
                image_id=_image_id(image),
                sandbox_id=sandbox_id,
                created_at=self._clock.now(),
            )
            self.specs[container_id] = spec
        return container_id

    def _command(self, container_id: str) -> Command:
        spec = self.specs[container_id]
        if isinstance(spec, SandboxSpec):
            return ("forever",)
        return spec.command + spec.args or self._images.get(spec.image, ("forever",))

    async def _end_after(self, container_id: str, started: object, seconds: float, exit_code: int) -> None:
        await self._clock.sleep(seconds)
        state = self.containers.get(container_id)
        if state is not None and state.is_running and state.started_at == started:
            self._end(container_id, exit_code)

    def _end(self, container_id: str, exit_code: int, *, oom_killed: bool = False) -> None:
        state = self._get(container_id)
        self.containers[container_id] = replace(
            state,
            phase=Phase.EXITED,
            finished_at=self._clock.now(),
            exit_code=exit_code,
            oom_killed=oom_killed,
            pid=0,
        )
        self._ended[container_id].set()
        self._tell(container_id, "die")

    def _tell(self, container_id: str, action: str, owner: Owner | None = None) -> None:
        owner = owner or self.containers[container_id].owner
        for queue in self._listeners:
            queue.put_nowait(RuntimeEvent(container_id, owner.pod_uid, action))


async def _drain(queue: asyncio.Queue[RuntimeEvent | None]) -> AsyncIterator[RuntimeEvent]:
    while (event := await queue.get()) is not None:
        yield event


def _image_id(reference: str) -> str:
    return "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
