"""Runs the provider: prints its port as the first line, serves until it is ended or its engine goes away.

The engine starts it in a process group of its own and ends it; the argument, the engine's address, is not needed.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc

from iacorch.infra.machines.docker_provider.servicer import DockerProvider
from iacorch.infra.protocol import provider_pb2_grpc
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock


async def serve() -> None:
    provider = DockerProvider(SystemClock())
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.PLUGIN_MESSAGE_BYTES),
            ("grpc.max_send_message_length", limits.PLUGIN_MESSAGE_BYTES),
        ]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await server.stop(grace=limits.PLUGIN_GRACE_SECONDS)
    await provider.close()


if __name__ == "__main__":
    asyncio.run(serve())
