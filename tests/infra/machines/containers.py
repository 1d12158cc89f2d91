"""Containers that stand in for machines: one that only runs (driver `docker`), a rack of hosts with a real sshd, and
whole servers that can become nodes."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.infra.machines.images.build import NODE_CAPABILITIES, NODE_DISKS, NODE_SECURITY, NODE_TMPFS, node_image
from iacorch.infra.machines.ssh.driver import FILE
from iacorch.infra.provider.resources.ssh_key import key_pair
from tests.agent import busybox

_IMAGE = "iacdrv-machine:1"
_DOCKERFILE = f"""FROM {busybox.IMAGE}
CMD ["sh", "-c", "trap 'exit 0' 37; echo started; while :; do sleep 1; done"]
"""
_SSHD = (
    "[ -e /etc/ssh/ssh_host_ed25519_key ] || /usr/local/sbin/first-boot; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e"
)


def docker(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["docker", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@cache
def machine_image() -> str:
    """An image whose container runs, and halts when systemd would."""
    busybox.image()
    docker("build", "--quiet", "--tag", _IMAGE, "-", text=_DOCKERFILE)
    return _IMAGE


def server(name: str, *, public_key: str = "", labels: Mapping[str, str] | None = None, network: str = "bridge") -> str:
    """Start a container that is a fresh Debian server, as `stacks/local` makes them; its address."""
    options = [f"--cap-add={capability}" for capability in NODE_CAPABILITIES]
    options += [f"--security-opt={option}" for option in NODE_SECURITY]
    options += [f"--tmpfs={path}:{setting}".rstrip(":") for path, setting in NODE_TMPFS.items()]
    options += [f"--volume={path}" for path in ("/sys/fs/cgroup:/sys/fs/cgroup", *NODE_DISKS)]
    options += [f"--label={label}={value}" for label, value in (labels or {}).items()]
    image = node_image(lambda line: None)
    named = ["--name", name, "--hostname", name, "-e", f"AUTHORIZED_KEY={public_key}"]
    docker("run", "--detach", "--cgroupns=host", "--network", network, *named, *options, image)
    return address_of(name)


def address_of(name: str) -> str:
    """Where other containers and this host reach it; empty while it is off."""
    return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)


def gateway() -> str:
    """Where containers of Docker's own network reach this host."""
    told = docker("network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}")
    config: dict[str, str] = json.loads(told)
    # An engine that was started for the first time does not say it: it is the first address of the subnet.
    return config.get("Gateway") or str(ipaddress.ip_network(config["Subnet"])[1])


@dataclass(frozen=True)
class Rack:
    """Running hosts: container names and the ports at which their sshd answers here."""

    ports: dict[str, int]
    private_key: str

    def hosts(self) -> list[dict[str, Any]]:
        """As an inventory has them."""
        return [
            {
                "name": name,
                "address": "127.0.0.1",
                "port": port,
                "instance_type": "rack",
                "zone": "cellar",
                "cores": 2,
                "memory_gib": 1,
                "power": {
                    "on": ["docker", "start", name],
                    "off": ["docker", "stop", "--time", "1", name],
                    "reset": ["docker", "restart", "--time", "0", name],
                    "status": ["sh", "-c", f"docker inspect {name} | grep -q 'Running.: true' && echo on || echo off"],
                },
            }
            for name, port in self.ports.items()
        ]

    def occupy(self) -> None:
        """Somebody else has all of them."""
        theirs = {"cluster": "theirs", "token": "t", "claim": "", "name": "n", "adopted_at": "2026-01-01T00:00:00Z"}
        for name in self.ports:
            docker("exec", "-i", name, "sh", "-c", f"mkdir -p /etc/iacorch && cat >{FILE}", text=json.dumps(theirs))

    def vacate(self) -> None:
        for name in self.ports:
            docker("start", name)
            docker("exec", name, "rm", "-f", FILE)


@contextmanager
def rack(suffix: str, size: int = 2) -> Iterator[Rack]:
    """Hosts for as long as the block lasts."""
    if not busybox.engine_answers():
        pytest.skip("needs a running Docker Engine")
    keys = key_pair(Ed25519PrivateKey.generate(), "rack")
    image = node_image(lambda line: None)
    names = {f"iacdrv-host-{suffix}-{number}": _free_port() for number in range(size)}
    try:
        for name, port in names.items():
            key, publish = f"AUTHORIZED_KEY={keys['publicKey']}", f"127.0.0.1:{port}:22"
            docker("run", "-d", "--name", name, "-e", key, "-p", publish, image, "sh", "-c", _SSHD)
        yield Rack(names, keys["privateKey"])
    finally:
        for name in names:
            subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


def _free_port() -> int:
    """Fixed, because Docker gives another one at each start when it may choose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
