"""The driver `docker` only: what an engine does with containers that no other place of machines does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from iacorch.infra.machines.contract import MachineState, Power
from iacorch.infra.machines.docker.driver import DockerDriver
from tests.infra.machines import containers
from tests.infra.machines.conftest import docker_world
from tests.infra.machines.worlds import World

pytestmark = pytest.mark.docker


@pytest.fixture
async def place() -> AsyncIterator[tuple[World, DockerDriver]]:
    world = docker_world()
    driver = world.open()
    assert isinstance(driver, DockerDriver)
    try:
        yield world, driver
        for machine in await driver.list_owned(world.spec.owner.cluster):
            await driver.delete(machine.id, cluster=world.spec.owner.cluster)
    finally:
        await driver.aclose()
        await world.resources.aclose()


async def test_a_machine_that_was_frozen_is_switched_on(place: tuple[World, DockerDriver]) -> None:
    world, driver = place
    made = await driver.create(world.named())
    containers.docker("pause", made.id)
    assert (await driver.read(made.id)).state is MachineState.STOPPED
    await driver.power(made.id, Power.ON)
    assert (await driver.read(made.id)).state is MachineState.RUNNING


async def test_operators_that_delete_the_same_machine_at_once_all_succeed(place: tuple[World, DockerDriver]) -> None:
    world, driver = place
    made = await driver.create(world.named())
    await asyncio.gather(*(driver.delete(made.id, cluster=world.spec.owner.cluster) for _ in range(8)))
    assert await driver.list_owned(world.spec.owner.cluster) == ()
