"""What is to be done to a machine, or why nothing will be. Pure.

In: `Facts` and what is wanted (`NodeConfig` or `ControlPlaneConfig`). Out: a `Plan` (the interpreter to use and the
variables of the roles in `playbooks/`), or every `Refusal` at once, so that a person repairs a machine in one go.
Called by the provider between `facts.gather` and `runner.run_playbook`. The roles apply these variables and decide
nothing themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from iacorch.api.networks import CLUSTER_NETWORK, SERVICE_NETWORK
from iacorch.infra.bootstrap.errors import Refusal
from iacorch.infra.bootstrap.facts import Facts, Protocol, Python
from iacorch.kit import limits

BundleKind = Literal["agent", "control-plane"]
PYTHONS: Final = ((3, 11), (3, 12), (3, 13), (3, 14))
"""Interpreters for which every locked requirement has a wheel."""
ARCHITECTURES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
VXLAN_PORT: Final = 8472
AGENT_UNIT: Final = "iacorch-agent"
CONTROL_PLANE_UNIT: Final = "iacorchd"
AGENT_DATA_DIR: Final = "/var/lib/iacorch-agent"
CONTROL_PLANE_DATA_DIR: Final = "/var/lib/iacorch"

_RANGES: Final = {"pods' network": CLUSTER_NETWORK, "services' range": SERVICE_NETWORK}
_DOCKER_CONFIG: Final[Mapping[str, Any]] = {
    "bridge": "none",  # pods get their network from the agent
    "iptables": False,  # so do their rules: Docker's FORWARD policy would drop what nodes route for pods
    "labels": ["iacorch.dev/managed=true"],  # how `facts` knows this file as ours
    "live-restore": True,  # containers survive a restart of dockerd
    "log-driver": "json-file",
    "log-opts": {"max-file": "3", "max-size": "10m"},
}


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a machine is to become. `owner` is the token of the resource that declares it."""

    name: str
    server: str
    ca_cert: str
    join_token: str = field(repr=False)
    owner: str
    node_ip: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """What the control plane's machine is to become. `advertise` is HOST:PORT as nodes and users reach it."""

    advertise: str
    join_token: str = field(repr=False)
    owner: str
    port: int = 6443
    tls_sans: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Which daemon, for which interpreter, with which arguments and files (name -> content, under /etc/iacorch).

    `variables` are those of the roles; `runner` adds the bundle's once it is built.
    """

    bundle: BundleKind
    unit: str
    owner: str
    python: Python
    arch: str
    arguments: tuple[str, ...]
    files: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, Any]


def plan_node(facts: Facts, config: NodeConfig, *, host: str) -> Plan | tuple[Refusal, ...]:
    """How to make the machine at `host` a node."""
    refusals = (
        *_machine_refusals(facts),
        *_kernel_refusals(facts),
        *_space_refusals(facts, limits.NODE_FREE_BYTES, installed=AGENT_UNIT),
        # What an agent made in the kernel stays when somebody takes the agent away.
        *_port_refusals(
            facts, {} if facts.pod_network else {("udp", VXLAN_PORT): "the pod network"}, holder=AGENT_UNIT
        ),
        *_range_refusals(facts),
        *_owner_refusals(facts, AGENT_UNIT, config.owner),
    )
    if refusals:
        return refusals
    return Plan(
        bundle="agent",
        unit=AGENT_UNIT,
        owner=config.owner,
        python=_pick(facts.pythons),
        arch=ARCHITECTURES[facts.arch],
        arguments=_agent_arguments(config, config.node_ip or node_ip(facts, host)),
        files={"ca.crt": config.ca_cert, "agent-token": config.join_token},
        variables={
            "docker_packages": _docker_packages(facts),
            # Somebody else's settings of their Docker Engine stay theirs.
            "docker_config": {} if facts.docker_config == "foreign" or facts.docker_in_use else dict(_DOCKER_CONFIG),
        },
    )


def plan_control_plane(facts: Facts, config: ControlPlaneConfig) -> Plan | tuple[Refusal, ...]:
    """How to make the machine the control plane."""
    refusals = (
        *_machine_refusals(facts),
        *_space_refusals(facts, limits.CONTROL_PLANE_FREE_BYTES, installed=CONTROL_PLANE_UNIT),
        *_port_refusals(facts, {("tcp", config.port): "the API"}, holder=CONTROL_PLANE_UNIT),
        *_owner_refusals(facts, CONTROL_PLANE_UNIT, config.owner),
    )
    if refusals:
        return refusals
    arguments = ["--data-dir", CONTROL_PLANE_DATA_DIR, "--listen", f"0.0.0.0:{config.port}"]
    arguments += ["--kubeconfig", f"{CONTROL_PLANE_DATA_DIR}/admin.kubeconfig", "--advertise", config.advertise]
    for name in config.tls_sans:
        arguments += ["--tls-san", name]
    arguments += ["--join-token-file", "/run/iacorchd/join-token"]
    return Plan(
        bundle="control-plane",
        unit=CONTROL_PLANE_UNIT,
        owner=config.owner,
        python=_pick(facts.pythons),
        arch=ARCHITECTURES[facts.arch],
        arguments=tuple(arguments),
        files={"join-token": config.join_token},
        variables={},
    )


def node_ip(facts: Facts, host: str) -> str:
    """The address other nodes reach this machine at: how we reach it if the machine has that address itself."""
    if host in facts.addresses:
        return host
    usable = [a for a in facts.addresses if (ip := ip_address(a)).version == 4 and not ip.is_loopback]
    return usable[0] if usable else host


def _agent_arguments(config: NodeConfig, address: str) -> tuple[str, ...]:
    arguments = ["--server", config.server, "--ca", "/etc/iacorch/ca.crt", "--token-file", "/etc/iacorch/agent-token"]
    arguments += ["--node-name", config.name, "--node-ip", address, "--data-dir", AGENT_DATA_DIR]
    if config.labels:
        arguments += ["--labels", ",".join(f"{key}={value}" for key, value in sorted(config.labels.items()))]
    if config.taints:
        arguments += ["--taints", ",".join(config.taints)]
    return tuple(arguments)


def _docker_packages(facts: Facts) -> list[str]:
    """What is missing, by the names of Debian and Ubuntu. An Engine that is there is used as it is."""
    packages = [] if facts.docker_version else ["docker.io"]
    packages += [] if facts.has_nft else ["nftables"]
    return packages + (["apparmor"] if facts.lacks_apparmor_parser else [])


def _pick(pythons: Iterable[Python]) -> Python:
    """The machine's own `python3` where we support it, else the first that we do. Facts list it first."""
    return next(python for python in pythons if python.version in PYTHONS)


def _machine_refusals(facts: Facts) -> Iterator[Refusal]:
    if facts.os_id not in ("debian", "ubuntu") and "debian" not in facts.os_like:
        found = facts.os_name or facts.os_id or "an unknown system"
        yield Refusal("wrong-os", f"{found}, expected Debian or Ubuntu", "use a Debian 12 or Ubuntu 24.04 machine")
    if facts.arch not in ARCHITECTURES:
        yield Refusal("wrong-arch", f"{facts.arch}, expected x86_64 or aarch64", "use a 64-bit x86 or Arm machine")
    if not facts.systemd:
        yield Refusal("no-systemd", "systemd is not running", "boot the machine with systemd as its first process")
    if not any(python.version in PYTHONS for python in facts.pythons):
        have = ", ".join(".".join(map(str, python.version)) for python in facts.pythons) or "none"
        yield Refusal("no-python", f"{have}, expected Python 3.11 to 3.14", "apt-get install python3 on the machine")
    if abs(facts.clock_offset_seconds) > limits.CLOCK_OFFSET_SECONDS:
        direction = "ahead" if facts.clock_offset_seconds > 0 else "behind"
        yield Refusal(
            "clock-off",
            f"{abs(facts.clock_offset_seconds):.0f} s {direction}, allowed are {limits.CLOCK_OFFSET_SECONDS:.0f} s",
            "set the machine's clock, for example with `timedatectl set-ntp true`",
        )


def _kernel_refusals(facts: Facts) -> Iterator[Refusal]:
    if facts.missing_modules:
        yield Refusal(
            "kernel-lacks",
            f"{facts.kernel} has no {', '.join(facts.missing_modules)}, which pods need",
            "boot the distribution's own kernel (linux-image-amd64; some cloud kernels leave parts out)",
        )


def _space_refusals(facts: Facts, needed: int, *, installed: str) -> Iterator[Refusal]:
    if installed in facts.installation.units:
        return  # what the room was needed for is there already
    # Directories on one file system have the same room; naming one of them is enough.
    for free, path in sorted({free: path for path, free in sorted(facts.free_bytes.items(), reverse=True)}.items()):
        if free < needed:
            yield Refusal(
                "no-space",
                f"{_gib(free)} free at {path}, expected {_gib(needed)}",
                f"free space at {PurePosixPath(path)} or use a larger disk",
            )


def _port_refusals(facts: Facts, wanted: Mapping[tuple[Protocol, int], str], *, holder: str) -> Iterator[Refusal]:
    if holder in facts.installation.units or holder in facts.installation.owners:
        return  # ours, running or not: what an agent made in the kernel holds its port when the agent is gone
    for (protocol, number), purpose in wanted.items():
        if (protocol, number) in facts.ports:
            yield Refusal(
                "port-taken",
                f"{protocol} port {number}, needed by {purpose}, is in use",
                f"see who holds it with `ss -lnp | grep :{number}` and stop it, or choose another port",
            )


def _range_refusals(facts: Facts) -> Iterator[Refusal]:
    """A larger network around ours is no harm: the smaller one wins, and only what lies in it cannot be reached."""
    for purpose, ours in _RANGES.items():
        inside = [f"{network} at {link}" for link, network in facts.routes if network.subnet_of(ours)]
        if not facts.pod_network:
            inside += [text for text in facts.addresses if (ip := ip_address(text)).version == 4 and ip in ours]
        if inside:
            yield Refusal(
                "range-overlaps",
                f"the machine uses {', '.join(inside)}, which lies in {ours}, the {purpose}",
                "give the machine's network another range: pods would reach each other there and not the machines",
            )


def _owner_refusals(facts: Facts, unit: str, owner: str) -> Iterator[Refusal]:
    found = facts.installation.owners.get(unit, "")
    if found not in ("", owner):
        yield Refusal(
            "owned-by-other",
            f"{unit} was installed by another resource ({found})",
            "destroy that resource first, or use another machine",
        )


def _gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
