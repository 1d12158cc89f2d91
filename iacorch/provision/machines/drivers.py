"""Machines straight from a machine driver: `Machines` without stacks.

In: drivers by class, the cluster's name among its tags. Used by the simulation on the fake cloud, and on every cloud
(`hands`) for looking, power and the reaper, whatever made the machines. A new machine becomes a node by what its image
does at first boot (user data of the class's template); a class that needs bootstrap is made by `stacks`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.infra.machines import contract
from iacorch.infra.machines.contract import (
    CapacityType,
    Machine,
    MachineDriver,
    MachineId,
    MachineSpec,
    MachineState,
    OwnerTags,
)
from iacorch.infra.machines.errors import CannotDo, MachineNotFound
from iacorch.infra.machines.retries import wait_gone, wait_running
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.decisions.repair import Power
from iacorch.provision.machines.contract import Made, Mended, Order, Owned, Say, View
from iacorch.provision.pools.offers import Offer, offer_of

Open = Callable[[Object], Awaitable[MachineDriver]]
Touch = Callable[[Order, Work], Awaitable[str]]
"""What goes into the machine over SSH: restart the agent, bootstrap. Raises a leaf of IacorchError."""

_POWER = {
    MachineState.PENDING: Power.ON,
    MachineState.RUNNING: Power.ON,
    MachineState.STOPPED: Power.OFF,
    MachineState.DELETING: Power.GONE,
    MachineState.BROKEN: Power.UNKNOWN,
}


class DriverMachines:
    """Implements `Machines`. `cluster` names the cluster among tags; `touch` mends what is inside a machine."""

    def __init__(self, open_driver: Open, *, cluster: str, clock: Clock, touch: Touch | None = None) -> None:
        self._open, self._cluster, self._clock, self._touch = open_driver, cluster, clock, touch

    async def offers(self, machine_class: Object) -> tuple[Offer, ...]:
        name = objects.name(machine_class)
        if listed := objects.spec(machine_class).get("offerings"):
            return tuple(offer_of(offering, name) for offering in listed)
        driver = await self._open(machine_class)
        return tuple(_offer(offering, name) for offering in await driver.offerings())

    async def launch(self, order: Order, say: Say) -> Made:
        driver = await self._open(order.machine_class)
        machine = await driver.create(self._spec(order))
        machine = await wait_running(driver, machine.id, self._clock, say=say)
        return Made(machine.id, machine.address)

    async def destroy(self, order: Order, say: Say) -> None:
        """Looks twice: what was asked for just before a crash may not be listed yet."""
        driver = await self._open(order.machine_class)
        sure = bool(order.machine_id)
        while True:
            for machine in await self._of(driver, order.uid):
                await self._delete(driver, machine.id, say)
            if sure:
                return
            await self._clock.sleep(limits.CLOUD_VISIBLE_SECONDS)
            sure = True

    async def survey(self, machine_class: Object) -> dict[str, View]:
        driver = await self._open(machine_class)
        found = await driver.list_owned(self._cluster)
        return {m.owner.claim: _view(m) for m in found if m.owner is not None and m.owner.claim}

    async def look(self, order: Order) -> View:
        driver = await self._open(order.machine_class)
        try:
            return _view(await driver.read(MachineId(order.machine_id)))
        except MachineNotFound:
            return View(Power.GONE)

    async def mend(self, order: Order, work: Work, say: Say) -> Mended:
        driver = await self._open(order.machine_class)
        id = MachineId(order.machine_id)
        match work:
            case Work.REBOOT:
                await driver.power(id, contract.Power.RESET)
                return Mended("its power was reset")
            case Work.FENCE:
                await driver.power(id, contract.Power.OFF)
                return Mended("it was powered off")
            case Work.REIMAGE:
                await self._delete(driver, id, say)
                made = await self.launch(order, say)
                return Mended(f"machine {made.machine_id} took its place", made)
            case _:
                if self._touch is None:
                    raise CannotDo(driver.name, str(work))
                return Mended(await self._touch(order, work))

    async def owned(self, machine_class: Object) -> tuple[Owned, ...]:
        driver = await self._open(machine_class)
        where = objects.name(machine_class)
        return tuple(
            Owned(m.id, m.name, m.owner.claim if m.owner is not None else "", _made(m), where)
            for m in await driver.list_owned(self._cluster)
            if m.state is not MachineState.DELETING
        )

    async def remove(self, machine_class: Object, owned: Owned) -> None:
        driver = await self._open(machine_class)
        await self._delete(driver, MachineId(owned.machine_id), lambda words: None)
        await driver.tidy(self._cluster)

    async def _of(self, driver: MachineDriver, uid: str) -> list[Machine]:
        return [m for m in await driver.list_owned(self._cluster) if m.owner is not None and m.owner.claim == uid]

    async def _delete(self, driver: MachineDriver, id: MachineId, say: Say) -> None:
        say(f"removing {id}")
        await driver.delete(id, cluster=self._cluster, discard_data=True)
        await wait_gone(driver, id, self._clock)

    def _spec(self, order: Order) -> MachineSpec:
        template: dict[str, Any] = objects.spec(order.machine_class).get("template") or {}
        return MachineSpec(
            name=order.name,
            instance_type=order.offer.machine_type,
            owner=OwnerTags(self._cluster, token=order.uid, claim=order.uid),
            capacity_type=CapacityType(order.offer.capacity_type),
            zone=order.offer.zone,
            image=str(template.get("image") or ""),
            ssh_public_key=str(template.get("sshPublicKey") or ""),
            user_data=str(template.get("userData") or ""),
            options=template.get("options") or {},
        )


def _offer(offering: contract.Offering, class_name: str) -> Offer:
    capacity = {
        "cpu": f"{offering.capacity.cpu_millis}m",
        "memory": str(offering.capacity.memory_bytes),
        **{name: str(count) for name, count in offering.capacity.extended},
    }
    return Offer(
        class_name,
        offering.instance_type,
        capacity,
        zone=offering.zone,
        capacity_type=offering.capacity_type.value,
        price=offering.price_micros_per_hour,
        labels={"kubernetes.io/arch": offering.arch},
        count=offering.free,
    )


def _view(machine: Machine) -> View:
    interruption = machine.interruption
    words = f"{interruption.reason} at {rfc3339(interruption.at)}" if interruption is not None else ""
    return View(_POWER[machine.state], words)


def _made(machine: Machine) -> str:
    return rfc3339(machine.created_at) if machine.created_at is not None else ""
