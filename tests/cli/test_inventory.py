"""Ansible's inventory of a cluster: a real `ansible-inventory` with the collection, against a running control plane."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iacorch.api.catalogue import NODE
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.infra.bootstrap.sources import collections
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import StackRef
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.server import daemon

ZONE, POOL = "topology.kubernetes.io/zone", "iacorch.dev/nodepool"
FILE = """\
plugin: iacorch.nodes.nodes
keyed_groups:
  - key: iacorch_labels['example.com/rack'] | default('none')
    prefix: rack
"""


def node(name: str, address: str, *, ready: str = "True", **labels: str) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": address}]
    status = {"addresses": addresses, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def resource(type_: str, name: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::p::iacorch:index:{type_}::{name}"
    found = {"urn": urn, "type": f"iacorch:index:{type_}", "custom": True, "id": f"{name}.0123", "inputs": inputs}
    return {**found, "outputs": {**inputs, **outputs}}


async def project(folder: Path, kubeconfig: str) -> None:
    """A project whose stack has made a control plane and the node `n1`."""
    (folder / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (folder / "iacorch.yml").write_text(FILE)
    files = BuiltIn(SystemClock(), SystemIds(), passphrase=None)
    ref = StackRef(folder, "dev", f"file://{folder}/.iacorch/state")
    await files.create_stack(ref)
    path = files.backend(ref).path
    state = json.loads(path.read_text())

    def connection(host: str) -> dict[str, Any]:
        return {"connection": {"host": host, "port": 2222, "user": "debian", "privateKey": f"KEY OF {host}"}}

    access = {"server": "https://h:1", "caCert": "CA", "joinToken": "t", "kubeconfig": kubeconfig}
    server = {**connection("10.0.0.1"), "port": 6443, "advertise": "10.0.0.1:6443", "endpoint": "10.0.0.1:6443"}
    resources = [
        resource("ControlPlane", "server", server, {"kubeconfig": kubeconfig, "joinToken": "t", "bundle": "b"}),
        resource(
            "Node",
            "n1",
            {**connection("10.0.0.2"), **access, "nodeName": "n1"},
            {"hostKeys": "10.0.0.2 ssh-x A", "bundle": "b"},
        ),
    ]
    state["checkpoint"]["latest"] = {"manifest": {}, "resources": resources}
    path.write_text(json.dumps(state))


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    bin_folder = Path(sys.executable).parent
    environment = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections()),
        "PYTHONPATH": str(collections()),
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def plain(value: Any) -> Any:
    """Without Ansible's mark of texts that are no templates."""
    if isinstance(value, dict):
        return value.get("__ansible_unsafe") or {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_ansible_reads_the_machines_of_stacks_and_cluster(tmp_path: Path) -> None:
    async def fill(kubeconfig: str) -> None:
        async with HttpClient(parse_kubeconfig(kubeconfig, where="kubeconfig")) as client:
            labels = {ZONE: "a-1", POOL: "web", "example.com/rack": "r7", "node-role.kubernetes.io/gpu": ""}
            await client.create(NODE, node("n1", "192.0.2.2", **labels))
            await client.create(NODE, node("n2", "192.0.2.3", ready="Unknown", **{ZONE: "b"}))
        await project(tmp_path, kubeconfig)

    with daemon.running(tmp_path / "data", "--no-controllers") as running:
        asyncio.run(fill(running.kubeconfig.read_text()))
        done = run(tmp_path, "ansible-inventory", "-i", "iacorch.yml", "--list")
        assert done.returncode == 0, done.stderr
        script = run(tmp_path, sys.executable, "-m", "iacorch.cli.main", "inventory", "--list")
        assert script.returncode == 0, script.stderr
    found = plain(json.loads(done.stdout))
    groups = {name: set(group["hosts"]) for name, group in found.items() if name != "_meta" and "hosts" in group}
    assert groups == {
        "control_plane": {"server"},
        "nodes": {"n1", "n2"},
        "ready": {"n1"},
        "not_ready": {"n2"},
        "zone_a_1": {"n1"},
        "zone_b": {"n2"},
        "pool_web": {"n1"},
        "role_gpu": {"n1"},
        "stack_dev": {"server", "n1"},
        "rack_r7": {"n1"},
        "rack_none": {"n2", "server"},
    }
    one = found["_meta"]["hostvars"]["n1"]
    assert (one["ansible_host"], one["ansible_port"], one["ansible_user"]) == ("10.0.0.2", 2222, "debian")
    assert (one["iacorch_node_ip"], one["iacorch_zone"], one["iacorch_roles"]) == ("192.0.2.2", "a-1", ["gpu"])
    assert "StrictHostKeyChecking=yes" in one["ansible_ssh_common_args"]
    assert not Path(one["ansible_ssh_private_key_file"]).exists(), "keys go with Ansible"
    assert found["_meta"]["hostvars"]["n2"]["ansible_host"] == "192.0.2.3"
    told = json.loads(script.stdout)
    assert {name: set(g["hosts"]) for name, g in told.items() if name.startswith(("zone", "pool"))} == {
        name: hosts for name, hosts in groups.items() if name.startswith(("zone", "pool"))
    }
    assert "KEY OF" not in script.stdout


@pytest.mark.parametrize(
    ("file", "words"),
    [
        pytest.param("plugin: iacorch.nodes.nodes\n", "no stack has machines", id="nothing there"),
        pytest.param("plugin: iacorch.nodes.nodes\nkubeconfig: gone\n", "gone: cannot be read", id="no kubeconfig"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_message(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "iacorch.yml").write_text(file)
    done = run(tmp_path, "ansible-inventory", "-i", "iacorch.yml", "--list")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
