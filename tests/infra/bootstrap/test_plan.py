"""Facts and a wish in, variables or refusals out."""

from dataclasses import replace
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest

from iacorch.infra.bootstrap.errors import Refusal
from iacorch.infra.bootstrap.facts import Facts, Installation, Python
from iacorch.infra.bootstrap.plan import (
    AGENT_UNIT,
    ControlPlaneConfig,
    NodeConfig,
    Plan,
    plan_control_plane,
    plan_node,
)

GIB = 1024**3
MACHINE = Facts(
    hostname="worker-1",
    os_id="debian",
    os_version="12",
    os_name="Debian GNU/Linux 12",
    arch="x86_64",
    systemd=True,
    pythons=(Python((3, 11), "/usr/bin/python3"),),
    free_bytes={"/opt": 20 * GIB, "/var/lib": 20 * GIB},
    addresses=("10.0.0.5", "172.17.0.1"),
)
NODE = NodeConfig(name="worker-1", server="https://10.0.0.1:6443", ca_cert="CA", join_token="secret", owner="abc")
SERVER = ControlPlaneConfig(advertise="10.0.0.1:6443", join_token="secret", owner="abc")
OURS = Installation(units={"iacorch-agent": "active"}, owners={"iacorch-agent": "abc"})


def node(facts: Facts, config: NodeConfig = NODE, *, host: str = "10.0.0.5") -> Plan:
    plan = plan_node(facts, config, host=host)
    assert isinstance(plan, Plan)
    return plan


def refusals(facts: Facts) -> tuple[Refusal, ...]:
    found = plan_node(facts, NODE, host="10.0.0.5")
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize(
    ("changed", "code", "found"),
    [
        pytest.param({"pythons": ()}, "no-python", "none", id="no Python"),
        pytest.param({"pythons": (Python((3, 9), "/usr/bin/python3"),)}, "no-python", "3.9", id="Python too old"),
        pytest.param({"os_id": "alpine", "os_name": "Alpine"}, "wrong-os", "Alpine", id="wrong system"),
        pytest.param({"arch": "riscv64"}, "wrong-arch", "riscv64", id="wrong architecture"),
        pytest.param({"missing_modules": ("vxlan",)}, "kernel-lacks", "no vxlan", id="kernel without tunnels"),
        pytest.param({"systemd": False}, "no-systemd", "not running", id="no systemd"),
        pytest.param({"free_bytes": {"/opt": 2 * GIB - 1}}, "no-space", "/opt", id="one byte too few"),
        pytest.param({"clock_offset_seconds": 30.5}, "clock-off", "ahead", id="clock ahead"),
        pytest.param({"clock_offset_seconds": -31.0}, "clock-off", "behind", id="clock behind"),
        pytest.param(
            {"routes": (("eth0", IPv4Network("10.244.3.0/24")),)},
            "range-overlaps",
            "10.244.3.0/24 at eth0",
            id="in ours",
        ),
        pytest.param({"addresses": ("10.96.0.7",)}, "range-overlaps", "services' range", id="an address of ours"),
        pytest.param({"ports": frozenset({("udp", 8472)})}, "port-taken", "8472", id="pod network's port"),
        pytest.param({"installation": replace(OURS, owners={"iacorch-agent": "x"})}, "owned-by-other", "x", id="other"),
    ],
)
def test_a_machine_that_cannot_become_a_node_is_refused_by_name(changed: dict[str, Any], code: str, found: str) -> None:
    (refusal,) = refusals(replace(MACHINE, **changed))
    assert refusal.code == code
    assert found in refusal.found
    assert refusal.remedy


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"free_bytes": {"/opt": 2 * GIB}}, id="exactly enough space"),
        pytest.param({"clock_offset_seconds": 30.0}, id="clock at the limit"),
        pytest.param({"ports": frozenset({("tcp", 8472)})}, id="same number, other protocol"),
        pytest.param({"installation": OURS, "ports": frozenset({("udp", 8472)})}, id="we hold the port"),
        pytest.param(
            {"installation": replace(OURS, units={"iacorch-agent": "failed"}), "ports": frozenset({("udp", 8472)})},
            id="what a stopped agent left holds the port",
        ),
        pytest.param(
            {
                "pod_network": True,
                "addresses": ("10.0.0.5", "10.244.1.1", "10.96.0.10"),
                "ports": frozenset({("udp", 8472)}),
            },
            id="somebody took the agent away, and its network is there",
        ),
        pytest.param({"installation": OURS, "free_bytes": {"/opt": 0}}, id="installed already"),
        pytest.param({"os_id": "linuxmint", "os_like": ("ubuntu", "debian")}, id="a relative of Debian"),
    ],
)
def test_a_machine_at_the_limit_is_taken(changed: dict[str, Any]) -> None:
    node(replace(MACHINE, **changed))


def test_every_reason_is_given_at_once() -> None:
    found = refusals(Facts())
    assert {refusal.code for refusal in found} == {"no-python", "wrong-os", "wrong-arch", "no-systemd"}


def test_one_file_system_is_named_once() -> None:
    assert [r.code for r in refusals(replace(MACHINE, free_bytes={"/opt": 5, "/var/lib": 5}))] == ["no-space"]


def test_only_what_is_missing_is_installed() -> None:
    assert node(MACHINE).variables["docker_packages"] == ["docker.io", "nftables"]
    there = replace(MACHINE, docker_version="20.10", has_nft=True)
    assert node(there).variables["docker_packages"] == []
    confined = replace(there, lacks_apparmor_parser=True)
    assert node(confined).variables["docker_packages"] == ["apparmor"]


def test_settings_that_somebody_else_gave_their_engine_stay() -> None:
    assert node(replace(MACHINE, docker_config="foreign")).variables["docker_config"] == {}
    assert node(replace(MACHINE, docker_version="20.10", docker_in_use=True)).variables["docker_config"] == {}
    assert node(replace(MACHINE, docker_config="ours")).variables["docker_config"]["live-restore"] is True


def test_the_first_interpreter_that_is_supported_is_used() -> None:
    pythons = (Python((3, 9), "/usr/bin/python3"), Python((3, 12), "/usr/bin/python3.12"))
    assert node(replace(MACHINE, pythons=pythons)).python.path == "/usr/bin/python3.12"


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        pytest.param("172.17.0.1", "", "172.17.0.1", id="the address we reach it at, if it is the machine's own"),
        pytest.param("worker-1.example", "", "10.0.0.5", id="else its first address"),
        pytest.param("10.0.0.5", "192.168.7.7", "192.168.7.7", id="unless one is given"),
    ],
)
def test_other_nodes_reach_a_node_at(host: str, given: str, expected: str) -> None:
    arguments = node(MACHINE, replace(NODE, node_ip=given), host=host).arguments
    assert arguments[arguments.index("--node-ip") + 1] == expected


def test_labels_and_taints_reach_the_agent() -> None:
    config = replace(NODE, labels={"zone": "b", "disk": "ssd"}, taints=("gpu=yes:NoSchedule",))
    arguments = node(MACHINE, config).arguments
    assert arguments[-4:] == ("--labels", "disk=ssd,zone=b", "--taints", "gpu=yes:NoSchedule")


def test_the_control_plane_advertises_and_names_itself() -> None:
    plan = plan_control_plane(MACHINE, replace(SERVER, port=7443, tls_sans=("localhost", "127.0.0.1")))
    assert isinstance(plan, Plan)
    assert plan.bundle == "control-plane"
    arguments = plan.arguments
    assert arguments[arguments.index("--listen") + 1] == "0.0.0.0:7443"
    assert arguments[arguments.index("--advertise") + 1] == "10.0.0.1:6443"
    assert [b for a, b in pairwise(arguments) if a == "--tls-san"] == ["localhost", "127.0.0.1"]


def test_a_machine_whose_agent_somebody_took_away_is_still_ours() -> None:
    """Its tunnel is in the kernel yet, and holds the port."""
    held = replace(
        MACHINE, ports=frozenset({("udp", 8472)}), installation=Installation(owners={AGENT_UNIT: NODE.owner})
    )
    assert isinstance(plan_node(held, NODE, host="10.0.0.1"), Plan)


def test_the_control_plane_refuses_a_port_that_others_hold() -> None:
    found = plan_control_plane(replace(MACHINE, ports=frozenset({("tcp", 6443)})), SERVER)
    assert isinstance(found, tuple)
    assert [refusal.code for refusal in found] == ["port-taken"]


def test_secrets_do_not_print() -> None:
    assert "secret" not in repr(NODE)
    assert "secret" not in repr(SERVER)
    assert "secret" not in repr(node(MACHINE))


def test_networks_beside_and_around_ours_are_no_harm() -> None:
    around = (("tun0", IPv4Network("10.0.0.0/8")), ("eth0", IPv4Network("10.245.0.0/16")))
    assert node(replace(MACHINE, routes=around)) == node(MACHINE)
    ours = replace(MACHINE, pod_network=True, addresses=("10.0.0.5", "10.244.1.1"))
    assert node(ours) == node(replace(MACHINE, installation=OURS)), "a node has addresses of its pods' network"
