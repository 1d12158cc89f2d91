from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from iacorch.agent.runtime.fake import FakeRuntime
from iacorch.kit.clock import SystemClock
from tests.agent.runtime_conformance import Programs, RuntimeConformance


class TestFakeRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self) -> AsyncIterator[FakeRuntime]:
        async with FakeRuntime(SystemClock(), images={"app:1": ("forever",)}) as runtime:
            yield runtime

    @pytest.fixture
    def programs(self) -> Programs:
        return Programs(
            image="app:1",
            forever=("forever",),
            stubborn=("stubborn",),
            exit_3=("exit", "3"),
            echo_hello=("echo", "hello"),
            missing=("missing",),
            exec_exit_4=("exit", "4"),
            exec_echo_hello=("echo", "hello"),
            exec_forever=("forever",),
        )
