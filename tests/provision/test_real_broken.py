"""EC2 takes an instance away again that it could not start: the pool's next offering is asked for.

A real provisioner, a cloud of words (nobody answers at its addresses). IACORCH_FLEET=1 lets it; half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, MACHINE_CLASS, NODE_POOL
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from tests.infra.machines.ec2_machines import debian, tell_address
from tests.infra.machines.ec2_server import Ec2Server, ec2_server
from tests.provision.processes import REGION, Site, cloud_environment, deployment, offering, until


class Breaking:
    """Implements `Behind`: the first instance begins to start, and is taken away again when it is looked at again."""

    def __init__(self, server: Ec2Server) -> None:
        self._server = server
        self._looks = 0
        self.broken = ""

    def __call__(self, action: str, asked: Mapping[str, str], ids: Sequence[str]) -> dict[str, str]:
        if action == "RunInstances":
            self.broken = self.broken or ids[0]
            self._instance(ids[0])._state.name = "pending"
            return tell_address(ids[0], "127.0.0.2")
        if action == "DescribeInstances" and self.broken in ids:
            self._looks += 1
            instance = self._instance(self.broken)
            if self._looks > 1 and instance._state.name == "pending":
                instance._state.name = "shutting-down"
                instance.state_reason = StateReason("Server.InternalError: Internal error on launch")
        return {}

    def _instance(self, id: str) -> Any:
        return ec2_backends[self._server.account][REGION].get_instance(id)


@pytest.mark.skipif("IACORCH_FLEET" not in os.environ, reason="IACORCH_FLEET=1 takes half a minute for it")
async def test_an_instance_that_ec2_takes_away_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud_environment(monkeypatch)
    with ec2_server() as server, Site(tmp_path).serving() as site:
        server.machines_behind = breaking = Breaking(server)
        debian(server, REGION)
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            template = {"settings": {"region": REGION, "endpoint_url": server.url}}
            offered = [offering("spot", "0.005"), offering("on-demand", "0.02")]
            await client.create(MACHINE_CLASS, site.machine_class("aws", template, offered))
            await client.create(DEPLOYMENT, deployment())
            await client.create(NODE_POOL, site.pool())
            process = site.provisioner()
            await until(lambda: server.calls.count("RunInstances") == 2, "another one is asked for", process)
            (refused,) = objects.status(await client.get(MACHINE_CLASS, "", "rented"))["refused"]
            assert (refused["capacityType"], refused["reason"]) == ("spot", "NeverBooted")
            assert "Internal error on launch" in refused["message"], refused
            assert breaking.broken in refused["message"]
