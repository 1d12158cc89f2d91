"""How fast and how small is the control plane?

    python benchmarks/server/bench.py [--json]

Starts `iacorchd` on a temporary directory. Rows: durable pod creates a second over TLS with 32 clients, median and 99th
percentile of one create, the server's CPU for one (which the load of the machine hardly changes), for copies of one
template and for pods that are all different, a list of 1,000 pods, memory and CPU when idle with three agents' worth of
heartbeats.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
import yaml

CLIENTS = 32
CREATES = 6_000
IDLE_SECONDS = 20.0
HEARTBEAT_SECONDS = 2.0
NODES = 3

Row = tuple[str, float, str, float | None]


@contextmanager
def control_plane(folder: Path, *flags: str) -> Iterator[tuple[int, Path]]:
    """A running iacorchd: its process ID and its kubeconfig."""
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(folder / "data")]
    process = subprocess.Popen([*command, "--listen", "127.0.0.1:0", *flags], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while b"event=serving" not in (folder / "log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"iacorchd did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.05)
        yield process.pid, folder / "data" / "admin.kubeconfig"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def connect(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    import base64

    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return cluster["server"], context


def pod(name: str, color: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "registry.example/app:1",
        "env": [{"name": "COLOR", "value": color}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {"containers": [container]},
    }


class Connection(asyncio.Protocol):
    """One keep-alive connection that spends as little as it can, as it shares two cores with what it measures."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._arrived = b""
        self._code: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        head, ended, body = self._arrived.partition(b"\r\n\r\n")
        if ended and len(body) >= int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            assert self._code is not None
            self._code.set_result(int(head[9:12]))
            self._arrived = b""

    def connection_lost(self, error: Exception | None) -> None:
        if self._code is not None and not self._code.done():
            self._code.set_exception(error or ConnectionError("the server closed the connection"))

    def send(self, request: bytes) -> asyncio.Future[int]:
        """The status code, once the whole answer is there."""
        self._code = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._code

    def close(self) -> None:
        self._transport.close()


def creation(name: str, color: str) -> bytes:
    body = json.dumps(pod(name, color)).encode()
    head = "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def creates(pid: int, url: str, context: ssl.SSLContext) -> list[Row]:
    host, port = url.removeprefix("https://").split(":")
    took: list[float] = []

    async def client(connection: Connection, requests: list[bytes]) -> None:
        for request in requests:
            began = time.perf_counter()
            code = await connection.send(request)
            assert code == 201, code
            took.append(time.perf_counter() - began)

    async def all_at_once(label: str, count: int, *, alike: bool = True) -> float:
        # Made before the clock runs: who sends them shares two cores with who is measured.
        names = [[f"{label}-{number}-{index}" for index in range(count)] for number in range(CLIENTS)]
        prepared = [[creation(name, "blue" if alike else name) for name in some] for some in names]
        began = time.perf_counter()
        await asyncio.gather(*(client(one, prepared[number]) for number, one in enumerate(connections)))
        return time.perf_counter() - began

    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(Connection, host, int(port), ssl=context))[1] for _ in range(CLIENTS)]
    await all_at_once("first", 5)  # caches
    took.clear()
    used, own = cpu_seconds(pid), time.process_time()
    seconds = await all_at_once("p", CREATES // CLIENTS)
    used, own = cpu_seconds(pid) - used, time.process_time() - own
    before, copies = cpu_seconds(pid), len(took)
    await all_at_once("o", CREATES // CLIENTS, alike=False)
    others = (cpu_seconds(pid) - before) / (len(took) - copies)
    del took[copies:]
    for one in connections:
        one.close()
    took.sort()
    return [
        ("durable pod creates over TLS, 32 clients", len(took) / seconds, "1/s", 2_000),
        ("the server's CPU for one of these creates", used / len(took) * 1e6, "us", None),
        ("the same where every pod has a template of its own", others * 1e6, "us", None),
        ("the clients' CPU for one of these creates", own / len(took) * 1e6, "us", None),
        ("one of these creates, median", took[len(took) // 2] * 1000, "ms", None),
        ("one of these creates, 99th percentile", took[len(took) * 99 // 100] * 1000, "ms", None),
    ]


async def lists(session: aiohttp.ClientSession, url: str) -> list[Row]:
    took = []
    for _ in range(10):
        began = time.perf_counter()
        async with session.get(f"{url}/api/v1/pods?limit=1000") as response:
            await response.read()
        took.append(time.perf_counter() - began)
    return [("list of 1,000 pods over TLS, median", sorted(took)[5] * 1000, "ms", None)]


async def heartbeats(session: aiohttp.ClientSession, url: str, seconds: float) -> None:
    """What agents do when nothing happens: renew their lease."""
    path = f"{url}/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    for number in range(NODES):
        body = {"metadata": {"name": f"n{number}"}, "spec": {"leaseDurationSeconds": 9}}
        async with session.post(path, json=body) as response:
            assert response.status == 201, await response.text()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number in range(NODES):
            moment = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
            headers = {"Content-Type": "application/merge-patch+json"}
            body = json.dumps({"spec": {"renewTime": moment}}).encode()
            async with session.patch(f"{path}/n{number}", data=body, headers=headers) as response:
                assert response.status == 200, await response.text()
        await asyncio.sleep(HEARTBEAT_SECONDS)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def idle(pid: int, session: aiohttp.ClientSession, url: str) -> list[Row]:
    before = cpu_seconds(pid)
    await heartbeats(session, url, IDLE_SECONDS)
    share = (cpu_seconds(pid) - before) / IDLE_SECONDS * 100
    return [
        ("control plane idle at 3 nodes, memory", resident_megabytes(pid), "MB", 150),
        ("control plane idle at 3 nodes, CPU", share, "% of a core", 2),
    ]


async def with_session(kubeconfig: Path, work: Any) -> list[Row]:
    url, context = connect(kubeconfig)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        rows: list[Row] = await work(session, url)
        return rows


def measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as (pid, kubeconfig):
        yield from asyncio.run(with_session(kubeconfig, lambda session, url: idle(pid, session, url)))
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder), "--no-controllers") as (pid, kubeconfig):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # half the CPU for 32 TLS connections
            yield from runner.run(creates(pid, *connect(kubeconfig)))
        yield from asyncio.run(with_session(kubeconfig, lists))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    as_json = parser.parse_args().json
    for name, value, unit, goal in measure():
        if as_json:
            print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:55} {value:10.1f} {unit:12}" + (f" goal {goal:g}" if goal else ""), flush=True)


if __name__ == "__main__":
    main()
