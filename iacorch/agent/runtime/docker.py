"""The runtime on Docker Engine, through aiodocker.

In: the engine's socket and this node's name, which is written on every container as a label so that several agents may
share one engine. Out: the `Runtime` contract. What the engine raises is translated here: a status becomes the
`RuntimeFailed` of its meaning, silence becomes `RuntimeAway`. Bodies and answers are in `docker_wire.py`.

aiodocker decodes logs to text and starts its event stream in a task of its own; both are read from its session here,
because logs are bytes and an event stream needs an owner who sees it end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiodocker
import aiohttp
import orjson
import structlog
from aiodocker.execs import Exec

from iacorch.agent.runtime import docker_wire as wire
from iacorch.agent.runtime import pause
from iacorch.agent.runtime.contract import (
    ContainerSpec,
    ContainerState,
    ExecResult,
    ImagePullFailed,
    ImageState,
    Listed,
    LogOptions,
    NoSuchContainer,
    NoSuchImage,
    Owner,
    Phase,
    RuntimeAway,
    RuntimeEvent,
    RuntimeInfo,
    SandboxSpec,
)
from iacorch.agent.runtime.docker_logs import Entries
from iacorch.errors import RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock, SystemClock

log = structlog.get_logger(__name__)
_EVENTS: Final = ["start", "die", "destroy", "oom"]
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_FRAME: Final = struct.Struct(">BxxxI")
_GONE: Final = 404
_CLASH: Final = 409


def _control_group(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


@contextmanager
def _door(operation: str, subject: str, missing: type[RuntimeFailed] = NoSuchContainer) -> Iterator[None]:
    """Translate everything that aiodocker and aiohttp raise."""
    try:
        yield
    except aiodocker.DockerError as error:
        kind: type[RuntimeFailed] = RuntimeFailed
        if error.status == _GONE:
            kind = NoSuchImage if "such image" in error.message.lower() else missing
        elif error.status == 900:  # aiodocker's own: could not connect
            kind = RuntimeAway
        raise kind(error.message.strip(), operation=operation, subject=subject) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise RuntimeAway(
            f"Docker does not answer: {str(error) or type(error).__name__}", operation=operation, subject=subject
        ) from error


class DockerRuntime:
    """Implements `Runtime`. Use as an async context manager; safe for many tasks of one loop."""

    def __init__(self, *, node: str, socket: str = "/var/run/docker.sock", clock: Clock | None = None) -> None:
        self._node, self._socket, self._clock = node, socket, clock or SystemClock()
        self._docker: aiodocker.Docker | None = None
        self._connector: aiohttp.BaseConnector | None = None
        self._pause_ready = False
        self._making_pause = asyncio.Lock()

    async def __aenter__(self) -> DockerRuntime:
        # No limit: followed logs and the event stream hold connections for as long as they last.
        self._connector = aiohttp.UnixConnector(self._socket, limit=0)
        self._docker = aiodocker.Docker(
            "unix://localhost",  # only a name: the connector knows the socket
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=limits.RUNTIME_CALL_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._docker is not None and self._connector is not None:
            await self._docker.close()
            await self._connector.close()

    @property
    def docker(self) -> aiodocker.Docker:
        assert self._docker is not None, "use `async with DockerRuntime(...)`"
        return self._docker

    # Containers

    async def info(self) -> RuntimeInfo:
        with _door("info", "engine"):
            answer = await self.docker.system.info()
        return RuntimeInfo(
            version=f"docker://{answer['ServerVersion']}",
            os_image=answer.get("OperatingSystem", ""),
            kernel=answer.get("KernelVersion", ""),
            architecture=_ARCHITECTURES.get(answer["Architecture"], answer["Architecture"]),
            cpus=int(answer.get("NCPU", 1)),
            memory_bytes=int(answer.get("MemTotal", 0)),
        )

    async def list(self) -> tuple[Listed, ...]:
        filters = orjson.dumps({"label": [f"{wire.NODE_LABEL}={self._node}"]}).decode()
        async with self._raw("list", "containers", "containers/json", {"all": "1", "filters": filters}) as response:
            with _door("list", "containers"):
                return tuple(wire.listed(entry) for entry in orjson.loads(await response.read()))

    async def inspect(self, container_id: str) -> ContainerState:
        with _door("inspect", container_id):
            return wire.container_state(await self.docker.containers.container(container_id).show())

    async def create_sandbox(self, spec: SandboxSpec) -> ContainerState:
        await self._ensure_pause()
        container_id = await self._create(spec.owner, wire.sandbox_body(spec, self._node))
        await self.start(container_id)
        return await self.inspect(container_id)

    async def create_container(self, spec: ContainerSpec) -> str:
        return await self._create(spec.owner, wire.container_body(spec, self._node))

    async def _create(self, owner: Owner, body: Mapping[str, Any]) -> str:
        name = wire.container_name(owner)
        for last in (False, True):
            try:
                with _door("create", name):
                    return (await self.docker.containers.create(dict(body), name=name)).id
            except RuntimeFailed as error:
                clash = isinstance(error.__cause__, aiodocker.DockerError) and error.__cause__.status == _CLASH
                if last or not clash:
                    raise
            # An agent that was killed in between made it. One that never ran may have been made from old inputs.
            found = await self.inspect(name)
            if found.phase is not Phase.CREATED:
                return found.id
            await self.remove(found.id)
        raise AssertionError("unreachable: the second turn returns or raises")

    async def start(self, container_id: str) -> None:
        with _door("start", container_id):
            await self.docker.containers.container(container_id).start()

    async def signal(self, container_id: str, signal: str = "") -> None:
        if not signal:
            with _door("inspect", container_id):
                answer = await self.docker.containers.container(container_id).show()
            signal = answer["Config"].get("StopSignal") or "SIGTERM"
        await self._kill(container_id, signal)

    async def kill(self, container_id: str) -> None:
        await self._kill(container_id, "SIGKILL")

    async def _kill(self, container_id: str, signal: str) -> None:
        try:
            with _door(f"send {signal} to", container_id):
                await self.docker.containers.container(container_id).kill(signal=signal)
        except NoSuchContainer:
            return
        except RuntimeFailed as error:
            if not (isinstance(error.__cause__, aiodocker.DockerError) and error.__cause__.status == _CLASH):
                raise  # a clash means that it does not run any more

    async def remove(self, container_id: str) -> None:
        try:
            with _door("remove", container_id):
                await self.docker.containers.container(container_id).delete(force=True, v=True)
        except NoSuchContainer:
            return
        except RuntimeFailed as error:
            if not (isinstance(error.__cause__, aiodocker.DockerError) and error.__cause__.status == _CLASH):
                raise  # a clash means that somebody else is removing it

    async def remove_volume(self, name: str) -> None:
        with contextlib.suppress(NoSuchContainer):
            async with self._raw("remove the volume", name, f"volumes/{name}", {"force": "1"}, method="DELETE"):
                return

    async def exec(
        self, container_id: str, command: tuple[str, ...], *, timeout_seconds: float, output_bytes: int
    ) -> ExecResult:
        output = bytearray()
        execution: Exec | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                with _door("run a command in", container_id):
                    container = self.docker.containers.container(container_id)
                    execution = await container.exec(list(command), stdout=True, stderr=True, tty=False)
                    async with execution.start(detach=False) as stream:
                        while (message := await stream.read_out()) is not None:
                            output += message.data[: output_bytes - len(output)]
                    answer = await execution.inspect()
        except (TimeoutError, asyncio.CancelledError):
            if execution is not None:
                await self._end(execution, container_id)
            raise
        return ExecResult(int(answer.get("ExitCode") or 0), bytes(output))

    async def _end(self, execution: Exec, container_id: str) -> None:
        """The engine leaves a command running that nobody listens to any more, and has no call to end one.

        A busy engine may not even have begun it: one that begins later than it was given up would never be ended.
        """
        try:
            async with asyncio.timeout(limits.EXEC_END_SECONDS):
                with _door("end a command in", container_id):
                    while not (answer := await execution.inspect()).get("Pid") and answer.get("ExitCode") is None:
                        await self._clock.sleep(limits.EXEC_END_POLL_SECONDS)
        except (TimeoutError, RuntimeFailed) as error:
            log.info("a command that took too long may still run", container=container_id, error=str(error))
            return
        pid = int(answer.get("Pid") or 0)
        # The engine may be on another machine, and the number somebody else's by now: only a process of that container.
        if pid and answer.get("Running") and container_id in _control_group(pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)

    @asynccontextmanager
    async def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        state = await self.inspect(container_id)
        query = {"stdout": "1", "stderr": "1", "follow": str(int(options.follow))}
        query["timestamps"] = str(int(options.timestamps))
        if options.tail_lines is not None:
            query["tail"] = str(options.tail_lines)
        if options.since is not None:
            query["since"] = f"{options.since.timestamp():.6f}"
        if options.follow and not state.tty:
            yield self._followed(container_id, query, with_timestamps=options.timestamps)
            return
        async with self._log(container_id, query) as response:
            yield _plain(response) if state.tty else _demultiplexed(response)

    def _log(
        self, container_id: str, query: Mapping[str, str]
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        path = f"containers/{container_id}/logs"
        return self._raw("read the logs of", container_id, path, query, endless=True)

    async def _followed(
        self, container_id: str, query: Mapping[str, str], *, with_timestamps: bool
    ) -> AsyncIterator[bytes]:
        """Follow until the container ends, then read what the engine has not told (see `docker_logs`)."""
        entries = Entries(with_timestamps=with_timestamps)
        asked = {**query, "timestamps": "1"}
        for follow in ("1", "0"):
            async with self._log(container_id, {**asked, "follow": follow}) as response:
                async for chunk in _plain(response):
                    if told := entries.take(chunk):
                        yield told
            if (since := entries.read_again()) is not None:
                asked.pop("tail", None)
                asked["since"] = str(since)

    # Images

    async def image(self, reference: str) -> ImageState | None:
        try:
            with _door("inspect the image", reference, NoSuchImage):
                return _image(await self.docker.images.inspect(reference))
        except NoSuchImage:
            return None

    async def images(self) -> tuple[ImageState, ...]:
        with _door("list", "images"):
            return tuple(_image(entry) for entry in await self.docker.images.list())

    async def pull(self, reference: str) -> ImageState:
        try:
            with _door("pull", reference, NoSuchImage):
                await self.docker.images.pull(reference, timeout=limits.IMAGE_PULL_SECONDS)
        except RuntimeAway:
            raise
        except RuntimeFailed as error:
            raise ImagePullFailed(error.message, operation="pull", subject=reference) from error
        found = await self.image(reference)
        if found is None:
            raise NoSuchImage(f"{reference} was pulled and is not here", operation="pull", subject=reference)
        return found

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        references: list[str] = []
        with _door("load", "image archive"):
            async for entry in self.docker.images.import_image(chunks, stream=True):
                _, found, reference = str(entry.get("stream", "")).partition("Loaded image: ")
                if found:
                    references.append(reference.strip())
        return tuple(references)

    # Events

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[RuntimeEvent]]:
        filters = {"type": ["container"], "event": _EVENTS, "label": [f"{wire.NODE_LABEL}={self._node}"]}
        query = {"filters": orjson.dumps(filters).decode()}
        async with self._raw("watch", "events", "events", query, endless=True) as response:
            yield _events(response)

    # The engine

    async def _ensure_pause(self) -> None:
        """Make the sandbox image on this node, once, however many pods ask for it at the same time."""
        async with self._making_pause:
            if self._pause_ready:
                return
            if await self.image(pause.IMAGE) is None:
                await self._import_pause()
            self._pause_ready = True

    async def _import_pause(self) -> None:
        layer = pause.image_layer((await self.info()).architecture)
        repository, _, tag = pause.IMAGE.partition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": f'ENTRYPOINT ["/{pause.PATH}"]'}
        async with self._raw("import", pause.IMAGE, "images/create", query, method="POST", data=layer) as response:
            with _door("import", pause.IMAGE):
                await response.read()

    @asynccontextmanager
    async def _raw(
        self,
        operation: str,
        subject: str,
        path: str,
        query: Mapping[str, str],
        *,
        method: str = "GET",
        data: bytes | None = None,
        endless: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response of the engine with its status checked; with `endless` there is no time limit on its body."""
        docker = self.docker
        with _door(operation, subject):
            if docker.api_version == "auto":
                docker.api_version = "v" + str((await docker.version())["ApiVersion"])
            timeout = aiohttp.ClientTimeout(total=None if endless else limits.RUNTIME_CALL_SECONDS)
            url = f"{docker.docker_host}/{docker.api_version}/{path}"
            response = await docker.session.request(method, url, params=query, data=data, timeout=timeout)
        try:
            if response.status >= 400:
                with _door(operation, subject):
                    answer = orjson.loads(await response.read() or b"{}")
                    raise aiodocker.DockerError(response.status, str(answer.get("message", "")))
            yield response
        finally:
            response.close()


async def _plain(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with contextlib.suppress(aiohttp.ClientPayloadError, ConnectionResetError):
        async for chunk in response.content.iter_any():
            yield chunk


async def _demultiplexed(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Strip the 8-byte headers that the engine puts before each piece of standard output or error."""
    pending = bytearray()
    left = 0
    async for chunk in _plain(response):
        pending += chunk
        out = bytearray()
        while pending:
            if left == 0:
                if len(pending) < _FRAME.size:
                    break
                (_, left) = _FRAME.unpack_from(pending)
                del pending[: _FRAME.size]
                continue
            piece = pending[:left]
            del pending[: len(piece)]
            left -= len(piece)
            out += piece
        if out:
            yield bytes(out)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[RuntimeEvent]:
    pending = b""
    async for chunk in _plain(response):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield wire.event(orjson.loads(line))


def _image(answer: Mapping[str, Any]) -> ImageState:
    return ImageState(
        id=answer["Id"],
        references=tuple(answer.get("RepoTags") or ()),
        size_bytes=int(answer.get("Size", 0)),
        digests=tuple(answer.get("RepoDigests") or ()),
        user=(answer.get("Config") or {}).get("User", "") or "",
    )
