"""Machines as domains of a libvirt, through its own `virsh`. Implements `Hypervisor`.

People see them in `virsh list` and virt-manager, and they start again with their host. The system's libvirt runs QEMU
as a user of its own, who must be able to enter the machines' folder.
"""

from __future__ import annotations

import contextlib
import shutil

from iacorch.infra.machines.errors import CloudRefused, CloudUnavailable
from iacorch.infra.machines.qemu import accelerator, domain
from iacorch.infra.machines.qemu.place import Place, Record
from iacorch.infra.machines.qemu.programs import run
from iacorch.infra.machines.qemu.settings import QemuSettings
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.files import write_whole

_ENTERED = 0o711  # by name, and not read


class Libvirt:
    def __init__(self, settings: QemuSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def is_running(self, place: Place, record: Record) -> bool:
        return domain.name_of(record) in await self._names(record)

    async def start(self, place: Place, record: Record) -> None:
        program = shutil.which(self._settings.program)
        if program is None:
            raise CloudRefused("start", code="missing", message=f"there is no program {self._settings.program}")
        kvm = accelerator.of(self._settings).kvm
        told = place.folder / "domain.xml"
        write_whole(told, domain.definition(self._settings, record, place.folder, program=program, kvm=kvm).encode())
        for folder in (place.folder, place.folder.parent, place.folder.parent.parent):
            folder.chmod(_ENTERED)
        name = domain.name_of(record)
        await self._virsh(record, "define", "--validate", str(told))
        await self._virsh(
            record, "start", name, hint=f"libvirt's user must be able to enter {place.folder}: see the setting folder"
        )
        with contextlib.suppress(CloudRefused):  # a libvirt of one's own session starts nothing with the host
            await self._virsh(record, "autostart", name)

    async def stop(self, place: Place, record: Record, *, patience_seconds: float) -> None:
        name = domain.name_of(record)
        if patience_seconds > 0 and await self.is_running(place, record):
            with contextlib.suppress(CloudRefused):
                await self._virsh(record, "shutdown", name)
            deadline = self._clock.monotonic() + patience_seconds
            while await self.is_running(place, record) and self._clock.monotonic() < deadline:
                await self._clock.sleep(limits.LIBVIRT_POLL_SECONDS)
        if not await self.is_running(place, record):
            return
        try:
            await self._virsh(record, "destroy", name)
        except CloudRefused as error:  # it may have ended by itself just now
            if await self.is_running(place, record):
                raise CloudUnavailable("stop", error.message) from error

    async def reset(self, place: Place, record: Record) -> None:
        await self._virsh(record, "reset", domain.name_of(record))

    async def forget(self, place: Place, record: Record) -> None:
        if domain.name_of(record) in await self._names(record, "--all"):
            await self._virsh(record, "undefine", domain.name_of(record))

    async def _names(self, record: Record, *which: str) -> frozenset[str]:
        return frozenset((await self._virsh(record, "list", "--name", *which)).split())

    async def _virsh(self, record: Record, *words: str, hint: str = "") -> str:
        return await run("virsh", "--quiet", "--connect", record.libvirt, *words, hint=hint)
