"""Progress to the engine, as it happens, over its own gRPC service.

In: lines about a resource. Out: `Engine.Log` calls in order. Telling never waits and never fails: when the engine is
slow the surplus is dropped, when it is gone everything is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc

from iacorch.infra.protocol import engine_pb2, engine_pb2_grpc
from iacorch.infra.provider.resource import Say
from iacorch.kit import limits
from iacorch.kit.tasks import Tasks


class EngineLog:
    """Made by `connected`. `teller` gives the `Say` of one resource."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue(limits.PROGRESS_QUEUE)

    def teller(self, urn: str) -> Say:
        def say(line: str) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                self._lines.put_nowait((urn, line))

        return say

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Pass lines on until cancelled."""
        engine = engine_pb2_grpc.EngineStub(channel)
        while True:
            urn, line = await self._lines.get()
            # Ephemeral: shown while the resource is in work, not kept among the diagnostics.
            entry = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=urn, ephemeral=True)
            with contextlib.suppress(grpc.aio.AioRpcError):
                await engine.Log(entry, timeout=limits.ENGINE_LOST_SECONDS)


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[EngineLog, asyncio.Task[None] | None]]:
    """A log to the engine at `address`, and a task that ends when that engine is gone; no address: nobody listens."""
    log = EngineLog()
    if not address:
        yield log, None
        return
    async with grpc.aio.insecure_channel(address) as channel, Tasks("engine-log") as tasks:
        tasks.spawn(log.run(channel), name="log")
        yield log, tasks.spawn(_until_lost(channel), name="watch")


async def _until_lost(channel: grpc.aio.Channel) -> None:
    """Return once the engine was connected, and then could not be reached for a while."""
    state = channel.get_state(try_to_connect=True)
    while True:
        if state is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
            continue
        try:
            async with asyncio.timeout(limits.ENGINE_LOST_SECONDS):
                while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                    await channel.wait_for_state_change(state)
        except TimeoutError:
            return
