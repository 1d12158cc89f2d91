"""Hands for machines of every driver: containers by the Docker Engine, others by their machine driver.

In: classes and orders. Out: `Hands`, each call handed to the driver that the class names. Used by `stacks` for what is
no deployment, and by the reaper.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.errors import ConfigError
from iacorch.infra.machines import registry
from iacorch.infra.machines.contract import MachineDriver
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.machines.containers import ContainerHands
from iacorch.provision.machines.contract import Hands, Mended, Order, Owned, Say, View
from iacorch.provision.machines.drivers import DriverMachines
from iacorch.provision.pools.offers import Offer

Opener = Callable[[str, Clock, Ids], Hands]


def _by_driver(cluster: str, clock: Clock, ids: Ids) -> Hands:
    return DriverMachines(OpenDrivers(clock, ids), cluster=cluster, clock=clock)


OPENERS: Final[dict[str, Opener]] = {
    **dict.fromkeys(registry.names(), _by_driver),
    "docker": lambda cluster, clock, ids: ContainerHands(cluster=cluster),
}


class OpenDrivers:
    """Drivers as classes ask for them; those with the same settings share one, which keeps its connections."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock, self._ids = clock, ids
        self._open: dict[str, MachineDriver] = {}

    async def __call__(self, machine_class: Object) -> MachineDriver:
        """Raises leaves of MachineError for settings that are wrong."""
        spec = objects.spec(machine_class)
        name, settings = str(spec.get("driver")), (spec.get("template") or {}).get("settings") or {}
        key = json.dumps([name, settings], sort_keys=True)
        if key not in self._open:
            # importing a cloud's library takes a second, and reading its credentials asks the disk
            self._open[key] = await asyncio.to_thread(registry.open_driver, name, settings, self._clock, self._ids)
        return self._open[key]


class HandsByDriver:
    """Implements `Hands`."""

    def __init__(self, *, cluster: str, clock: Clock, ids: Ids) -> None:
        self._cluster, self._clock, self._ids = cluster, clock, ids
        self._hands: dict[str, Hands] = {}

    async def offers(self, machine_class: Object) -> tuple[Offer, ...]:
        return await self._of(machine_class).offers(machine_class)

    async def survey(self, machine_class: Object) -> Mapping[str, View]:
        return await self._of(machine_class).survey(machine_class)

    async def look(self, order: Order) -> View:
        return await self._of(order.machine_class).look(order)

    async def mend(self, order: Order, work: Work, say: Say) -> Mended:
        return await self._of(order.machine_class).mend(order, work, say)

    async def owned(self, machine_class: Object) -> tuple[Owned, ...]:
        return await self._of(machine_class).owned(machine_class)

    async def remove(self, machine_class: Object, owned: Owned) -> None:
        await self._of(machine_class).remove(machine_class, owned)

    def _of(self, machine_class: Object) -> Hands:
        driver = str(objects.spec(machine_class).get("driver"))
        if driver not in OPENERS:
            raise ConfigError(
                f"there is no driver {driver!r}",
                where=f"MachineClass {objects.name(machine_class)}",
                hint=f"use one of: {', '.join(sorted(OPENERS))}",
            )
        if driver not in self._hands:
            self._hands[driver] = OPENERS[driver](self._cluster, self._clock, self._ids)
        return self._hands[driver]
