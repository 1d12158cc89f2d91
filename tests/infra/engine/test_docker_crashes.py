"""Kill -9 of the engine while real containers are made: the next run finds what is there, and nothing is made twice.

IACORCH_KILLS=N kills at N points instead of the few that are enough to notice a mistake.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator

import aiodocker
import pytest

from iacorch.infra.engine.contract import StackRef
from iacorch.infra.engine.select import BUNDLED
from iacorch.infra.machines.docker_provider.docker_api import URN_LABEL
from tests.agent import busybox
from tests.infra.engine.conftest import World
from tests.infra.engine.processes import start

pytestmark = pytest.mark.docker

#: Names are left to the provider, so that a name that was drawn for nothing would show as one container too many.
PROGRAM = """
net = pulumi.CustomResource("docker:index/network:Network", "{run}-net", {{}})
vol = pulumi.CustomResource("docker:index/volume:Volume", "{run}-vol", {{"name": "{run}-vol"}})
for i in range(4):
    pulumi.CustomResource("docker:index/container:Container", f"{run}-box{{i}}", {{
        "image": "{image}", "command": ["sleep", "600"], "stopSignal": "SIGKILL", "removeVolumes": True,
        "networksAdvanced": [{{"name": net.id}}],
        "uploads": [{{"file": "/hello", "content": str(i)}}],
    }}, Opts(depends_on=[vol]))
"""


class Fleet:
    """What the Docker Engine has of one run."""

    def __init__(self, docker: aiodocker.Docker, run: str) -> None:
        self.docker, self.run = docker, run

    async def containers(self) -> list[str]:
        found = await self.docker.containers.list(all=True)
        return sorted(c["Id"] for c in found if self._mine(c["Labels"]))

    async def networks(self) -> list[str]:
        return sorted(n["Id"] for n in await self.docker.networks.list() if self._mine(n["Labels"]))

    async def volumes(self) -> list[str]:
        found = (await self.docker.volumes.list())["Volumes"] or []
        return sorted(v["Name"] for v in found if self._mine(v["Labels"]))

    async def things(self) -> int:
        return len(await self.containers()) + len(await self.networks()) + len(await self.volumes())

    def _mine(self, labels: dict[str, str] | None) -> bool:
        return f"::{self.run}-" in (labels or {}).get(URN_LABEL, "")

    async def remove(self) -> None:
        for container in await self.containers():
            await self.docker.containers.container(container).delete(force=True, v=True)
        for network in await self.networks():
            await aiodocker.networks.DockerNetwork(self.docker, network).delete()
        for volume in await self.volumes():
            await aiodocker.volumes.DockerVolume(self.docker, volume).delete()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with aiodocker.Docker() as docker:
        made = Fleet(docker, f"engine-{uuid.uuid4().hex[:8]}")
        try:
            yield made
        finally:
            await made.remove()


async def kill_when(world: World, fleet: Fleet, things: int) -> None:
    """Run `up` and kill it once the Docker Engine has so many things, or once it is done."""
    process = start(world, "up", "--yes")
    try:
        while process.poll() is None and await fleet.things() < things:
            pass
    finally:
        process.kill()
        process.communicate()


async def test_nothing_is_made_twice_however_often_the_engine_is_killed(world: World, fleet: Fleet) -> None:
    kills = int(os.environ.get("IACORCH_KILLS", "3"))
    program = PROGRAM.format(run=fleet.run, image=busybox.image())
    engine = world.builtin(bundled=BUNDLED)
    ref: StackRef = world.ref
    world.program(program)
    await engine.create_stack(ref)
    for kill in range(kills):
        await kill_when(world, fleet, 1 + kill * 5 // max(1, kills - 1))
        if kill % 4 == 3:  # now and then begin again from nothing
            await engine.destroy(ref, world.options())
            assert await fleet.things() == 0
    await engine.up(ref, world.options())
    resources: defaultdict[str, list[str]] = defaultdict(list)
    for resource in world.latest()["resources"]:
        resources[resource["type"].rpartition(":")[2]].append(resource.get("id", ""))
    assert await fleet.containers() == sorted(resources["Container"])
    assert await fleet.networks() == resources["Network"]
    assert len(await fleet.volumes()) == 1
    assert len(resources["Container"]) == 4
    assert not (await engine.up(ref, world.options())).changed
    for container in await fleet.containers():
        shown = await fleet.docker.containers.container(container).show()
        assert shown["State"]["Running"]
        (hello,) = (await fleet.docker.containers.container(container).get_archive("/hello")).getnames()
        assert hello == "hello"
    await engine.destroy(ref, world.options())
    assert await fleet.things() == 0
