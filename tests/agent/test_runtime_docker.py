from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from iacorch.agent.runtime.docker import DockerRuntime
from tests.agent import busybox
from tests.agent.runtime_conformance import Programs, RuntimeConformance, World
from tests.waiting import until


@pytest.mark.docker
class TestDockerRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self) -> AsyncIterator[DockerRuntime]:
        busybox.image()
        async with DockerRuntime(node=f"iacagent-{uuid4()}") as runtime:
            yield runtime

    @pytest.fixture
    def programs(self) -> Programs:
        def shell(script: str) -> tuple[str, ...]:
            return ("/bin/sh", "-c", script)

        return Programs(
            image=busybox.image(),
            forever=shell("trap 'exit 0' TERM; while true; do sleep 0.05; done"),
            stubborn=shell("trap '' TERM; while true; do sleep 0.05; done"),
            exit_3=shell("exit 3"),
            echo_hello=shell("echo hello; while true; do sleep 0.05; done"),
            missing=("no-such-command",),
            exec_exit_4=shell("exit 4"),
            exec_echo_hello=("/bin/echo", "hello"),
            exec_forever=("/bin/sleep", "1000"),
        )

    async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(self, world: World) -> None:
        container = await world.container(await world.sandbox(), world.programs.forever)
        await world.runtime.start(container)
        command = ("/bin/sh", "-c", "sleep 4242 & sleep 4243")
        with pytest.raises(TimeoutError):
            await world.runtime.exec(container, command, timeout_seconds=2.0, output_bytes=10)
        await until(lambda: asyncio.to_thread(_processes, container), lambda found: "sleep 424" not in found)


def _processes(container: str) -> str:
    """As the container sees them: for `docker top` the machine would need `ps`, which small ones have not."""
    found = subprocess.run(
        ["docker", "exec", container, "/bin/busybox", "ps", "-o", "args"], capture_output=True, text=True, check=True
    )
    return found.stdout
