"""The MachineDriver of QEMU on this host.

In: specifications. Out: virtual machines, each a folder and a process. The record is written before the disk and the
disk before the process, under locks (`locks`): a create that was cut short goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from iacorch.infra.machines.contract import (
    Capabilities,
    CapacityType,
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
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    QuotaExceeded,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.qemu import accelerator, command, network
from iacorch.infra.machines.qemu.hypervisor import Hypervisor
from iacorch.infra.machines.qemu.libvirt import Libvirt
from iacorch.infra.machines.qemu.locks import locked
from iacorch.infra.machines.qemu.place import Place, Record, free_port
from iacorch.infra.machines.qemu.processes import Processes
from iacorch.infra.machines.qemu.programs import run
from iacorch.infra.machines.qemu.settings import QemuSettings, offerings, options_of
from iacorch.kit.clock import Clock, parse_rfc3339, rfc3339
from iacorch.kit.files import write_whole
from iacorch.kit.ids import Ids


class QemuDriver:
    """Implements `MachineDriver`."""

    name = "qemu"
    capabilities = Capabilities(power=frozenset({Power.ON, Power.OFF, Power.RESET}), console=True)

    def __init__(self, settings: QemuSettings, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._folder = settings.folder.expanduser().absolute()

    async def offerings(self) -> tuple[Offering, ...]:
        return offerings(self._settings, alive=len(self._places()))

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        offering, image = await self._check(spec)
        existing = self._existing(spec)
        if existing is None and offering.free == 0:
            raise QuotaExceeded("machines", limit=self._settings.machines)
        words = f"virtual machine {spec.name} ({spec.instance_type}) from {image}, {accelerator.of(self._settings)}"
        return MachinePlan(spec, offering, words, ("id", "sshPort"), MachineId(existing.id) if existing else None)

    async def create(self, spec: MachineSpec) -> Machine:
        record = await self._recorded(spec)
        async with self._held(record, "create") as place:
            await self._complete(place, record)
            if not await self._hypervisor(record).is_running(place, record):
                await self._hypervisor(record).start(place, record)
        return await self._machine(record)

    async def read(self, id: MachineId) -> Machine:
        return await self._machine(self._found(id))

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        record = self._found(id)
        if record.instance_type != spec.instance_type or record.name != spec.name:
            raise CannotDo(self.name, "change instance_type or name in place", hint="replace the machine")
        changed = replace(record, labels=dict(spec.labels))
        async with self._held(record, "update") as place:
            place.write(changed)
        return await self._machine(changed)

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            record = self._found(id)
            if record.cluster != cluster:
                raise NotOurs(id, operation="delete")
            async with self._held(record, "delete") as place:
                await self._hypervisor(record).stop(place, record, patience_seconds=0)
                await self._hypervisor(record).forget(place, record)
                place.remove()
        except MachineNotFound:
            return

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        records = [record for place in self._places() if (record := place.record()) and record.cluster == cluster]
        return tuple([await self._machine(record) for record in sorted(records, key=lambda record: record.id)])

    async def power(self, id: MachineId, power: Power) -> None:
        if power not in self.capabilities.power:
            raise CannotDo(self.name, f"power {power.value}")
        record = self._found(id)
        async with self._held(record, f"power {power.value}") as place:
            hypervisor = self._hypervisor(record)
            match power:
                case Power.ON if not await hypervisor.is_running(place, record):
                    await hypervisor.start(place, record)
                case Power.OFF:
                    await hypervisor.stop(place, record, patience_seconds=self._settings.halt_seconds)
                case Power.RESET:
                    await hypervisor.reset(place, record)
                case _:
                    return

    async def console(self, id: MachineId) -> str:
        return self._place(self._found(id)).console()

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        return ()

    async def aclose(self) -> None:
        return

    async def _check(self, spec: MachineSpec) -> tuple[Offering, str]:
        options_of(spec.options)
        if spec.capacity_type is not CapacityType.OWNED:
            raise InvalidSpec("capacity_type", f"this host's machines are owned, found {spec.capacity_type}")
        if spec.data_disks:
            raise CannotDo(self.name, "carry data disks")
        if spec.zone not in ("", self._settings.zone):
            raise UnknownZone(spec.zone, known=(self._settings.zone,), field="zone")
        sold = {offering.instance_type: offering for offering in await self.offerings()}
        if spec.instance_type not in sold:
            raise UnknownSize(spec.instance_type, known=sold, field="instance_type")
        image = spec.image or self._settings.image
        if not _is_file(image):
            raise UnknownImage(image, field="image")
        return sold[spec.instance_type], image

    async def _recorded(self, spec: MachineSpec) -> Record:
        """The machine's record, written before anything of it is made."""
        async with locked(self._folder, self._clock, operation="create"):
            if (existing := self._existing(spec)) is not None:
                return existing
            planned = await self.plan(spec)
            record = self._record(spec, planned.spec.image or self._settings.image)
            place = self._place(record)
            # Whoever had the name before may still be on the way out, or have been cut short on it.
            async with locked(place.folder, self._clock, operation="create"):
                place.clear()
                place.write(record)
            return record

    def _record(self, spec: MachineSpec, image: str) -> Record:
        return Record(
            id=f"{spec.owner.cluster}/{spec.name}/{self._ids.suffix(8)}",
            cluster=spec.owner.cluster,
            token=spec.owner.token,
            claim=spec.owner.claim,
            name=spec.name,
            instance_type=spec.instance_type,
            image=str(Path(image).absolute()),
            made_at=rfc3339(self._clock.now()),
            ssh_port=free_port(taken=self._ports()),
            address=network.free_address(self._settings.network, self._addresses()),
            ssh_public_key=spec.ssh_public_key,
            user_data=spec.user_data,
            forward={str(here): there for here, there in options_of(spec.options).forward.items()},
            labels=dict(spec.labels),
            libvirt=self._settings.libvirt,
        )

    async def _complete(self, place: Place, record: Record) -> None:
        """Disk and seed, as far as they are missing; each appears under its name when it is whole."""
        disk, seed = place.folder / "disk.qcow2", place.folder / "seed.iso"
        if not disk.exists():
            fresh = place.folder / "disk.new"
            size = self._settings.sizes[record.instance_type]
            found = await run("qemu-img", "info", "--output=json", record.image)
            kind = "qcow2" if '"format": "qcow2"' in found else "raw"
            await run(
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                kind,
                "-b",
                record.image,
                str(fresh),
                f"{size.disk_gib}G",
            )
            os.replace(fresh, disk)
        if not seed.exists():
            told = record.user_data or command.user_data(
                hostname=record.name, user=self._settings.ssh_user, ssh_public_key=record.ssh_public_key
            )
            write_whole(seed, command.seed(record, told))

    def _hypervisor(self, record: Record) -> Hypervisor:
        return (Libvirt if record.libvirt else Processes)(self._settings, self._clock)

    def _addresses(self) -> frozenset[str]:
        """Taken ones, of all clusters: they may be on one bridge."""
        return frozenset(record.address for place in self._places() if (record := place.record()))

    def _ports(self) -> frozenset[int]:
        records = [record for place in self._places() if (record := place.record())]
        forwarded = (int(here) for record in records for here in record.forward)
        return frozenset([*(record.ssh_port for record in records), *forwarded])

    def _existing(self, spec: MachineSpec) -> Record | None:
        record = Place(self._folder / spec.owner.cluster / spec.name).record()
        if record is None:
            return None
        if record.token != spec.owner.token:
            raise MachineExists(spec.name, record.id)
        return record

    def _found(self, id: MachineId) -> Record:
        cluster, _, rest = id.partition("/")
        record = Place(self._folder / cluster / rest.partition("/")[0]).record()
        if record is None or record.id != id:
            raise MachineNotFound(id)
        return record

    @asynccontextmanager
    async def _held(self, record: Record, operation: str) -> AsyncIterator[Place]:
        """A machine's folder, while nobody else changes it. Raises MachineNotFound where somebody deleted it before."""
        place = self._place(record)
        async with locked(place.folder, self._clock, operation=operation):
            found = place.record()
            if found is None:
                place.remove()
            if found is None or found.id != record.id:  # the next one of this name is another machine
                raise MachineNotFound(MachineId(record.id))
            yield place

    def _place(self, record: Record) -> Place:
        return Place(self._folder / record.cluster / record.name)

    def _places(self) -> list[Place]:
        return [Place(path.parent) for path in sorted(self._folder.glob("*/*/machine.json"))]

    async def _machine(self, record: Record) -> Machine:
        running = await self._hypervisor(record).is_running(self._place(record), record)
        return Machine(
            id=MachineId(record.id),
            name=record.name,
            state=MachineState.RUNNING if running else MachineState.STOPPED,
            instance_type=record.instance_type,
            zone=self._settings.zone,
            capacity_type=CapacityType.OWNED,
            owner=OwnerTags(record.cluster, record.token, record.claim),
            image=record.image,
            address="127.0.0.1",
            ssh_port=record.ssh_port,
            ssh_user=self._settings.ssh_user,
            private_address=record.address.partition("/")[0] or network.USER_ADDRESS,
            labels=record.labels,
            created_at=parse_rfc3339(record.made_at),
        )


def _is_file(path: str) -> bool:
    return Path(path).is_file()
