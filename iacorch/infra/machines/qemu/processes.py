"""Machines as processes of QEMU that the driver starts itself. Implements `Hypervisor`.

A pid counts only while its process was started for this very folder: numbers are used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import orjson

from iacorch.infra.machines.errors import CloudUnavailable
from iacorch.infra.machines.qemu import accelerator, command
from iacorch.infra.machines.qemu.place import Place, Record
from iacorch.infra.machines.qemu.programs import run
from iacorch.infra.machines.qemu.settings import QemuSettings
from iacorch.kit import limits
from iacorch.kit.clock import Clock


class Processes:
    def __init__(self, settings: QemuSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def is_running(self, place: Place, record: Record) -> bool:
        return pid(place) is not None

    async def start(self, place: Place, record: Record) -> None:
        kvm = accelerator.of(self._settings).kvm
        await run(*command.arguments(self._settings, record, place.folder, kvm=kvm))

    async def stop(self, place: Place, record: Record, *, patience_seconds: float) -> None:
        if patience_seconds > 0 and pid(place) is not None:
            with contextlib.suppress(CloudUnavailable):
                await _tell(place, "system_powerdown")
            deadline = self._clock.monotonic() + patience_seconds
            while pid(place) is not None and self._clock.monotonic() < deadline:
                await self._clock.sleep(limits.QMP_POLL_SECONDS)
        deadline = self._clock.monotonic() + limits.QMP_SECONDS
        while (number := pid(place)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
            if self._clock.monotonic() >= deadline:
                raise CloudUnavailable("stop", f"process {number} of {place.folder.name} does not end")
            await self._clock.sleep(limits.QMP_POLL_SECONDS)

    async def reset(self, place: Place, record: Record) -> None:
        await _tell(place, "system_reset")

    async def forget(self, place: Place, record: Record) -> None:
        return


def pid(place: Place) -> int | None:
    """QEMU's, while it runs."""
    try:
        number = int((place.folder / "pid").read_text())
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return number if os.fsencode(place.folder / "pid") in words else None


async def _tell(place: Place, word: str) -> None:
    """One QMP command. Raises CloudUnavailable."""
    try:
        async with asyncio.timeout(limits.QMP_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(place.folder / "monitor"))
            try:
                await reader.readline()  # its greeting
                for name in ("qmp_capabilities", word):
                    writer.write(orjson.dumps({"execute": name}) + b"\n")
                    await writer.drain()
                    await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise CloudUnavailable(word, f"the monitor of {place.folder.name} does not answer: {error}") from error
