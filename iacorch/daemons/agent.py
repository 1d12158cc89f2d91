"""`iacorch-agent`: what makes a machine a node.

In: flags. Out: a node that runs pods, until SIGTERM, which ends this process and leaves every container running. This
is the composition root: it makes the clock, the IDs, the client, the runtime and the network, hands each what it needs,
and decides nothing itself. Read on in `iacorch.agent.pods.pods`.

argparse and not click: the agent has 60 MB, and every import counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Protocol

import structlog

import iacorch
from iacorch.agent import join
from iacorch.agent.containers.names import ClusterDns
from iacorch.agent.containers.references import References
from iacorch.agent.health import Watching
from iacorch.agent.journal import Journal
from iacorch.agent.logs import Logs
from iacorch.agent.network.contract import PodNetwork
from iacorch.agent.network.dns.sockets import Sockets
from iacorch.agent.network.node import NodeNetwork
from iacorch.agent.node import Machine, NodeKeeper, stand_in
from iacorch.agent.pods.operations import Node
from iacorch.agent.pods.pods import Pods
from iacorch.agent.pods.prober import SocketProber
from iacorch.agent.pods.reporter import Reporter
from iacorch.agent.runtime.contract import RuntimeInfo
from iacorch.agent.runtime.docker import DockerRuntime
from iacorch.agent.tunnel import Tunnel
from iacorch.api.networks import CLUSTER_DNS_ADDRESS, CLUSTER_DOMAIN
from iacorch.client.config import Endpoint
from iacorch.client.contract import Client
from iacorch.client.http import HttpClient
from iacorch.daemons.process import KeptSockets, notify, only_one, set_up_logging
from iacorch.errors import ConfigError, IacorchError, RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock, SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.kit.tasks import Tasks

log = structlog.get_logger(__name__)


class RunningNetwork(PodNetwork, Protocol):
    """A pod network with a loop of its own."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say."""

    server: str
    ca_file: Path
    token_file: Path | None
    node_name: str
    node_address: IPv4Address
    data_dir: Path
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()
    docker_socket: str = "/var/run/docker.sock"
    sockets: Sockets | None = None
    """Keeps what names are answered on while the agent restarts."""


MakeNetwork = Callable[[Settings, Client, Clock], RunningNetwork]


def main() -> None:
    arguments = _parser().parse_args()
    set_up_logging(arguments.log_level)
    os.umask(0o022)  # volumes are read by users other than root
    sockets = KeptSockets()
    try:
        settings = Settings(
            server=arguments.server,
            ca_file=arguments.ca,
            token_file=arguments.token_file,
            node_name=arguments.node_name,
            node_address=_address(arguments.node_ip),
            data_dir=arguments.data_dir,
            labels=_labels(arguments.labels),
            taints=_taints(arguments.taints),
            docker_socket=arguments.docker_socket,
            sockets=sockets,
        )
        with only_one(settings.data_dir, "iacorch-agent"):
            is_to_start_over = asyncio.run(serve(settings))
    except IacorchError as error:
        print(f"iacorch-agent: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)  # noqa: T201 - the last words of a command
        sys.exit(1)
    if is_to_start_over:
        # The same process ID, and none of the memory that making a certificate took.
        sockets.let_go()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


async def serve(settings: Settings) -> bool:
    """Run until SIGTERM or SIGINT, or (True: start over) until there is a new certificate."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    clock = SystemClock()
    async with Tasks("main") as tasks:
        stopped = tasks.spawn(stopping.wait())
        work = tasks.spawn(_serve_until_renewed(settings, clock))
        await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            notify("STOPPING=1")
        return not stopping.is_set()


async def _serve_until_renewed(settings: Settings, clock: Clock) -> None:
    joining = join.JoinSettings(
        settings.server, settings.ca_file, settings.token_file, settings.node_name, settings.data_dir / "pki"
    )
    identity = await join.identity(joining, clock)
    if identity.is_new:
        return
    # What is still to be waited for (Docker, the control plane) is waited for here: systemd must not end an agent that
    # looks after running containers because the control plane is away.
    notify("READY=1\nSTATUS=not registered yet")
    async with Tasks("identity") as tasks:
        refused = asyncio.Event()
        tasks.spawn(_serve_with(settings, identity.endpoint, clock, refused), name="agent")
        while clock.now() < identity.renew_at and not refused.is_set():
            try:
                async with asyncio.timeout(limits.CERTIFICATE_CHECK_SECONDS):
                    await refused.wait()
            except TimeoutError:
                continue
        await join.identity(joining, clock, renew=True)


async def _serve_with(settings: Settings, endpoint: Endpoint, clock: Clock, refused: asyncio.Event) -> None:
    async with running(settings, endpoint, clock, refused=refused):
        notify("STATUS=registered")
        await asyncio.Event().wait()


def node_network(settings: Settings, client: Client, clock: Clock) -> RunningNetwork:
    """The real one, on this machine's kernel."""
    return NodeNetwork(
        client,
        node_name=settings.node_name,
        node_address=settings.node_address,
        data_dir=settings.data_dir,
        clock=clock,
        ids=SystemIds(),
        sockets=settings.sockets,
    )


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    endpoint: Endpoint,
    clock: Clock,
    *,
    make_network: MakeNetwork = node_network,
    refused: asyncio.Event | None = None,
) -> AsyncIterator[Pods]:
    """An agent that works inside the block, which is entered once the node is registered.

    `refused` is set when the server takes the endpoint's certificate no more.

    Containers of an agent that was here before are taken over first, whether or not the server answers.
    """
    data = settings.data_dir
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(HttpClient(endpoint))
        runtime = await stack.enter_async_context(
            DockerRuntime(node=settings.node_name, socket=settings.docker_socket, clock=clock)
        )
        prober = await stack.enter_async_context(SocketProber(runtime))
        machine = _machine(settings, await _runtime_info(runtime, client, settings.node_name, clock))
        network = make_network(settings, client, clock)
        reporter = Reporter(client, clock, node_name=settings.node_name)
        node = Node(
            name=settings.node_name,
            address=str(settings.node_address),
            cpu_milli=machine.runtime.cpus * 1000,
            memory_bytes=machine.runtime.memory_bytes,
            dns=ClusterDns(str(CLUSTER_DNS_ADDRESS), CLUSTER_DOMAIN),
            resolv_conf=_text(Path("/etc/resolv.conf")),
            pods_folder=data / "pods",
            client=client,
            runtime=runtime,
            network=network,
            prober=prober,
            references=References(client, data / "references"),
            reporter=reporter,
            journal=Journal(data / "journal"),
            clock=clock,
        )
        pods = Pods(node)
        health = Watching(runtime, clock, disk_trouble=lambda: node.journal.trouble)
        keeper = NodeKeeper(
            client,
            machine,
            clock,
            network_state=network.state,
            health=health.health,
            refused=refused,
            tell=reporter.event_about,
        )
        logs = Logs(pods, runtime, clock)
        tasks = await stack.enter_async_context(Tasks("agent"))
        tasks.spawn(network.run(), name="network")
        tasks.spawn(pods.run(), name="pods")
        tasks.spawn(reporter.run(), name="reporter")
        tasks.spawn(keeper.run(), name="node")
        tasks.spawn(health.run(), name="health")
        tasks.spawn(Tunnel(client, clock, {"logs": logs.open}).run(), name="tunnel")
        await keeper.registered.wait()
        yield pods


async def _runtime_info(runtime: DockerRuntime, client: Client, node_name: str, clock: Clock) -> RuntimeInfo:
    """As soon as Docker answers; the node says what it waits for."""
    pause, trouble = limits.SETBACK_START_SECONDS, "the container runtime does not answer in time"
    async with Tasks("waiting for Docker") as tasks:
        tasks.spawn(stand_in(client, node_name, clock, trouble=lambda: trouble), name="stand-in")
        while True:
            try:
                return await runtime.info()
            except RuntimeFailed as error:
                trouble = f"the container runtime does not answer: {error.message}"
                log.warning("waiting for Docker", error=error.message, again_in_seconds=pause)
                await clock.sleep(pause)
                pause = min(pause * 2, limits.SETBACK_MAX_SECONDS)


def _machine(settings: Settings, info: RuntimeInfo) -> Machine:
    disk = os.statvfs(settings.data_dir)
    return Machine(
        name=settings.node_name,
        address=str(settings.node_address),
        runtime=info,
        disk_bytes=disk.f_frsize * disk.f_blocks,
        hostname=socket.gethostname(),
        machine_id=_text(Path("/etc/machine-id")).strip(),
        system_uuid=_text(Path("/sys/class/dmi/id/product_uuid")).strip(),
        boot_id=_text(Path("/proc/sys/kernel/random/boot_id")).strip(),
        labels=settings.labels,
        taints=settings.taints,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


# Flags


_EPILOG = """\
example:
  iacorch-agent --server https://192.0.2.1:6443 --ca ca.crt --token-file token --node-name n1 --node-ip 192.0.2.2

exit codes: 0 it was stopped; 1 it could not start or go on; 2 an option is wrong.
Bootstrap writes its unit for systemd; see docs/nodes.md. Containers run on while it is away.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="iacorch-agent",
        description="Run the pods of one node on this machine's Docker Engine, until it is stopped.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"iacorch-agent {iacorch.__version__}")
    parser.add_argument("--server", required=True, metavar="URL", help="https://HOST:PORT of the control plane")
    parser.add_argument("--ca", required=True, type=Path, metavar="FILE", help="the control plane's CA, PEM")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the join token; needed until joined")
    parser.add_argument(
        "--node-name", required=True, metavar="NAME", help="of the Node; another machine must not have it"
    )
    parser.add_argument("--node-ip", required=True, metavar="ADDRESS", help="where other nodes reach this one")
    parser.add_argument("--data-dir", type=Path, default=Path("/var/lib/iacorch-agent"), metavar="DIR",
                        help="certificate, journal, volumes (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--labels", default="", metavar="K=V,...", help="labels of the Node, beside those that the agent finds itself"
    )
    parser.add_argument(
        "--taints",
        default="",
        metavar="K=V:EFFECT,...",
        help="taints of a Node that is new; later they are yours to change",
    )
    parser.add_argument("--docker-socket", default="/var/run/docker.sock", metavar="PATH",
                        help="(%(default)s)")  # fmt: skip
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info",
                        help="what is logged, on standard error (%(default)s)")  # fmt: skip
    return parser


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise ConfigError(f"expected an IPv4 address, found {text!r}", where="--node-ip") from error


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"expected NAME=VALUE, found {pair!r}", where="--labels")
        labels[name] = value
    return labels


def _taints(text: str) -> tuple[dict[str, str], ...]:
    taints = []
    for entry in filter(None, text.split(",")):
        pair, _, effect = entry.rpartition(":")
        name, _, value = pair.partition("=")
        if not name or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ConfigError(
                f"expected NAME=VALUE:EFFECT, found {entry!r}",
                where="--taints",
                hint="EFFECT is NoSchedule, PreferNoSchedule or NoExecute",
            )
        taints.append({"key": name, "effect": effect} | ({"value": value} if value else {}))
    return tuple(taints)


if __name__ == "__main__":
    main()
