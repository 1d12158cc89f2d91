"""How a claim becomes a machine: the one protocol between the claims and what makes machines.

In: an `Order`, everything that is known of a claim. Out: machines, or leaves of MachineError and EngineError.
`stacks.StackMachines` makes each machine by a stack of its own through a Deployer; `drivers.DriverMachines` asks a
machine driver directly. `operations` calls it, bounded and journalled; everything here may be cut off at any point and
be asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from iacorch.api.objects import Object
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.decisions.repair import Power
from iacorch.provision.pools.offers import Offer, offer_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """One claim as the makers of machines see it. `uid` is the idempotency token and the tag on what is made."""

    uid: str
    name: str
    pool: str
    machine_class: Object = field(repr=False)
    offer: Offer
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    node_name: str
    machine_id: str = ""
    build: str = ""
    """What the machine is to be made a node with, where that is asked for (`infra.bootstrap.marks`)."""

    def record(self) -> dict[str, Any]:
        """As the journal keeps it: enough to remove the machine when the claim is gone."""
        return {
            "uid": self.uid,
            "name": self.name,
            "pool": self.pool,
            "class": self.machine_class,
            "offering": self.offer.spec(),
            "labels": dict(self.labels),
            "taints": [dict(taint) for taint in self.taints],
            "nodeName": self.node_name,
            "machineID": self.machine_id,
        }


def order_of_record(record: Mapping[str, Any]) -> Order:
    """The reverse. Raises KeyError or TypeError for what is no record."""
    machine_class = record["class"]
    return Order(
        uid=record["uid"],
        name=record["name"],
        pool=record["pool"],
        machine_class=machine_class,
        offer=offer_of(record["offering"], machine_class["metadata"]["name"]),
        labels=record["labels"],
        taints=tuple(record["taints"]),
        node_name=record["nodeName"],
        machine_id=record["machineID"],
    )


@dataclass(frozen=True, slots=True)
class Made:
    """A machine that runs. `build`: the mark of what it was made a node with, "" where nothing was."""

    machine_id: str
    address: str = ""
    build: str = ""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done, in words; `made` when another machine is in its place."""

    words: str
    made: Made | None = None


@dataclass(frozen=True, slots=True)
class View:
    """How a machine is. `interruption`: when and why it will be taken away; empty while nobody says so."""

    power: Power = Power.UNKNOWN
    interruption: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """A machine that carries our tag. `claim` is the UID of what it was made for, "" for other programs' machines."""

    machine_id: str
    name: str
    claim: str
    made: str = ""
    where: str = ""


class Hands(Protocol):
    """What can be done with machines beside making them."""

    async def offers(self, machine_class: Object) -> tuple[Offer, ...]:
        """What can be had of a class now."""
        ...

    async def survey(self, machine_class: Object) -> Mapping[str, View]:
        """How every machine of the class's account is, by the UID it was made for: one question for all of them.

        One that is missing here may only not be listed yet: `look` tells.
        """
        ...

    async def look(self, order: Order) -> View:
        """How the machine of one order is."""
        ...

    async def mend(self, order: Order, work: Work, say: Say) -> Mended:
        """One rung of the ladder, or FENCE. Raises CannotDo."""
        ...

    async def owned(self, machine_class: Object) -> tuple[Owned, ...]:
        """Every machine of this cluster that the class's account has."""
        ...

    async def remove(self, machine_class: Object, owned: Owned) -> None:
        """One that `owned` listed, whatever it was made for."""
        ...


class Machines(Hands, Protocol):
    """See the module docstring."""

    async def launch(self, order: Order, say: Say) -> Made:
        """The machine of this order, made or found, running and on its way to be a node."""
        ...

    async def destroy(self, order: Order, say: Say) -> None:
        """Return when it is certain that nothing of this order is left, also when making it was cut off."""
        ...
