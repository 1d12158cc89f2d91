"""Hands for machines of every driver: containers by the Docker Engine, others by their machine driver.

In: classes and orders. Out: `Hands`, each call handed to the driver that the class names. Used by `stacks` for what is
no deployment, and by the reaper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.errors import ConfigError
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.provision.containers import ContainerHands
from iacorch.provision.lifecycle import Work
from iacorch.provision.machines import Hands, Mended, Order, Owned, Say, View
from iacorch.provision.offers import Offer

Opener = Callable[[str, Clock, Ids], Hands]
OPENERS: Final[dict[str, Opener]] = {
    "docker": lambda cluster, clock, ids: ContainerHands(cluster=cluster),
}


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
