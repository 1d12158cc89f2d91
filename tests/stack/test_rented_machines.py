"""Machines rented from a cloud become nodes: an EC2 with real machines behind it, asked with boto3 and with libcloud.

One control plane, a worker by each driver, a pod on each worker, a second run, and nothing left at the end. The stages
build on each other, so they are one test (about 50 s; the node image is built when it is not there).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import NODE
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import Options, StackRef
from iacorch.infra.engine.select import BUNDLED
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.agent import busybox
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


def machine(name, driver):
    return VirtualMachine(
        name, driver=driver, settings=clouds[driver], instance_type="t3.small", ssh_public_key=key.public_key
    )


server = machine("server", "aws")
control_plane = ControlPlane("server", connection=server.connection(key.private_key), machine_id=server.id)
for name, driver in (("by-boto", "aws"), ("by-libcloud", "libcloud")):
    vm = machine(name, driver)
    Node(name, connection=vm.connection(key.private_key), machine_id=vm.id, control_plane=control_plane)
pulumi.export("kubeconfig", control_plane.kubeconfig)
"""


async def test_machines_of_two_drivers_become_ready_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    with ec2_with_machines() as (server, machines):
        host, port = server.url.removeprefix("http://").split(":")
        debian(server, REGION)
        clouds = {
            "aws": {"region": REGION, "endpoint_url": server.url},
            "libcloud": {
                "provider": "ec2",
                "positional": ["key", "secret"],
                "arguments": {"secure": False, "host": host, "port": int(port), "region": AMERICA},
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
            assert len(machines.alive()) == 3
            again = await engine.up(ref, options)
            assert not again.changed, again.changes
            assert server.calls.count("RunInstances") == 3
        finally:
            await engine.destroy(ref, options)
        assert machines.alive() == []
        assert server.calls.count("DeleteKeyPair") == 1, "what only these machines used is gone as well"
