"""Owned hosts and rented machines in one cluster: a host over SSH carries the control plane, an EC2 with real machines
behind it gives workers, one asked with boto3 and one with libcloud.

A second run changes nothing, and in the end the host is given back and nothing rented is left. The stages build on each
other, so they are one test (about 50 s on a quiet machine; the node image is built when it is not there).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.api import objects
from iacorch.api.catalogue import NODE
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import Options, StackRef
from iacorch.infra.engine.select import BUNDLED
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.agent import busybox
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import debian, ec2_with_machines

pytestmark = [pytest.mark.docker, pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine")]

REGION = "eu-central-1"
AMERICA = "us-east-1"
"""Where moto thinks that those are who sign as libcloud does, without a region."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROGRAM = """
import json, os, pulumi
from iacorch.stack import ControlPlane, Node, SshKey, VirtualMachine

clouds = json.loads(os.environ["CLOUDS"])
key = SshKey("administrator")


server = VirtualMachine("server", driver="ssh", settings=clouds["ssh"], instance_type="owned")
opens = clouds["ssh"]["private_key"]
control_plane = ControlPlane("server", connection=server.connection(opens), machine_id=server.id)
for name, driver in (("by-boto", "aws"), ("by-libcloud", "libcloud")):
    vm = VirtualMachine(
        name, driver=driver, settings=clouds[driver], instance_type="t3.small", ssh_public_key=key.public_key
    )
    Node(name, connection=vm.connection(key.private_key), machine_id=vm.id, control_plane=control_plane)
pulumi.export("kubeconfig", control_plane.kubeconfig)
"""


@pytest.fixture
def host() -> Iterator[str]:
    """The name of a container that is somebody's server, and stays it."""
    name = f"iacdrv-owned-{SystemIds().suffix()}"
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


async def test_machines_of_three_drivers_make_one_cluster_and_leave_nothing(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: rented\nruntime: python\n")
    (project / "__main__.py").write_text(PROGRAM)
    ref = StackRef(project, "dev", f"file://{tmp_path / 'state'}")
    (tmp_path / "state").mkdir()
    plugins = {**BUNDLED, "iacorch": [sys.executable, "-m", "iacorch.infra.provider.main"]}
    engine = BuiltIn(SystemClock(), SystemIds(), passphrase="x", bundled=plugins)
    keys = key_pair(Ed25519PrivateKey.generate(), "owner")
    inventory = {"name": "server", "address": containers.server(host, public_key=keys["publicKey"])}
    with ec2_with_machines() as (server, machines):
        there, port = server.url.removeprefix("http://").split(":")
        debian(server, REGION)
        clouds = {
            "ssh": {"hosts": [inventory], "private_key": keys["privateKey"], "ledger": str(tmp_path / "hosts.json")},
            "aws": {"region": REGION, "endpoint_url": server.url},
            "libcloud": {
                "provider": "ec2",
                "positional": ["key", "secret"],
                "arguments": {"secure": False, "host": there, "port": int(port), "region": AMERICA},
                "image": debian(server, AMERICA),
            },
        }
        options = Options(environment={"CLOUDS": json.dumps(clouds), "PULUMI_HOME": str(tmp_path / "home")})
        await engine.create_stack(ref)
        try:
            made = await engine.up(ref, options)
            async with HttpClient(parse_kubeconfig(str(made.outputs["kubeconfig"].value), where="output")) as client:
                nodes = {objects.name(node): node for node in (await client.list(NODE)).items}
            assert sorted(nodes) == ["by-boto", "by-libcloud"]
            assert all(objects.condition_is(node, "Ready") for node in nodes.values())
            assert len(machines.alive()) == 2
            again = await engine.up(ref, options)
            assert not again.changed, again.changes
            assert server.calls.count("RunInstances") == 2
        finally:
            await engine.destroy(ref, options)
        assert machines.alive() == []
        assert server.calls.count("DeleteKeyPair") == 1, "what only these machines used is gone as well"
    left = containers.docker("exec", host, "ls", "/opt", "/etc", "/var/lib")
    assert "iacorch" not in left, "the owned host lives, as it was"
