"""How long does it take to make ten machines a control plane and nodes, how long to find nothing to do, at what cost?

    python benchmarks/bootstrap/bench.py [--json] [--machines 10]

The machines are containers of the product's node image (built if need be, not counted, as the bundles); everything from
the first SSH connection to a Ready node is. The nodes are made at once. On one host the machines share the processors
with the side that makes them, which has its own row. Needs a Docker Engine; removes what it made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.machines.images.build import NODE_CAPABILITIES, NODE_DISKS, NODE_SECURITY, NODE_TMPFS, node_image
from iacorch.infra.provider.properties import fill
from iacorch.infra.provider.resource import Made, Request, Resource
from iacorch.infra.provider.resources.control_plane import ControlPlanes
from iacorch.infra.provider.resources.machine import Machines
from iacorch.infra.provider.resources.node import Nodes
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds

PREFIX = f"iacorch-bench-{os.getpid()}"


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def machine(name: str, image: str, public_key: str) -> str:
    """Start a machine; its address."""
    arguments = ["run", "--detach", "--name", f"{PREFIX}-{name}", "--hostname", name, "--cgroupns", "host"]
    arguments += [f"--cap-add={capability}" for capability in NODE_CAPABILITIES]
    arguments += [f"--security-opt={option}" for option in NODE_SECURITY]
    arguments += [f"--tmpfs={path}:{options}".rstrip(":") for path, options in NODE_TMPFS.items()]
    arguments += [f"--volume={path}" for path in ("/sys/fs/cgroup:/sys/fs/cgroup", *NODE_DISKS)]
    arguments += ["--env", f"AUTHORIZED_KEY={public_key}"]
    docker(*arguments, image)
    return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", f"{PREFIX}-{name}")


def processor_seconds() -> float:
    """Of this process and of all that it has started and waited for: SSH, Ansible."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


async def main(as_json: bool, count: int) -> None:
    def row(name: str, value: float, goal: float | None = None, unit: str = "s") -> None:
        if as_json:
            print(json.dumps({"name": f"bootstrap: {name}", "value": value, "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:<60} {value:8.1f} {unit}", flush=True)

    machines = Machines(SystemClock())
    servers, nodes = ControlPlanes(machines, SystemIds()), Nodes(machines)
    key = key_pair(Ed25519PrivateKey.generate(), "bench")
    image = await asyncio.to_thread(node_image, lambda line: None)
    names = [f"node-{number}" for number in range(1, count)]
    addresses = {name: machine(name, image, key["publicKey"]) for name in ("server", *names)}
    for kind in ("agent", "control-plane"):  # built once for a release, not for each machine
        await bundle.build(kind, python=(3, 11), arch="x86_64")
    said: list[str] = []

    def request(name: str) -> Request:
        return Request(f"urn:pulumi:bench::bench::x::{name}", 1800.0, said.append)

    def inputs(kind: Resource, name: str, **given: Any) -> dict[str, Any]:
        connection = {"host": addresses[name], "privateKey": key["privateKey"]}
        return kind.complete(fill(kind.spec.inputs, {"connection": connection, **given}), urn=f"x::{name}")

    began, spent = time.monotonic(), processor_seconds()
    wanted = inputs(servers, "server")
    server: Made = await servers.create(request("server"), wanted)
    row("control plane", time.monotonic() - began)
    access = {name: server.outputs[name] for name in ("server", "caCert", "joinToken", "kubeconfig")}
    given = {name: inputs(nodes, name, **access) for name in names}
    began_nodes, spent_nodes = time.monotonic(), processor_seconds()
    made = await asyncio.gather(*(nodes.create(request(name), given[name]) for name in names))
    row(f"{len(names)} nodes at once", time.monotonic() - began_nodes)
    row(f"{count} machines", time.monotonic() - began, 120.0)
    row("processor time of this side, all machines", processor_seconds() - spent)
    row("processor time of this side, each node", (processor_seconds() - spent_nodes) / len(names), 2.0)

    began, spent = time.monotonic(), processor_seconds()
    said.clear()
    updates = [nodes.update(request(n), m.id, given[n], {}, m.outputs) for n, m in zip(names, made, strict=True)]
    await asyncio.gather(servers.update(request("server"), server.id, wanted, {}, server.outputs), *updates)
    row(f"{count} machines again", time.monotonic() - began, 15.0)
    row("processor time of this side again, each", (processor_seconds() - spent) / count)
    unchanged = sum(line.endswith(": 0 tasks changed something") for line in said)
    row("machines on which the second run changed something", count - unchanged, 0, "machines")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--machines", type=int, default=10)
    options = parser.parse_args()
    try:
        asyncio.run(main(options.json, options.machines))
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"name={PREFIX}").split()
        if left:
            docker("rm", "--force", "--volumes", *left)
