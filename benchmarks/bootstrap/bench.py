"""How long does it take to make three machines a control plane and two nodes, and how long to find nothing to do?

    python benchmarks/bootstrap/bench.py [--json]

The machines are containers of the product's node image (built if need be, not counted); everything from the first SSH
connection to a Ready node is. The two nodes are made at once. Needs a Docker Engine; removes what it made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.infra.machines.images.build import NODE_CAPABILITIES, NODE_DISKS, NODE_SECURITY, NODE_TMPFS, node_image
from iacorch.infra.provider.control_plane import ControlPlanes
from iacorch.infra.provider.machine import Machines
from iacorch.infra.provider.node import Nodes
from iacorch.infra.provider.properties import fill
from iacorch.infra.provider.resource import Made, Request, Resource
from iacorch.infra.provider.ssh_key import key_pair
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


async def main(as_json: bool) -> None:
    def row(name: str, seconds: float, goal: float | None = None) -> None:
        if as_json:
            print(json.dumps({"name": f"bootstrap: {name}", "value": seconds, "unit": "s", "goal": goal}), flush=True)
        else:
            print(f"{name:<40} {seconds:8.1f} s", flush=True)

    machines = Machines(SystemClock())
    servers, nodes = ControlPlanes(machines, SystemIds()), Nodes(machines)
    key = key_pair(Ed25519PrivateKey.generate(), "bench")
    image = await asyncio.to_thread(node_image, lambda line: None)
    addresses = {name: machine(name, image, key["publicKey"]) for name in ("server", "one", "two")}

    def request(name: str) -> Request:
        return Request(f"urn:pulumi:bench::bench::x::{name}", 600.0, lambda line: print(f"  {line}", file=sys.stderr))

    def inputs(resource: Resource, name: str, **given: Any) -> dict[str, Any]:
        connection = {"host": addresses[name], "privateKey": key["privateKey"]}
        return resource.complete(fill(resource.spec.inputs, {"connection": connection, **given}), urn=f"x::{name}")

    async def timed(name: str, work: Awaitable[Any]) -> Any:
        before = time.monotonic()
        answer = await work
        row(name, time.monotonic() - before)
        return answer

    began = time.monotonic()
    wanted = inputs(servers, "server")
    server: Made = await timed("control plane", servers.create(request("server"), wanted))
    access = {name: server.outputs[name] for name in ("server", "caCert", "joinToken", "kubeconfig")}
    both = {name: inputs(nodes, name, **access) for name in ("one", "two")}
    made = await timed(
        "two nodes at once", asyncio.gather(*(nodes.create(request(name), given) for name, given in both.items()))
    )
    row("three machines", time.monotonic() - began, 60.0)
    again = made[0]
    await timed(
        "a node again, nothing to change", nodes.update(request("one"), again.id, both["one"], {}, again.outputs)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    try:
        asyncio.run(main(parser.parse_args().json))
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"name={PREFIX}").split()
        if left:
            docker("rm", "--force", "--volumes", *left)
