"""What do Services, names and attachments cost on a node?

    sudo python benchmarks/network/bench.py [--json]

Runs in a network namespace of its own (it enters one by itself), so the machine's rules are not touched. Rows: a full
load of 5,000 and 10,000 Services with three endpoints each, one endpoint more with all of them present, an agent's
restart with nothing to change, planning alone, an answered name, an attached pod. Without root: only what is pure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from dnslib import DNSRecord

from iacorch.agent.network import links
from iacorch.agent.network.dns.answer import answer, sized
from iacorch.agent.network.dns.zone import Zone, records_of
from iacorch.agent.network.services.nft import Frame
from iacorch.agent.network.services.rules import ServiceRules, service_of
from iacorch.agent.network.services.table import Table
from iacorch.agent.network.settings import Settings
from iacorch.api.networks import CLUSTER_NETWORK, SERVICE_NETWORK

Row = tuple[str, float, str, float | None]

SIZES = (5_000, 10_000)
ENDPOINTS = 3
CHANGES = 20
ANSWERS = 5_000
PODS = 20
IN_NAMESPACE = "IACORCH_BENCH_NAMESPACE"
RANGE = IPv4Network("10.244.1.0/24")
FRAME = Frame(RANGE[1], RANGE, CLUSTER_NETWORK, SERVICE_NETWORK)


class Cluster:
    """Services and slices as informers hold them."""

    def __init__(self, size: int) -> None:
        self.services = {str(n): self._service(n) for n in range(size)}
        self.slices = {f"default/{n}": [self.slice(n, ENDPOINTS)] for n in range(size)}

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.services.get(name)

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        return self.slices.get(value, [])

    def _service(self, number: int) -> dict[str, Any]:
        address = str(IPv4Address("10.96.1.0") + number)
        ports = [{"name": "http", "protocol": "TCP", "port": 80}]
        return {
            "metadata": {"namespace": "default", "name": str(number)},
            "spec": {"clusterIP": address, "clusterIPs": [address], "ports": ports},
        }

    def slice(self, number: int, endpoints: int) -> dict[str, Any]:
        first = IPv4Address("10.244.2.0") + number * 4
        part = {
            "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": str(number)}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            "endpoints": [{"addresses": [str(first + n)], "conditions": {"ready": True}} for n in range(endpoints)],
        }
        assert service_of(part) == [f"default/{number}"]
        return part


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def cpu_seconds() -> float:
    """Of this process and of the commands it ran: what others on the machine do does not count."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def rules_of(cluster: Cluster) -> ServiceRules:
    return ServiceRules(cluster, cluster, node_name="node-1", cluster_network=CLUSTER_NETWORK)


async def services(size: int) -> list[Row]:
    cluster = Cluster(size)
    rules, table = rules_of(cluster), Table()
    planning = timed(lambda: rules.refresh(("default", name) for name in cluster.services))
    began, cpu = time.perf_counter(), cpu_seconds()
    await table.apply(FRAME, rules.elements({}))
    loading, loading_cpu = time.perf_counter() - began, cpu_seconds() - cpu
    changes = []
    cpu = cpu_seconds()
    for number in range(CHANGES):
        began = time.perf_counter()
        cluster.slices[f"default/{number}"] = [cluster.slice(number, ENDPOINTS + 1)]
        rules.refresh([("default", str(number))])
        await table.apply(FRAME, rules.elements({}))
        changes.append(time.perf_counter() - began)
    changing_cpu = (cpu_seconds() - cpu) / CHANGES
    began = time.perf_counter()
    assert not await Table().apply(FRAME, rules.elements({})), "a restart changes nothing"
    restart = time.perf_counter() - began
    label = f"{size:,} Services"
    return [
        (f"{label}, planned", planning, "s", None),
        (f"{label}, loaded into an empty kernel", loading, "s", 1.1 * size / 5_000),
        (f"{label}, loaded, CPU", loading_cpu, "s", None),
        (f"{label}, one endpoint more", statistics.median(changes) * 1000, "ms", None),
        (f"{label}, one endpoint more, CPU", changing_cpu * 1000, "ms", None),
        (f"{label}, agent restarted: read and compared", restart, "s", None),
    ]


def names() -> Row:
    cluster, zone = Cluster(1_000), Zone("cluster.local")
    for name, service in cluster.services.items():
        zone.put(
            f"default/{name}", records_of(service, cluster.by_index("", f"default/{name}"), domain="cluster.local")
        )
    packet = DNSRecord.question("7.default.svc.cluster.local").pack()

    def one() -> None:
        question = DNSRecord.parse(packet)
        reply = answer(question, zone)
        assert reply is not None
        sized(reply, question, over_udp=True)

    return (
        "a name of the cluster, answered",
        timed(lambda: [one() for _ in range(ANSWERS)]) / ANSWERS * 1e6,
        "us",
        150,
    )


def attachments() -> Row:
    """Median of joining a sandbox's namespace to the node."""
    for command in ("link add wire type veth peer name other", "address add 192.0.2.1/24 dev wire", "link set wire up"):
        subprocess.run(["ip", *command.split()], check=True)
    links.ensure_node(links.NodeLinks(Settings(), IPv4Address("192.0.2.1"), RANGE))
    took = []
    for number in range(PODS):
        sandbox = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert sandbox.stdin is not None
        assert sandbox.stdout is not None
        sandbox.stdin.write(b"x")
        sandbox.stdin.flush()
        sandbox.stdout.read(1)
        pod = {"pod_uid": str(number), "sandbox_pid": sandbox.pid, "address": RANGE[number + 2], "gateway": RANGE[1]}
        took.append(timed(lambda pod=pod: links.connect_pod(**pod, mtu=links.pod_mtu())))  # type: ignore[misc]
        sandbox.communicate()
    return ("a pod joined to the network", statistics.median(took) * 1000, "ms", None)


def measure() -> Iterator[Row]:
    yield names()
    if os.environ.get(IN_NAMESPACE):
        for size in SIZES:
            yield from asyncio.run(services(size))
        yield attachments()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    as_json = parser.parse_args().json
    if os.geteuid() == 0 and not os.environ.get(IN_NAMESPACE) and shutil.which("nft") and shutil.which("unshare"):
        command = ["unshare", "-n", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, IN_NAMESPACE: "1"})
    for name, value, unit, goal in measure():
        if as_json:
            print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:55} {value:10.2f} {unit:12}" + (f" goal {goal:g}" if goal else ""), flush=True)


if __name__ == "__main__":
    main()
