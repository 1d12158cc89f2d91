"""One machine from nothing to control plane and node, and back: real SSH, Ansible and Docker, and a pod that answers.

The machine is a container of the product's node image, which is built when it is not there (a minute or two, once a
machine). The stages build on each other, so they are one test.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.api.catalogue import NODE, POD
from iacorch.infra.bootstrap.errors import HostError
from iacorch.infra.bootstrap.sources import PACKAGE
from iacorch.infra.provider.properties import fill
from iacorch.infra.provider.resource import HalfMade, Made, Request, Resource
from iacorch.infra.provider.resources.cluster import opened
from iacorch.infra.provider.resources.control_plane import ControlPlanes
from iacorch.infra.provider.resources.machine import Machines
from iacorch.infra.provider.resources.manifest import Manifests
from iacorch.infra.provider.resources.node import Nodes
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.agent import busybox
from tests.infra.machines import containers
from tests.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine")]
CLOCK = SystemClock()
PATIENCE_SECONDS = 600.0
NODE_PORT = 30080
INSTALL_PACKAGES = """
set -e
until [ "$(systemctl is-system-running)" = running ]; do [ "$(systemctl is-system-running)" != degraded ] || break; done
export DEBIAN_FRONTEND=noninteractive
install="apt-get -qy install --no-install-recommends docker.io nftables"
$install >/dev/null 2>&1 || { apt-get -q update >/dev/null && $install >/dev/null; }
docker version >/dev/null
"""
LOOK_OF_A_MACHINE = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /dev -o -path /var/log \
  -o -path /var/cache/apt -o -path /var/lib/apt \) -prune -o -printf '%y %m %u:%g %p\n' | sort
find /run -maxdepth 1 -name 'iac*'
find /var/lib/docker -maxdepth 1 -printf '%p\n' | sort
docker ps -aq; docker images -q; docker volume ls -q
systemctl list-unit-files --no-legend --no-pager | sort
systemctl list-units --failed --no-legend --no-pager
ls /sys/class/net
ip -o -4 addr show | cut -d ' ' -f 2-7
ip -4 route | sed 's/ *$//'; ip rule
nft --stateless list ruleset | sort
cat /etc/passwd /etc/group
awk '{print $2,$3}' /proc/mounts | sort
"""
"""Files, containers, images, units, links, routes, rules, users, mounts."""


class Machine:
    """A container that is a fresh Debian server."""

    def __init__(self, name: str, public_key: str, *, network: str = "bridge") -> None:
        self.name = name
        self.said: list[str] = []
        self.address = containers.server(name, public_key=public_key, network=network)

    def run(self, *command: str, stdin: bytes = b"") -> str:
        return docker("exec", "-i", self.name, *command, stdin=stdin)

    def load_image(self) -> None:
        saved = subprocess.run(["docker", "save", busybox.image()], check=True, capture_output=True).stdout
        self.run("docker", "load", stdin=saved)

    def request(self, name: str) -> Request:
        return Request(f"urn:pulumi:t::t::x::{name}", PATIENCE_SECONDS, self.said.append)


def docker(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def key() -> dict[str, str]:
    return key_pair(Ed25519PrivateKey.generate(), "test")


@pytest.fixture
def machine(key: dict[str, str]) -> Iterator[Machine]:
    name = f"iacboot-{uuid4().hex[:8]}"
    try:
        yield Machine(name, key["publicKey"])
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


def web() -> Sequence[dict[str, Any]]:
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": busybox.image(),
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "echo it works >/www/index.html; exec httpd -f -p 80 -h /www"],
        "readinessProbe": {"httpGet": {"port": 80, "path": "/index.html"}, "periodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }
    ports = [{"port": 80, "nodePort": NODE_PORT}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": labels, "ports": ports},
    }
    return [deployment, service]


async def page(url: str) -> str:
    """What is answered, once something is."""

    def ask() -> str:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    return await until(lambda: asyncio.to_thread(ask), bool)


async def test_a_machine_that_is_not_fit_is_refused_by_name_and_left_as_it_was(
    machine: Machine, key: dict[str, str]
) -> None:
    servers = ControlPlanes(Machines(CLOCK), SystemIds())

    async def refusal(private_key: str = key["privateKey"]) -> str:
        connection = {"host": machine.address, "privateKey": private_key}
        given = servers.complete(fill(servers.spec.inputs, {"connection": connection}), urn="x::server")
        with pytest.raises(HostError) as refused:
            await servers.create(machine.request("server"), given)
        return f"{refused.value.message} {refused.value.hint}"

    wrong_key = await refusal(key_pair(Ed25519PrivateKey.generate(), "other")["privateKey"])
    assert machine.address in wrong_key
    assert "key" in wrong_key

    machine.run("sh", "-c", "mv /usr/bin/date /usr/bin/date.real; mv /usr/bin/python3 /usr/bin/python3.real")
    machine.run("sh", "-c", "for p in /usr/bin/python3.1?; do mv $p /usr/bin/hidden-${p##*/}; done")
    late = "#!/bin/sh\necho $(($(date.real +%s) - 3600)).0\n"
    machine.run("sh", "-c", "cat >/usr/bin/date; chmod +x /usr/bin/date", stdin=late.encode())
    docker("exec", "--detach", machine.name, "/usr/bin/hidden-python3.11", "-m", "http.server", "6443")
    machine.run("mount", "-t", "tmpfs", "-o", "size=64m", "none", "/opt")
    machine.run("sh", "-c", "until grep -q ':192B' /proc/net/tcp; do :; done")  # the server listens
    unfit = await refusal()
    assert machine.address in unfit
    for reason in ("Python", "port 6443", "free at /opt"):
        assert reason in unfit, unfit
    # An hour, give or take what the question took.
    assert re.search(r"clock-off: 3[56]\d\d s behind", unfit), unfit
    assert "apt-get install python3" in unfit, "what to do"
    assert "iacorch" not in machine.run("ls", "/etc", "/opt", "/var/lib"), "nothing was changed"


def another_build(folder: Path, *, broken: bool = False) -> Path:
    """Our package with a change that makes it another build: harmless, or its agent ends as it starts."""
    package = folder / "iacorch"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    if broken:
        (package / "daemons" / "agent.py").write_text("raise SystemExit('this build is broken')\n")
    else:
        (package / "py.typed").write_text("another build\n")
    return package


def tool(machine: Machine, script: str) -> str:
    return machine.run("sh", "-c", script)


async def becomes(machine: Machine, wanted: str) -> list[str]:
    """The differences between the machine and `wanted`, once there are none or patience ends."""
    found = ""

    async def look() -> str:
        nonlocal found
        found = await asyncio.to_thread(tool, machine, LOOK_OF_A_MACHINE)
        return found

    with suppress(TimeoutError):
        await until(look, lambda seen: seen == wanted)
    return list(unified_diff(wanted.splitlines(), found.splitlines(), n=0, lineterm=""))


async def test_a_machine_from_nothing_to_a_node_and_back(machine: Machine, key: dict[str, str], tmp_path: Path) -> None:
    # What the distribution's packages bring stays on a machine; here it is there before, so nothing else may be left.
    await asyncio.to_thread(tool, machine, INSTALL_PACKAGES)
    before = await asyncio.to_thread(tool, machine, LOOK_OF_A_MACHINE)
    machines = Machines(CLOCK)
    servers, nodes, manifests = ControlPlanes(machines, SystemIds()), Nodes(machines), Manifests(CLOCK)

    def inputs(resource: Resource, name: str, *, private_key: str = key["privateKey"], **given: Any) -> dict[str, Any]:
        connection = {"host": machine.address, "privateKey": private_key}
        return resource.complete(fill(resource.spec.inputs, {"connection": connection, **given}), urn=f"x::{name}")

    server: Made = await servers.create(machine.request("server"), inputs(servers, "server"))
    access = {name: server.outputs[name] for name in ("server", "caCert", "joinToken", "kubeconfig")}
    given = inputs(nodes, "one", **access)
    node = await nodes.create(machine.request("one"), given)
    assert node.outputs["ready"] is True
    assert node.outputs["version"].startswith("v1.")

    await asyncio.to_thread(machine.load_image)
    app = {"kubeconfig": access["kubeconfig"], "objects": list(web()), "namespace": "default", "wait": True}
    made = await manifests.create(machine.request("web"), app)
    assert made.outputs["inSync"] is True
    assert await page(f"http://{machine.address}:{NODE_PORT}/index.html") == "it works\n"

    again = await nodes.update(machine.request("one"), node.id, given, {}, node.outputs)
    assert "one: 0 tasks changed something" in machine.said
    assert again.outputs["ready"] is True

    # Another build takes its place beside it; one that does not work is taken back. No container is touched.
    running = machine.run("docker", "ps", "--quiet", "--no-trunc")
    newer = Nodes(Machines(CLOCK, package=another_build(tmp_path / "newer")))
    node = await newer.update(machine.request("one"), node.id, given, {}, again.outputs)
    assert node.outputs["bundle"] != again.outputs["bundle"]
    broken = Nodes(Machines(CLOCK, package=another_build(tmp_path / "broken", broken=True)))
    with pytest.raises(HalfMade, match=f"so build {node.outputs['bundle']} runs again: .*this build is broken") as kept:
        await broken.update(machine.request("one"), node.id, given, {}, node.outputs)
    node = kept.value.made
    unit = machine.run("systemctl", "show", "--property=ActiveState,ExecStart", "iacorch-agent")
    assert "ActiveState=active" in unit
    assert str(node.outputs["bundle"]) in unit
    assert machine.run("docker", "ps", "--quiet", "--no-trunc") == running
    assert await page(f"http://{machine.address}:{NODE_PORT}/index.html") == "it works\n"

    await nodes.delete(machine.request("one"), node.id, given, node.outputs)
    async with opened(access["kubeconfig"]) as client:
        assert not (await client.list(NODE)).items
        pods = (await client.list(POD, "default")).items
        assert not any(pod["spec"].get("nodeName") for pod in pods), "the pod waits for another node"
    assert machine.run("docker", "ps", "--all", "--quiet") == ""
    assert await nodes.read(machine.request("one"), node.id, given, node.outputs) is None
    await servers.delete(machine.request("server"), server.id, inputs(servers, "server"), server.outputs)
    left = await becomes(machine, before)
    assert not left, "\n".join(left)
