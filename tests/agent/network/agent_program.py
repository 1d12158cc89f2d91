"""A program that runs a NodeNetwork over a MemoryClient and obeys line by line over its standard streams.

    python -m tests.agent.network.agent_program NAME ADDRESS DIRECTORY

One JSON object a line in, one out. `netns.py` starts it in a network namespace; AWAY=1: no control plane answers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import orjson
import structlog

from iacorch.agent.network.contract import HostPort
from iacorch.agent.network.node import NodeNetwork
from iacorch.errors import IacorchError
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.kit.tasks import Tasks
from tests.agent.network.memory_client import MemoryClient


def say(answer: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


async def run_agent(name: str, address: str, directory: str) -> None:
    clock, client = SystemClock(), MemoryClient()
    client.away = os.environ.get("AWAY") == "1"
    network = NodeNetwork(
        client.as_client(),
        node_name=name,
        node_address=IPv4Address(address),
        data_dir=Path(directory),
        clock=clock,
        ids=SystemIds(),
        resolv_conf=Path(directory) / "resolv.conf",
    )
    loop = asyncio.get_running_loop()
    async with Tasks("test") as tasks:
        started = False
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            request = orjson.loads(line)
            match request.pop("do"):
                case "put":
                    for obj in request["objects"]:
                        client.put(obj)
                    if not started:
                        tasks.spawn(network.run(), name="network")
                        started = True
                    say(True)
                case "remove":
                    client.remove(**request)
                    say(True)
                case "state":
                    say(network.state())
                case "attach":
                    ports = [HostPort(*port) for port in request.pop("host_ports", [])]
                    try:
                        say(await network.attach(**request, host_ports=ports))
                    except IacorchError as error:
                        say({"error": type(error).__name__, "message": error.message})
                case "detach":
                    await network.detach(**request)
                    say(True)
                case "sync":
                    say(await network.sync(**request))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(run_agent(*sys.argv[1:]))
