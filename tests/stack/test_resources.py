"""What a stack program's resources register: which token, which properties, what is secret."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import iacorch.stack as iac

SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""Pulumi's marks on the wire: a value with a signature, and which one a secret has."""


@pytest.fixture(scope="module")
def registered() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("program.py"))], capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_each_class_is_a_resource_of_the_provider(registered: dict[str, Any]) -> None:
    assert {name: one["type"] for name, one in registered["seen"].items()} == {
        "fleet": "iacorch:index:SshKey",
        "cp": "iacorch:index:ControlPlane",
        "w1": "iacorch:index:Node",
        "vm": "iacorch:index:VirtualMachine",
        "w2": "iacorch:index:Node",
        "burst": "iacorch:index:MachineClass",
        "pool": "iacorch:index:NodePool",
        "other": "iacorch:index:ControlPlane",
        "w3": "iacorch:index:Node",
        "app": "iacorch:index:Manifest",
    }


def test_a_node_is_wired_to_its_machine_and_its_control_plane(registered: dict[str, Any]) -> None:
    inputs = registered["seen"]["w1"]["inputs"]
    assert inputs["connection"]["value"] == {
        "host": "10.0.0.2",
        "port": 2222,
        "user": "debian",
        "privateKey": "fleet-privateKey",
    }
    wired = (inputs["server"], inputs["kubeconfig"], inputs["caCert"], inputs["joinToken"])
    assert wired == ("cp-server", "cp-kubeconfig", "cp-caCert", "cp-joinToken")


def test_a_cluster_joins_its_nodes_and_a_pool_names_its_class(registered: dict[str, Any]) -> None:
    node, pool = registered["seen"]["w3"]["inputs"], registered["seen"]["pool"]["inputs"]
    assert (node["server"], node["machineId"], node["labels"]) == ("other-server", "vm-id", {"a": "b"})
    assert (pool["className"], pool["limits"]) == ("rented", {"moneyPerHour": "1"})


def test_keys_of_maps_are_the_user_s_and_stay(registered: dict[str, Any]) -> None:
    assert registered["seen"]["w1"]["inputs"]["labels"] == {"my_label/x_y": "a"}
    assert registered["seen"]["app"]["inputs"]["objects"][0]["data"] == {"snake_case": "kept"}


def test_what_is_secret_is_registered_as_a_secret(registered: dict[str, Any]) -> None:
    for name, property_name in (("w1", "connection"), ("cp", "connection"), ("app", "kubeconfig")):
        assert registered["seen"][name]["inputs"][property_name][SIGNATURE] == SECRET


def test_a_manifest_needs_a_cluster() -> None:
    with pytest.raises(ValueError, match="give control_plane or kubeconfig"):
        iac.Manifest("app", yaml="")


def test_a_connection_does_not_print_its_key() -> None:
    assert "secret" not in repr(iac.Connection("h", private_key="secret"))
