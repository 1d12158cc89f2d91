"""What a machine is, asked in one SSH round trip.

In: an `SshSession`. Out: `Facts`, a frozen value that `plan` decides on. `facts.sh` asks, `parse` reads its answer and
is pure. Called by the provider's Node and ControlPlane before anything is changed. Read next: `plan.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from iacorch.infra.bootstrap.errors import RemoteFailed
from iacorch.infra.bootstrap.ssh import SshSession
from iacorch.kit.clock import Clock

Protocol = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True, order=True)
class Python:
    """An interpreter that can carry us: it has ssl and ctypes."""

    version: tuple[int, int]
    path: str


@dataclass(frozen=True, slots=True)
class Installation:
    """What is there of ours, each by unit: what systemd says of it, who put it there, which bundle it runs."""

    units: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    bundles: Mapping[str, str] = field(default_factory=dict)

    def active(self, unit: str) -> bool:
        return self.units.get(unit) == "active"


@dataclass(frozen=True, slots=True)
class Facts:
    """One machine at one moment. Sizes in bytes; `clock_offset_seconds` is how far its clock is ahead of ours."""

    hostname: str = ""
    os_id: str = ""
    os_like: tuple[str, ...] = ()
    os_version: str = ""
    os_name: str = ""
    kernel: str = ""
    arch: str = ""
    systemd: bool = False
    pythons: tuple[Python, ...] = ()
    cpus: int = 0
    memory_bytes: int = 0
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    clock_offset_seconds: float = 0.0
    ports: frozenset[tuple[Protocol, int]] = frozenset()
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, IPv4Network], ...] = ()
    """Networks that the machine reaches, each with its link: neither by the default route nor of the agent's making."""
    pod_network: bool = False
    """Whether the agent's own links are there, with their addresses and their port; they stay when the agent goes."""
    missing_modules: tuple[str, ...] = ()
    """Parts that pods need and that this kernel does not have."""
    docker_version: str = ""
    docker_config: Literal["", "ours", "foreign"] = ""
    """Who wrote /etc/docker/daemon.json: nobody, we, or somebody else."""
    docker_in_use: bool = False
    """Whether the Docker Engine has containers or networks that are not ours."""
    has_nft: bool = False
    lacks_apparmor_parser: bool = False
    """Whether the kernel confines by AppArmor, and what loads its profiles is missing."""
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Files that bootstrap writes: path -> (mode, SHA-256), root's only."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Unit -> what systemd says, as `active enabled`."""
    complete_bundles: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    """Sets of images that an air-gapped bundle brought."""
    installation: Installation = Installation()


async def gather(session: SshSession, clock: Clock) -> Facts:
    """Ask the machine. Raises a HostError leaf."""
    script = resources.files(__package__).joinpath("facts.sh").read_text(encoding="utf-8")
    before = clock.now().timestamp()
    text = await session.run(script)
    after = clock.now().timestamp()
    try:
        return parse(text, asked_between=(before, after))
    except ValueError as error:
        raise RemoteFailed(session.target.host, f"its description cannot be read: {error}") from error


def parse(text: str, *, asked_between: tuple[float, float] = (0.0, 0.0)) -> Facts:
    """Read the answer of `facts.sh`. Raises ValueError on an answer that is cut off or not one.

    `asked_between` are our clock's readings before and after: a remote clock inside that span counts as exact.
    """
    lines = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
    if not lines or lines[-1] != ("end", "1"):
        raise ValueError("the answer is cut off")
    one = dict(lines)

    def every(key: str) -> list[str]:
        return [value for name, value in lines if name == key]

    def pairs(key: str) -> dict[str, str]:
        return {first: rest for first, _, rest in (value.partition(" ") for value in every(key))}

    return Facts(
        hostname=one.get("hostname", ""),
        os_id=one.get("os_id", ""),
        os_like=tuple(one.get("os_like", "").split()),
        os_version=one.get("os_version", ""),
        os_name=one.get("os_name", ""),
        kernel=one.get("kernel", ""),
        arch=one.get("arch", ""),
        systemd="systemd" in one,
        pythons=tuple(dict.fromkeys(_python(value) for value in every("python"))),
        cpus=int(one.get("cpus") or 0),
        memory_bytes=int(one.get("memory_kib") or 0) * 1024,
        free_bytes={path: int(kib) * 1024 for path, kib in pairs("free_kib").items()},
        clock_offset_seconds=_offset(one.get("clock", ""), asked_between),
        ports=frozenset(_port(value) for value in every("port")),
        addresses=tuple(every("address")),
        routes=tuple(_route(value) for value in every("route")),
        pod_network="pod_network" in one,
        missing_modules=tuple(every("missing")),
        docker_version=one.get("docker", ""),
        docker_config=_docker_config(one.get("docker_config", "")),
        docker_in_use="docker_in_use" in one,
        has_nft="nft" in one,
        lacks_apparmor_parser="lacks_apparmor_parser" in one,
        files={path: _file(rest) for path, rest in pairs("file").items()},
        services=pairs("service"),
        complete_bundles=frozenset(every("complete")),
        images=frozenset(every("images")),
        installation=Installation(pairs("unit"), pairs("owner"), pairs("bundle")),
    )


def _python(value: str) -> Python:
    version, _, path = value.partition(" ")
    major, minor = version.split(".")
    return Python((int(major), int(minor)), path)


def _file(value: str) -> tuple[str, str]:
    mode, _, digest = value.partition(" ")
    return mode, digest


def _port(value: str) -> tuple[Protocol, int]:
    protocol, _, number = value.partition(" ")
    return ("udp" if protocol == "udp" else "tcp", int(number, 16))


def _route(value: str) -> tuple[str, IPv4Network]:
    """The kernel writes addresses in its own order of bytes, which is the little one on all machines we know."""
    link, network, mask = value.split()
    address, bits = (IPv4Address(bytes.fromhex(part)[::-1]) for part in (network, mask))
    return link, IPv4Network(f"{address}/{bits}")


def _docker_config(value: str) -> Literal["", "ours", "foreign"]:
    return "ours" if value == "ours" else "foreign" if value else ""


def _offset(value: str, asked_between: tuple[float, float]) -> float:
    """Seconds ahead of us (negative: behind). Whole seconds: not every `date` knows fractions."""
    seconds = float(value.partition(".")[0])
    before, after = asked_between
    return min(0.0, seconds + 1 - before) or max(0.0, seconds - after)
