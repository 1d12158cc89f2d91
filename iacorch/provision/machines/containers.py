"""Hands for machines that are containers: power, looking, listing, through the Docker Engine.

In: orders and classes of the driver `docker`; the cluster's name among labels. Out: `Hands`. What a container is made
of stands in `iacorch.stack.container`; here is only what is no deployment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiodocker
from aiodocker.containers import DockerContainer

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.infra.machines.contract import TAG_CLAIM, TAG_CLUSTER
from iacorch.infra.machines.docker_provider import docker_api
from iacorch.infra.machines.errors import CannotDo
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.decisions.repair import Power
from iacorch.provision.machines.contract import Mended, Order, Owned, Say, View
from iacorch.provision.pools.offers import Offer


class ContainerHands:
    """Implements `Hands`. A class's template, or its driver's settings there, may name another engine with `host`."""

    def __init__(self, *, cluster: str) -> None:
        self._cluster = cluster

    async def offers(self, machine_class: Object) -> tuple[Offer, ...]:
        """Containers have no price list: the class says what there is."""
        return ()

    async def survey(self, machine_class: Object) -> dict[str, View]:
        async with self._engine(machine_class) as engine:
            found = await self._list(engine)
        return {
            entry["Labels"][TAG_CLAIM]: View(Power.ON if entry["State"] == "running" else Power.OFF)
            for entry in found
            if TAG_CLAIM in (entry["Labels"] or {})
        }

    async def look(self, order: Order) -> View:
        async with self._engine(order.machine_class) as engine:
            found = await docker_api.unless_absent(
                engine.containers.get(order.machine_id), doing=f"looking at {order.name}"
            )
        if found is None:
            return View(Power.GONE)
        return View(Power.ON if found["State"]["Running"] else Power.OFF)

    async def mend(self, order: Order, work: Work, say: Say) -> Mended:
        async with self._engine(order.machine_class) as engine:
            container = engine.containers.container(order.machine_id)
            with docker_api.translated(f"{work} {order.name}"):
                match work:
                    case Work.REBOOT:
                        await container.restart(timeout=5)
                        return Mended("the container was restarted")
                    case Work.FENCE:
                        await container.stop(t=5)
                        return Mended("the container was stopped")
        raise CannotDo("docker", str(work))

    async def owned(self, machine_class: Object) -> tuple[Owned, ...]:
        async with self._engine(machine_class) as engine:
            found = await self._list(engine)
        where = objects.name(machine_class)
        return tuple(sorted((_owned(entry, where) for entry in found), key=lambda owned: owned.name))

    async def remove(self, machine_class: Object, owned: Owned) -> None:
        async with self._engine(machine_class) as engine:
            container = engine.containers.container(owned.machine_id)
            await docker_api.unless_absent(container.delete(force=True, v=True), doing=f"removing {owned.name}")

    async def _list(self, engine: aiodocker.Docker) -> list[DockerContainer]:
        with docker_api.translated("listing containers"):
            return await engine.containers.list(all=True, filters={"label": [f"{TAG_CLUSTER}={self._cluster}"]})

    @asynccontextmanager
    async def _engine(self, machine_class: Object) -> AsyncIterator[aiodocker.Docker]:
        template = objects.spec(machine_class).get("template") or {}
        engine = docker_api.connect(template.get("host") or (template.get("settings") or {}).get("host"))
        try:
            yield engine
        finally:
            await engine.close()


def _owned(container: DockerContainer, where: str) -> Owned:
    labels = container["Labels"] or {}
    name = container["Names"][0].lstrip("/")
    return Owned(container["Id"], name, labels.get(TAG_CLAIM, ""), "", where)
