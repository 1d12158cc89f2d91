"""The repair ladder on a real machine: each thing that breaks is mended by the first rung that can.

Behind the instances of a cloud for trying stand containers of the node image, which `iacorch provisioner`, a process,
made nodes. They are broken by hand, each time worse: IACORCH_LADDER=1 lets it, for it takes about five minutes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, EVENT, MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from tests.agent import busybox
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import Machines, debian, ec2_with_machines
from tests.infra.machines.ec2_server import Ec2Server
from tests.provision.processes import REGION, Running, Site, cloud_environment, deployment, offering, until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine"),
    pytest.mark.skipif("IACORCH_LADDER" not in os.environ, reason="IACORCH_LADDER=1 takes five minutes"),
]
PATIENCE = {"Unhealthy": "3s", "RestartAgent": "2m", "Bootstrap": "5m", "Reboot": "5m", "Reimage": "10m"}
"""Counted from a rung's beginning: on a busy machine bootstrap alone takes minutes. What fails does not wait."""
BROKEN_AGENT = "systemctl stop iacorch-agent; rm -rf /opt/iacorch /etc/systemd/system/iacorch-agent.service"
BROKEN_MACHINE = f"{BROKEN_AGENT}; systemctl mask --now ssh"


@dataclass
class Ladder:
    """A pool of one machine, which breaks."""

    client: HttpClient
    server: Ec2Server
    machines: Machines
    process: Running
    seen: int = 0

    async def claim(self) -> Object:
        (claim,) = [c for c in (await self.client.list(NODE_CLAIM)).items if not objects.is_deleting(c)]
        return claim

    def machine(self) -> str:
        (name,) = self.machines.alive()
        return name

    def within(self, script: str) -> None:
        containers.docker("exec", self.machine(), "sh", "-c", script)

    async def is_well(self) -> bool:
        claims = (await self.client.list(NODE_CLAIM)).items
        return len(claims) == 1 and all(
            objects.condition_is(c, "Ready") and not objects.condition_is(c, "Repairing") for c in claims
        )

    async def is_unwell(self) -> bool:
        return not await self.is_well()

    async def mended(self, what: str) -> list[str]:
        """The rungs that were taken from the last call to this."""
        await until(self.is_unwell, f"{what}: somebody notices", self.process)
        await until(self.is_well, f"{what}: it is mended", self.process)
        events = [e for e in (await self.client.list(EVENT)).items if e["reason"] == "Repairing"]
        rungs = [e["message"].partition(":")[0] for e in sorted(events, key=lambda e: e["firstTimestamp"])]
        new, self.seen = rungs[self.seen :], len(rungs)
        return new

    async def has_run(self) -> bool:
        """The pod has a place on a node that lives."""
        nodes = {objects.name(n) for n in (await self.client.list(NODE)).items if objects.condition_is(n, "Ready")}
        pods = [p for p in (await self.client.list(POD, "default")).items if not objects.is_deleting(p)]
        return bool(pods) and all(objects.spec(pod).get("nodeName") in nodes for pod in pods)


@pytest.fixture
def ec2() -> Iterator[tuple[Ec2Server, Machines]]:
    with ec2_with_machines() as found:
        yield found


@asynccontextmanager
async def ladder(server: Ec2Server, machines: Machines, site: Site, **repair: Any) -> AsyncIterator[Ladder]:
    async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
        template = {"settings": {"region": REGION, "endpoint_url": server.url}}
        offered = [offering("on-demand", "0.02")]
        await client.create(MACHINE_CLASS, site.machine_class("aws", template, offered))
        await client.create(NODE_POOL, site.pool(repair={"patience": PATIENCE, "maxUnhealthy": "100%", **repair}))
        await client.create(DEPLOYMENT, deployment())
        told = Ladder(client, server, machines, site.provisioner())
        await until(told.is_well, "the machine is a node", told.process)
        yield told


async def test_each_rung_is_taken_when_the_one_before_does_not_help(
    ec2: tuple[Ec2Server, Machines], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, machines = ec2
    cloud_environment(monkeypatch)
    debian(server, REGION)
    with Site(tmp_path).serving(listen=f"{containers.gateway()}:0") as site:
        async with ladder(server, machines, site) as told:
            first = told.machine()

            told.within("systemctl stop iacorch-agent")
            assert await told.mended("a stopped agent") == ["RestartAgent"]

            told.within(BROKEN_AGENT)
            assert await told.mended("an agent without its files") == ["Bootstrap"]

            containers.docker("pause", first)
            assert await told.mended("a frozen machine") == ["Reboot"]
            assert told.machine() == first, "it is still the same machine"

            told.within(BROKEN_MACHINE)
            assert await told.mended("a machine that lets nobody in") == ["Reimage"]
            second = told.machine()
            assert second != first
            claim = objects.uid(await told.claim())

            # It is another machine, whose ladder begins at its foot: only the last rung is left to be seen.
            await told.client.patch(NODE_POOL, "", "burst", {"spec": {"repair": {"rungs": ["Replace"]}}})
            told.within(BROKEN_MACHINE)
            assert await told.mended("the same again") == ["Replace"]
            assert objects.uid(await told.claim()) != claim
            assert told.machine() not in (first, second)
            await until(told.has_run, "the pod has a place again", told.process)
            await fenced_before_anything_moved(told)


async def fenced_before_anything_moved(told: Ladder) -> None:
    """The machine that was replaced was off before its pod got a place elsewhere."""
    events = (await told.client.list(EVENT)).items
    moments = {e["reason"]: e["lastTimestamp"] for e in sorted(events, key=lambda e: e["lastTimestamp"])}
    assert moments["Terminating"] <= moments["Fenced"] <= moments["Scheduled"]
    actions = [call for call in told.server.calls if call in ("StopInstances", "TerminateInstances", "RunInstances")]
    stopped = actions.index("StopInstances")
    assert "RunInstances" in actions[stopped:], "another machine was made only after this one was off"
