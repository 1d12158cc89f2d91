"""What every runtime does, checked on each of them. `test_runtime_fake` and `test_runtime_docker` subclass the suite.

A subclass gives the fixtures `runtime` and `programs`; the suite removes what it made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from iacorch.agent.runtime.contract import (
    ContainerSpec,
    ContainerState,
    LogOptions,
    NoSuchContainer,
    NoSuchImage,
    Owner,
    Phase,
    Runtime,
    SandboxSpec,
)
from iacorch.errors import RuntimeFailed
from tests.waiting import PATIENCE_SECONDS, until


@dataclass(frozen=True)
class Programs:
    """The same behaviours in the words of one runtime."""

    image: str
    forever: tuple[str, ...]
    stubborn: tuple[str, ...]
    exit_3: tuple[str, ...]
    echo_hello: tuple[str, ...]
    missing: tuple[str, ...]
    exec_exit_4: tuple[str, ...]
    exec_echo_hello: tuple[str, ...]
    exec_forever: tuple[str, ...]


class World:
    """One pod's containers on a runtime."""

    def __init__(self, runtime: Runtime, programs: Programs) -> None:
        self.runtime, self.programs = runtime, programs
        self.uid = str(uuid4())

    def owner(self, name: str = "", attempt: int = 0, crashes: int = 0) -> Owner:
        return Owner(self.uid, "default", "web", name, attempt, crashes, "hash" if name else "")

    async def sandbox(self) -> ContainerState:
        return await self.runtime.create_sandbox(SandboxSpec(self.owner(), hostname="web"))

    async def container(self, sandbox: ContainerState, command: tuple[str, ...], attempt: int = 0) -> str:
        spec = ContainerSpec(self.owner("app", attempt, 2), sandbox.id, self.programs.image, command)
        return await self.runtime.create_container(spec)

    async def ended(self, container_id: str) -> ContainerState:
        return await until(lambda: self.runtime.inspect(container_id), lambda state: state.phase is Phase.EXITED)

    async def ended_by_signals(self, container_id: str) -> ContainerState:
        """A process that has just started ignores the signal until it has its trap: send it until it is heard."""

        async def told_again() -> ContainerState:
            await self.runtime.signal(container_id)
            return await self.runtime.inspect(container_id)

        return await until(told_again, lambda state: state.phase is Phase.EXITED)

    async def clean(self) -> None:
        for entry in await self.runtime.list():
            if entry.pod_uid == self.uid:
                await self.runtime.remove(entry.id)


class RuntimeConformance:
    @pytest.fixture
    async def world(self, runtime: Runtime, programs: Programs) -> AsyncIterator[World]:
        world = World(runtime, programs)
        try:
            yield world
        finally:
            await world.clean()

    async def test_a_sandbox_runs_and_has_a_process(self, world: World) -> None:
        sandbox = await world.sandbox()
        assert sandbox.phase is Phase.RUNNING
        assert sandbox.pid > 0
        assert sandbox.owner == world.owner()

    async def test_creating_a_sandbox_twice_takes_the_first_one_over(self, world: World) -> None:
        first = await world.sandbox()
        assert (await world.sandbox()).id == first.id

    async def test_a_sandbox_ends_when_it_is_told_to(self, world: World) -> None:
        sandbox = await world.sandbox()
        assert (await world.ended_by_signals(sandbox.id)).finished_at is not None

    async def test_a_container_keeps_its_owner_through_its_life(self, world: World) -> None:
        sandbox = await world.sandbox()
        container = await world.container(sandbox, world.programs.forever)
        assert (await world.runtime.inspect(container)).phase is Phase.CREATED
        await world.runtime.start(container)
        state = await world.runtime.inspect(container)
        assert state.phase is Phase.RUNNING
        assert state.owner == world.owner("app", 0, 2)
        assert state.sandbox_id == sandbox.id
        assert state.started_at is not None
        assert state.image == world.programs.image
        assert state.image_id.startswith("sha256:")

    async def test_an_exit_status_is_reported(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.exit_3)
        await world.runtime.start(container)
        state = await world.ended(container)
        assert (state.exit_code, state.oom_killed, state.pid) == (3, False, 0)
        assert state.started_at is not None
        assert state.finished_at is not None

    async def test_a_command_that_is_not_there_is_an_attempt_that_failed(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.missing)
        with pytest.raises(RuntimeFailed):
            await world.runtime.start(container)
        state = await world.runtime.inspect(container)
        assert state.phase is Phase.EXITED
        assert state.exit_code != 0
        assert "not found" in state.message

    async def test_a_stop_signal_ends_a_container(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.forever)
        await world.runtime.start(container)
        await world.ended_by_signals(container)

    async def test_a_stubborn_container_is_killed(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.stubborn)
        await world.runtime.start(container)
        await world.runtime.signal(container)
        assert (await world.runtime.inspect(container)).is_running
        await world.runtime.kill(container)
        assert (await world.ended(container)).exit_code == 137

    async def test_a_created_container_that_never_ran_is_replaced(self, world: World) -> None:
        sandbox = await world.sandbox()
        await world.container(sandbox, world.programs.forever)
        again = await world.container(sandbox, world.programs.exit_3)
        await world.runtime.start(again)
        assert (await world.ended(again)).exit_code == 3

    async def test_attempts_stand_beside_each_other(self, world: World) -> None:
        sandbox = await world.sandbox()
        first = await world.container(sandbox, world.programs.exit_3, 0)
        second = await world.container(sandbox, world.programs.exit_3, 1)
        assert first != second
        listed = {entry.id for entry in await world.runtime.list() if entry.pod_uid == world.uid}
        assert listed == {sandbox.id, first, second}

    async def test_repeating_is_safe(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.forever)
        await world.runtime.start(container)
        await world.runtime.start(container)
        await world.runtime.kill(container)
        await world.ended(container)
        await world.runtime.kill(container)
        await world.runtime.remove(container)
        await world.runtime.remove(container)
        await world.runtime.kill(container)
        await world.runtime.remove_volume(f"iacagent-{world.uid}")

    async def test_what_is_gone_is_no_such_container(self, world: World) -> None:
        with pytest.raises(NoSuchContainer):
            await world.runtime.inspect("0" * 64)

    async def test_a_missing_image_is_named(self, world: World) -> None:
        sandbox = await world.sandbox()
        spec = ContainerSpec(world.owner("app"), sandbox.id, "iacagent.invalid/nothing:1")
        with pytest.raises(NoSuchImage, match=r"iacagent\.invalid/nothing"):
            await world.runtime.create_container(spec)
        assert await world.runtime.image("iacagent.invalid/nothing:1") is None

    async def test_an_image_is_found_by_reference_and_by_id(self, world: World) -> None:
        image = await world.runtime.image(world.programs.image)
        assert image is not None
        assert world.programs.image in image.references
        assert await world.runtime.image(image.id) is not None
        assert image.id in {each.id for each in await world.runtime.images()}

    async def test_exec_answers_status_and_bounded_output(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.forever)
        await world.runtime.start(container)
        result = await world.runtime.exec(
            container, world.programs.exec_exit_4, timeout_seconds=PATIENCE_SECONDS, output_bytes=100
        )
        assert result.exit_code == 4
        result = await world.runtime.exec(
            container, world.programs.exec_echo_hello, timeout_seconds=PATIENCE_SECONDS, output_bytes=4
        )
        assert (result.exit_code, result.output) == (0, b"hell")

    async def test_exec_that_takes_too_long_is_a_timeout(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.forever)
        await world.runtime.start(container)
        with pytest.raises(TimeoutError):
            await world.runtime.exec(container, world.programs.exec_forever, timeout_seconds=0.2, output_bytes=10)

    async def test_exec_in_a_container_that_ended_fails(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.exit_3)
        await world.runtime.start(container)
        await world.ended(container)
        with pytest.raises(RuntimeFailed):
            await world.runtime.exec(container, ("true",), timeout_seconds=PATIENCE_SECONDS, output_bytes=10)

    async def test_logs_are_the_bytes_that_were_written(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.echo_hello)
        await world.runtime.start(container)

        async def read(options: LogOptions) -> bytes:
            async with world.runtime.logs(container, options) as chunks:
                return b"".join([chunk async for chunk in chunks])

        assert await until(lambda: read(LogOptions()), bool) == b"hello\n"
        assert await read(LogOptions(tail_lines=0)) == b""
        stamped = await read(LogOptions(timestamps=True))
        assert stamped.endswith(b"Z hello\n")

    async def test_followed_logs_end_with_the_container(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.echo_hello)
        await world.runtime.start(container)
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            world.runtime.logs(container, LogOptions(follow=True)) as chunks,
        ):
            text = await anext(chunks)
            await world.runtime.kill(container)
            text += b"".join([chunk async for chunk in chunks])
        assert text == b"hello\n"

    async def test_events_tell_of_starts_and_ends(self, world: World) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), world.runtime.events() as events:
            sandbox = await world.sandbox()
            await world.runtime.kill(sandbox.id)
            seen = []
            async for event in events:
                if event.pod_uid == world.uid:
                    seen.append((event.container_id, event.action))
                if event.action == "die" and event.pod_uid == world.uid:
                    break
        assert seen == [(sandbox.id, "start"), (sandbox.id, "die")]

    async def test_the_machine_is_described(self, world: World) -> None:
        info = await world.runtime.info()
        assert info.cpus > 0
        assert info.memory_bytes > 0
        assert "://" in info.version
