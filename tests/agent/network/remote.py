"""Programs that run in a network namespace and obey line by line over their standard streams.

    python -m tests.agent.network.remote pod               opens servers, makes connections
    python -m tests.agent.network.remote agent NAME IP DIR runs a NodeNetwork over a MemoryClient

One JSON object a line in, one out. `netns.py` starts them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import orjson
import structlog

from iacorch.agent.network.contract import HostPort
from iacorch.agent.network.node import NodeNetwork
from iacorch.errors import IacorchError
from iacorch.kit.clock import SystemClock
from iacorch.kit.tasks import Tasks
from tests.agent.network.memory_client import MemoryClient

PATIENCE_SECONDS = 2.0


def say(answer: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


class Pod:
    """Servers answer `NAME PEER-ADDRESS`; connections say what they were answered."""

    def serve(self, name: str, port: int) -> bool:
        tcp = socket.create_server(("0.0.0.0", port), backlog=64)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", port))
        threading.Thread(target=self._tcp, args=(name, tcp), daemon=True).start()
        threading.Thread(target=self._udp, args=(name, udp), daemon=True).start()
        return True

    def _tcp(self, name: str, server: socket.socket) -> None:
        while True:
            connection, peer = server.accept()
            with connection:
                connection.sendall(f"{name} {peer[0]}".encode())

    def _udp(self, name: str, server: socket.socket) -> None:
        while True:
            _, peer = server.recvfrom(100)
            server.sendto(f"{name} {peer[0]}".encode(), peer)

    def tcp(self, address: str, port: int, count: int = 1) -> list[str]:
        answers = []
        for _ in range(count):
            try:
                with socket.create_connection((address, port), timeout=PATIENCE_SECONDS) as connection:
                    answers.append(connection.recv(100).decode())
            except OSError as error:
                answers.append(type(error).__name__)
        return answers

    def udp(self, address: str, port: int, count: int = 1, from_port: int = 0) -> list[str]:
        answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind(("0.0.0.0", from_port))
            client.connect((address, port))
            for _ in range(count):
                try:
                    client.send(b"?")
                    answers.append(client.recv(100).decode())
                except OSError as error:
                    answers.append(type(error).__name__)
        return answers

    def dns(self, address: str, question: str, kind: str) -> list[str]:
        from dnslib import DNSRecord  # only where names are asked for

        query = DNSRecord.question(question, kind)
        answer = DNSRecord.parse(query.send(address, 53, timeout=PATIENCE_SECONDS))
        return [(answer.header.get_rcode() and str(answer.header.rcode)) or "0", *(str(r.rdata) for r in answer.rr)]


def run_pod() -> None:
    pod = Pod()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        say(getattr(pod, request.pop("do"))(**request))


async def run_agent(name: str, address: str, directory: str) -> None:
    clock, client = SystemClock(), MemoryClient()
    client.away = os.environ.get("AWAY") == "1"
    network = NodeNetwork(
        client.as_client(), node_name=name, node_address=IPv4Address(address), data_dir=Path(directory), clock=clock
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
    if sys.argv[1] == "pod":
        run_pod()
    else:
        asyncio.run(run_agent(*sys.argv[2:]))
