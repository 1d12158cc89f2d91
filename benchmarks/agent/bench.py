"""How much does the agent add, how fast does it mend, how small is it?

    python benchmarks/agent/bench.py [--json]

Needs root and a running Docker Engine. Rows: the time from the acknowledged create of a pod to its started container,
less the time of the same four Docker calls made bare, taken in turns so that both see the same machine; the time from
the kill of a container to its next start; memory and CPU of an idle `iacorch-agent` with the kernel's network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from iacorch.agent import join
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.agent.runtime.contract import ContainerSpec, Owner, SandboxSpec
from iacorch.agent.runtime.docker import DockerRuntime
from iacorch.api.catalogue import POD
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.daemons import agent
from iacorch.kit.clock import SystemClock
from tests.agent import busybox

ROUNDS = 15
CRASHES = 5
IDLE_SECONDS = 20.0
TOKEN = "a-token-for-the-agent-benchmark"
LINK, SPACE = "iacbench0", "iacbench"
HERE, THERE = "192.168.215.1", "192.168.215.2"
FOREVER = ("/bin/sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")

Row = tuple[str, float, str, float | None]
Starts = dict[str, list[float]]


class StillNetwork(FakePodNetwork):
    async def run(self) -> None:
        """There is nothing to keep in step."""


@contextlib.contextmanager
def control_plane(folder: Path, host: str) -> Iterator[str]:
    """A running iacorchd without controllers; yields its URL."""
    (folder / "token").write_text(TOKEN)
    flags = ["--data-dir", str(folder / "server"), "--listen", f"{host}:0", "--no-controllers"]
    flags += ["--join-token-file", str(folder / "token"), "--log-level", "info"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "iacorch.daemons.controlplane", *flags], stderr=log, stdout=log
        )
    try:
        deadline = time.monotonic() + 60
        while b"event=serving" not in (folder / "server.log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"iacorchd did not start:\n{(folder / 'server.log').read_text()}")
            time.sleep(0.05)
        yield read_kubeconfig(folder / "server" / "admin.kubeconfig").url
    finally:
        process.terminate()
        process.wait(timeout=30)


def settings_of(folder: Path, url: str, address: str) -> agent.Settings:
    data = folder / "agent"
    data.mkdir(exist_ok=True)
    return agent.Settings(
        url, folder / "server" / "ca.crt", folder / "token", f"iacbench-{uuid4()}", IPv4Address(address), data
    )


async def bare(runtime: DockerRuntime, number: int) -> float:
    """The four calls that a pod of one container needs, in seconds."""
    uid = str(uuid4())
    began = time.perf_counter()
    sandbox = await runtime.create_sandbox(SandboxSpec(Owner(uid, "bench", f"bare-{number}"), hostname="bare"))
    spec = ContainerSpec(Owner(uid, "bench", f"bare-{number}", "app"), sandbox.id, busybox.IMAGE, FOREVER)
    container = await runtime.create_container(spec)
    await runtime.start(container)
    took = time.perf_counter() - began
    await runtime.remove(container)
    await runtime.remove(sandbox.id)
    return took


@contextlib.asynccontextmanager
async def working_agent(folder: Path, url: str, starts: Starts) -> AsyncIterator[tuple[agent.Settings, HttpClient]]:
    """An agent in this process; `starts` gets the moments at which a pod's container was started."""
    start = DockerRuntime.start

    async def noted(self: DockerRuntime, container_id: str) -> None:
        await start(self, container_id)
        moment = time.perf_counter()
        state = await self.inspect(container_id)
        if state.owner.name:
            starts.setdefault(state.owner.pod_name, []).append(moment)

    settings = settings_of(folder, url, "127.0.0.1")
    joining = join.JoinSettings(
        url, settings.ca_file, settings.token_file, settings.node_name, settings.data_dir / "pki"
    )
    endpoint = (await join.identity(joining, SystemClock())).endpoint
    DockerRuntime.start = noted  # type: ignore[method-assign]
    try:
        async with (
            agent.running(settings, endpoint, SystemClock(), make_network=lambda _s, _c, clock: StillNetwork(clock)),
            HttpClient(read_kubeconfig(folder / "server" / "admin.kubeconfig")) as admin,
        ):
            yield settings, admin
    finally:
        DockerRuntime.start = start  # type: ignore[method-assign]
        async with DockerRuntime(node=settings.node_name) as runtime:
            for entry in await runtime.list():
                await runtime.remove(entry.id)


async def started(starts: Starts, name: str, count: int) -> float:
    async with asyncio.timeout(60):
        while True:
            if len(moments := starts.get(name, [])) >= count:
                return moments[count - 1]
            await asyncio.sleep(0.002)


async def starting(folder: Path, url: str) -> AsyncIterator[Row]:
    starts: Starts = {}
    plain: list[float] = []
    ours: list[float] = []
    async with (
        working_agent(folder, url, starts) as (settings, admin),
        DockerRuntime(node=f"iacbench-{uuid4()}") as runtime,
    ):
        container = {"name": "app", "image": busybox.IMAGE, "command": list(FOREVER)}
        for number in range(ROUNDS):
            plain.append(await bare(runtime, number))
            name = f"pod-{number}"
            spec = {"nodeName": settings.node_name, "terminationGracePeriodSeconds": 1, "containers": [container]}
            body = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
            await admin.create(POD, body)
            began = time.perf_counter()
            ours.append(await started(starts, name, 1) - began)
            if number >= CRASHES:
                await admin.delete(POD, "default", name, grace_seconds=0)
        yield "bare Docker calls of a pod, median", statistics.median(plain) * 1000, "ms", None
        yield "pod created to container started, median", statistics.median(ours) * 1000, "ms", None
        yield "added to starting a pod, median", (statistics.median(ours) - statistics.median(plain)) * 1000, "ms", 100
        mended = []
        for number in range(CRASHES):
            found = await admin.get(POD, "default", f"pod-{number}")
            container_id = found["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
            began = time.perf_counter()
            await runtime.kill(container_id)
            mended.append(await started(starts, f"pod-{number}", 2) - began)
        yield "killed container started again, median", statistics.median(mended), "s", 2
        yield "killed container started again, slowest", max(mended), "s", 2


@contextlib.contextmanager
def network_space() -> Iterator[None]:
    """A network namespace for the agent, so that its links and rules are not this machine's."""
    for words in (
        f"netns add {SPACE}",
        f"link add {LINK} type veth peer name eth0 netns {SPACE}",
        f"addr add {HERE}/24 dev {LINK}",
        f"link set {LINK} up",
        f"-n {SPACE} addr add {THERE}/24 dev eth0",
        f"-n {SPACE} link set eth0 up",
        f"-n {SPACE} link set lo up",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "delete", LINK], check=False)
        subprocess.run(["ip", "netns", "delete", SPACE], check=False)


def idle(folder: Path) -> Iterator[Row]:
    with network_space(), control_plane(folder, HERE) as url:
        settings = settings_of(folder, url, THERE)
        command = ["ip", "netns", "exec", SPACE, sys.executable, "-m", "iacorch.daemons.agent", "--server", url]
        command += ["--ca", str(settings.ca_file), "--token-file", str(settings.token_file), "--node-ip", THERE]
        command += ["--node-name", settings.node_name, "--data-dir", str(settings.data_dir)]
        with (folder / "agent.log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log)
        try:
            deadline = time.monotonic() + 60
            while b"event=registered" not in (folder / "agent.log").read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"iacorch-agent did not start:\n{(folder / 'agent.log').read_text()}")
                time.sleep(0.05)
            time.sleep(3)
            before = cpu_seconds(process.pid)
            time.sleep(IDLE_SECONDS)
            yield "agent idle, memory", resident_mib(process.pid), "MiB", 60
            yield "agent idle, CPU", (cpu_seconds(process.pid) - before) / IDLE_SECONDS * 100, "% of a core", 0.5
        finally:
            process.terminate()
            process.wait(timeout=30)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def show(row: Row, *, as_json: bool) -> None:
    name, value, unit, goal = row
    if as_json:
        print(json.dumps({"name": name, "value": value, "unit": unit, "goal": goal}), flush=True)
    else:
        print(f"{name:<44} {value:>10,.2f} {unit:<12} {'' if goal is None else f'goal {goal:g}'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    as_json: bool = parser.parse_args().json
    if os.geteuid() or not busybox.engine_answers():
        sys.exit("needs root and a running Docker Engine")
    busybox.image()

    async def in_process(folder: Path, url: str) -> None:
        async for row in starting(folder, url):
            show(row, as_json=as_json)

    with tempfile.TemporaryDirectory(prefix="iacbench-") as first, control_plane(Path(first), "127.0.0.1") as url:
        asyncio.run(in_process(Path(first), url))
    with tempfile.TemporaryDirectory(prefix="iacbench-") as second:
        for row in idle(Path(second)):
            show(row, as_json=as_json)


if __name__ == "__main__":
    main()
