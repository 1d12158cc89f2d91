from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from iacorch.agent.runtime.docker import DockerRuntime
from tests.agent import busybox
from tests.agent.runtime_conformance import Programs, RuntimeConformance


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
