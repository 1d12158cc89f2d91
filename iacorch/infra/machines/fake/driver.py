"""A MachineDriver on the fake cloud, written as one on a real cloud is: bounded retries, tokens, tags, waits.

In: specifications. Out: machines. Many drivers on one `FakeCloud` are many operators of one account.
"""

from __future__ import annotations

import dataclasses

from iacorch.infra.machines.contract import (
    TAG_TOKEN,
    Capabilities,
    Machine,
    MachineId,
    MachinePlan,
    MachineSpec,
    MachineState,
    Offering,
    OwnerTags,
    Power,
)
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudUnavailable,
    HoldsData,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.fake import offerings as catalogue
from iacorch.infra.machines.fake.cloud import FakeCloud, Instance
from iacorch.infra.machines.retries import Retries
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids


class FakeDriver:
    """Implements `MachineDriver`."""

    name = "fake"
    capabilities = Capabilities(
        spot=True,
        data_disks=True,
        power=frozenset(Power),
        console=True,
        interruption_notices=True,
    )

    def __init__(self, cloud: FakeCloud, clock: Clock, ids: Ids, *, retries: Retries | None = None) -> None:
        self._cloud = cloud
        self._clock = clock
        self._retries = retries or Retries(clock, ids)

    async def offerings(self) -> tuple[Offering, ...]:
        return tuple(sorted(self._cloud.offerings, key=lambda offering: offering.key))

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        existing = await self._by_token(spec.owner)
        filled, offering = await self._fill(spec)
        if existing is None:
            await self._refuse_duplicate(spec)
        words = f"{filled.instance_type} in {filled.zone} ({filled.capacity_type}) from {filled.image}"
        return MachinePlan(filled, offering, words, existing=existing.id if existing else None)

    async def create(self, spec: MachineSpec) -> Machine:
        if (existing := await self._by_token(spec.owner)) is not None:
            return self._machine(existing)
        filled, _ = await self._fill(spec)
        await self._refuse_duplicate(spec)
        instance = await self._run(filled)
        await self._wait_visible(instance.id)
        return self._machine(instance)

    async def read(self, id: MachineId) -> Machine:
        return self._machine(await self._retries.run(lambda: self._cloud.describe(id)))

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        machine = await self.read(id)
        for field in ("name", "instance_type", "capacity_type"):
            if getattr(machine, field) != getattr(spec, field):
                raise CannotDo(self.name, f"change {field} in place", hint="replace the machine")
        tags = {**spec.labels, **spec.owner.as_tags(), "Name": spec.name}
        await self._retries.run(lambda: self._cloud.tag(id, tags))
        return await self.read(id)

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            machine = await self.read(id)
            if machine.owner is None or machine.owner.cluster != cluster:
                raise NotOurs(id, operation="delete")
            if machine.data_disks and not discard_data:
                raise HoldsData(id, machine.data_disks)
            await self._retries.run(lambda: self._cloud.terminate(id))
        except MachineNotFound:
            return

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        tags = OwnerTags(cluster, token="").as_tags()
        return tuple(self._machine(i) for i in await self._retries.run(lambda: self._cloud.list(tags)))

    async def power(self, id: MachineId, power: Power) -> None:
        await self._retries.run(lambda: self._cloud.power(id, power))

    async def console(self, id: MachineId) -> str:
        return await self._retries.run(lambda: self._cloud.console(id))

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        return ()  # this cloud has nothing but machines

    async def aclose(self) -> None:
        return

    async def _run(self, spec: MachineSpec) -> Instance:
        """The cloud remembers tokens of dead machines: the n-th life of one owner has the n-th client token."""
        for generation in range(limits.CREATE_GENERATIONS):
            token = f"{spec.owner.token}/{generation}"
            try:
                instance = await self._retries.run(lambda token=token: self._cloud.run(token, spec))  # type: ignore[misc]
            except MachineExists as error:
                if await self._is_alive(MachineId(error.id)):
                    raise
                continue
            if instance.state(self._clock.now()) not in (None, MachineState.DELETING):
                return instance
        raise InvalidSpec("owner", f"{limits.CREATE_GENERATIONS} machines were made under this token and deleted")

    async def _is_alive(self, id: MachineId) -> bool:
        try:
            return (await self.read(id)).state is not MachineState.DELETING
        except MachineNotFound:
            return False

    async def _by_token(self, owner: OwnerTags) -> Instance | None:
        tags = {**OwnerTags(owner.cluster, owner.token).as_tags()}
        found = await self._retries.run(lambda: self._cloud.list(tags))
        now = self._clock.now()
        return next((i for i in found if i.state(now) is not MachineState.DELETING), None)

    async def _refuse_duplicate(self, spec: MachineSpec) -> None:
        tags = {**OwnerTags(spec.owner.cluster, "").as_tags(), "Name": spec.name}
        for instance in await self._retries.run(lambda: self._cloud.list(tags)):
            if instance.tags.get(TAG_TOKEN) != spec.owner.token:
                raise MachineExists(spec.name, instance.id)

    async def _fill(self, spec: MachineSpec) -> tuple[MachineSpec, Offering]:
        """The driver's choices: the default image, and the cheapest zone. Raises the Unknown leaves."""
        offerings = await self.offerings()
        if spec.options:
            raise InvalidSpec("options", f"the fake cloud knows none, found {', '.join(sorted(spec.options))}")
        image = spec.image or catalogue.DEFAULT_IMAGE
        if image not in catalogue.IMAGES:
            raise UnknownImage(image, known=catalogue.IMAGES)
        if spec.instance_type not in (types := {o.instance_type for o in offerings}):
            raise UnknownSize(spec.instance_type, known=types)
        if spec.zone and spec.zone not in (zones := {o.zone for o in offerings}):
            raise UnknownZone(spec.zone, known=zones)
        fitting = [
            o
            for o in offerings
            if o.instance_type == spec.instance_type
            and o.capacity_type is spec.capacity_type
            and spec.zone in ("", o.zone)
        ]
        if not fitting:
            raise InvalidSpec("capacity_type", f"{spec.instance_type} is not sold {spec.capacity_type}")
        offering = min(fitting, key=lambda o: (o.price_micros_per_hour, o.zone))
        return dataclasses.replace(spec, image=image, zone=offering.zone), offering

    async def _wait_visible(self, id: MachineId) -> None:
        deadline = self._clock.monotonic() + limits.CLOUD_VISIBLE_SECONDS
        while True:
            try:
                await self.read(id)
                return
            except MachineNotFound:
                if self._clock.monotonic() >= deadline:
                    raise CloudUnavailable("create", f"{id} was made and is not listed") from None
            await self._clock.sleep(limits.CLOUD_POLL_SECONDS)

    def _machine(self, instance: Instance) -> Machine:
        spec, now = instance.spec, self._clock.now()
        state = instance.state(now)
        ours = {*OwnerTags("c", "t", "c").as_tags(), "Name"}
        return Machine(
            id=instance.id,
            name=instance.tags.get("Name", ""),
            state=state or MachineState.DELETING,
            instance_type=spec.instance_type,
            zone=spec.zone,
            capacity_type=spec.capacity_type,
            owner=OwnerTags.from_tags(instance.tags),
            image=spec.image,
            address=instance.address if state is MachineState.RUNNING else "",
            private_address=instance.address,
            labels={name: value for name, value in instance.tags.items() if name not in ours},
            created_at=instance.made,
            data_disks=tuple(f"vol-{instance.id}-{n}" for n in range(len(spec.data_disks))),
            problem="its host failed" if state is MachineState.BROKEN else "",
            interruption=instance.interruption,
        )
