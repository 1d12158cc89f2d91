"""Who runs the machines: QEMU's own processes, or libvirt where the settings name one.

In: a machine's folder and record. Out: it runs, or it does not. `driver` calls it under the machine's lock; `processes`
and `libvirt` implement it. The record says which of the two runs a machine, so changed settings leave it where it is.
"""

from __future__ import annotations

from typing import Protocol

from iacorch.infra.machines.qemu.place import Place, Record


class Hypervisor(Protocol):
    """Every method raises CloudRefused (with QEMU's or libvirt's words) and CloudUnavailable."""

    async def is_running(self, place: Place, record: Record) -> bool: ...

    async def start(self, place: Place, record: Record) -> None:
        """Only of one that does not run."""
        ...

    async def stop(self, place: Place, record: Record, *, patience_seconds: float) -> None:
        """Ask its system to halt, then pull the plug; one that does not run is fine."""
        ...

    async def reset(self, place: Place, record: Record) -> None:
        """Pull the plug and put it back."""
        ...

    async def forget(self, place: Place, record: Record) -> None:
        """Nothing of a stopped machine is left outside of its folder."""
        ...
