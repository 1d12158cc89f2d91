"""A pool of real machines that is looked at all the time; shared by the stories that last minutes.

Behind the instances of a cloud for trying stand containers of the node image, which `iacorch provisioner`, a process,
makes nodes; pods run on them. `Fleet.looks` is how everything was, twice a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from iacorch.agent.runtime import pause
from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, EVENT, MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.kit.clock import SystemClock
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import Machines, debian
from tests.infra.machines.ec2_server import Ec2Server
from tests.provision.processes import REGION, Running, Site, deployment, until

Cloud = tuple[Ec2Server, Machines]


@dataclass(frozen=True)
class Look:
    """How everything was at one moment. `running`: node of each pod that is Running and not being deleted."""

    at: datetime
    """When all of it had been read."""
    machines: frozenset[str]
    claims: frozenset[str]
    going: frozenset[str]
    ready: frozenset[str]
    running: Counter[str]
    wanted: int


@dataclass
class Fleet:
    """A pool, what it was made of, and all looks at it."""

    site: Site
    client: HttpClient
    server: Ec2Server
    machines: Machines
    process: Running
    looks: list[Look] = field(default_factory=list)

    async def claims(self) -> list[Object]:
        return list((await self.client.list(NODE_CLAIM)).items)

    async def look(self) -> Look:
        pods = (await self.client.list(POD, "default")).items
        claims = await self.claims()
        nodes = (await self.client.list(NODE)).items
        machines = await asyncio.to_thread(self.machines.alive)
        (wanted,) = [objects.spec(d)["replicas"] for d in (await self.client.list(DEPLOYMENT, "default")).items]
        return Look(
            datetime.now(UTC),
            frozenset(machines),
            frozenset(objects.uid(c) for c in claims),
            frozenset(objects.uid(c) for c in claims if objects.is_deleting(c)),
            frozenset(objects.name(n) for n in nodes if objects.condition_is(n, "Ready")),
            Counter(objects.spec(p)["nodeName"] for p in pods if _runs(p)),
            int(wanted),
        )

    async def watch(self) -> None:
        clock = SystemClock()
        while True:
            self.looks.append(await self.look())
            await clock.sleep(0.5)

    async def settles(self, what: str, *, machines: int) -> None:
        """So many machines, all of them Ready nodes, nothing going, all pods running."""
        began = len(self.looks)

        def holds() -> bool:
            if len(self.looks) == began:
                return False
            seen = self.looks[-1]
            return (
                len(seen.machines) == len(seen.ready) == len(seen.claims) == machines
                and not seen.going
                and seen.running.total() == seen.wanted
            )

        await until(holds, what, self.process)

    async def want(self, **pods: Any) -> None:
        wanted = deployment(image=pause.IMAGE, **pods)["spec"]
        await self.client.patch(DEPLOYMENT, "default", "x", {"spec": wanted})

    async def change_pool(self, **spec: Any) -> None:
        await self.client.patch(NODE_POOL, "", "burst", {"spec": spec})

    async def pool_is(self, condition: str, status: str) -> bool:
        return objects.condition_is(await self.client.get(NODE_POOL, "", "burst"), condition, status)

    async def said(self, reason: str) -> list[str]:
        events = [e for e in (await self.client.list(EVENT)).items if e["reason"] == reason]
        return [e["message"] for e in sorted(events, key=lambda e: e["firstTimestamp"])]

    def calls(self) -> list[str]:
        return [c for c in self.server.calls if c in ("RunInstances", "TerminateInstances", "StopInstances")]

    def no_machine_went_under_a_pod(self) -> None:
        """A node that pods run on does not stop being Ready because its machine was taken away."""
        for before, after in zip(self.looks, self.looks[1:], strict=False):
            if after.machines < before.machines:
                lost = before.ready - after.ready
                assert not any(before.running[node] for node in lost), f"{before} -> {after}"


@asynccontextmanager
async def fleet(
    cloud: Cloud, folder: Path, offerings: list[dict[str, Any]], pods: dict[str, Any], **pool: Any
) -> AsyncIterator[Fleet]:
    server, machines = cloud
    debian(server, REGION)
    with Site(folder).serving(listen=f"{containers.gateway()}:0") as site:
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            template = {"settings": {"region": REGION, "endpoint_url": server.url}}
            await client.create(MACHINE_CLASS, site.machine_class("aws", template, offerings))
            await client.create(NODE_POOL, site.pool(**pool))
            await client.create(DEPLOYMENT, deployment(image=pause.IMAGE, **pods))
            told = Fleet(site, client, server, machines, site.provisioner())
            watching = asyncio.create_task(told.watch())
            try:
                yield told
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching


def _runs(pod: Object) -> bool:
    return objects.status(pod).get("phase") == "Running" and not objects.is_deleting(pod)
