"""A machine without a way out becomes a node, from one file: real SSH, Ansible and Docker, no route."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.cli.commands.bundle import bundle as bundle_command
from iacorch.infra.bootstrap.bundles import offline
from iacorch.infra.provider.properties import fill
from iacorch.infra.provider.resource import Resource
from iacorch.infra.provider.resources.control_plane import ControlPlanes
from iacorch.infra.provider.resources.machine import Machines
from iacorch.infra.provider.resources.node import Nodes
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.agent import busybox
from tests.infra.provider.test_real_machine import Machine, docker

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine")]


@pytest.fixture
def island() -> Iterator[str]:
    """A network that leads nowhere."""
    name = f"iacboot-{uuid4().hex[:8]}"
    docker("network", "create", "--internal", name)
    try:
        yield name
    finally:
        subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)


@pytest.fixture
def key() -> dict[str, str]:
    return key_pair(Ed25519PrivateKey.generate(), "test")


@pytest.fixture
def machine(key: dict[str, str], island: str) -> Iterator[Machine]:
    name = f"iacboot-{uuid4().hex[:8]}"
    try:
        yield Machine(name, key["publicKey"], network=island)
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


async def test_a_machine_without_a_way_out_becomes_a_node(
    machine: Machine, key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, image = tmp_path / "site.tar", busybox.image()
    made = await asyncio.to_thread(
        CliRunner().invoke, bundle_command, ["-o", str(file), "--image", image, "--no-wheels"]
    )
    assert made.exit_code == 0, made.output
    # On the site there is nothing but the file: an empty cache, and no index to ask.
    cache = tmp_path / "site" / "bundles"
    manifest = offline.load(file, cache)
    assert [len(manifest.of(kind)) for kind in ("bundles", "packages", "images")] == [2, 1, 1]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    machine.run("ip", "route", "delete", "default")  # the Engine's own way is shut, but named
    machines = Machines(SystemClock(), cache=cache)
    servers, nodes = ControlPlanes(machines, SystemIds()), Nodes(machines)

    def inputs(resource: Resource, name: str, **given: Any) -> dict[str, Any]:
        connection = {"host": machine.address, "privateKey": key["privateKey"]}
        return resource.complete(fill(resource.spec.inputs, {"connection": connection, **given}), urn=f"x::{name}")

    server = await servers.create(machine.request("server"), inputs(servers, "server"))
    access = {name: server.outputs[name] for name in ("server", "caCert", "joinToken", "kubeconfig")}
    given = inputs(nodes, "one", **access)
    node = await nodes.create(machine.request("one"), given)
    assert node.outputs["ready"] is True
    assert machine.run("docker", "image", "inspect", "--format", "{{.Id}}", image)
    assert not re.findall("iacorch-(?:packages|images)", machine.run("ls", "/var/cache")), "what was brought is gone"
    assert not sorted(path for path in cache.glob("deps-*")), "nothing was built here"
    await nodes.update(machine.request("one"), node.id, given, {}, node.outputs)
    assert "one: 0 tasks changed something" in machine.said
