"""A machine's folder: its record, disk, seed, pid, monitor socket and console. The record decides that it exists.

In: a folder. Out: the record, whether QEMU runs, and QMP commands. A pid counts only while its process was started for
this very folder: numbers are used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import orjson

from iacorch.infra.machines.errors import CloudUnavailable
from iacorch.kit import limits
from iacorch.kit.clock import Clock

_RECORD: Final = "machine.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What was asked for; written once, before anything else."""

    id: str
    cluster: str
    token: str
    claim: str
    name: str
    instance_type: str
    image: str
    made_at: str
    ssh_port: int
    ssh_public_key: str = ""
    user_data: str = ""
    address: str = ""
    """On the network between machines, as ADDRESS/LENGTH; empty for machines from before there was one."""
    forward: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class Place:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self) -> Record | None:
        """None: there is no machine here (any more)."""
        try:
            return Record(**orjson.loads((self.folder / _RECORD).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, TypeError):
            return None

    def write(self, record: Record) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.folder / f"{_RECORD}.new"
        fresh.write_bytes(orjson.dumps(asdict(record)))
        os.replace(fresh, self.folder / _RECORD)

    def pid(self) -> int | None:
        """QEMU's, while it runs."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.folder / "pid") in command.split(b"\0") else None

    async def tell(self, command: str) -> None:
        """One QMP command. Raises CloudUnavailable."""
        try:
            async with asyncio.timeout(limits.QMP_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self.folder / "monitor"))
                try:
                    await reader.readline()  # its greeting
                    for name in ("qmp_capabilities", command):
                        writer.write(orjson.dumps({"execute": name}) + b"\n")
                        await writer.drain()
                        await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise CloudUnavailable(command, f"the monitor of {self.folder.name} does not answer: {error}") from error

    async def stop(self, clock: Clock, *, patience_seconds: float) -> None:
        """Ask the system to halt, then end QEMU."""
        if patience_seconds > 0 and self.pid() is not None:
            with contextlib.suppress(CloudUnavailable):
                await self.tell("system_powerdown")
            deadline = clock.monotonic() + patience_seconds
            while self.pid() is not None and clock.monotonic() < deadline:
                await clock.sleep(limits.QMP_POLL_SECONDS)
        deadline = clock.monotonic() + limits.QMP_SECONDS
        while (pid := self.pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if clock.monotonic() >= deadline:
                raise CloudUnavailable("stop", f"process {pid} of {self.folder.name} does not end")
            await clock.sleep(limits.QMP_POLL_SECONDS)

    def console(self) -> str:
        try:
            return (self.folder / "console.log").read_bytes()[-limits.CONSOLE_BYTES :].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def remove(self) -> None:
        """The record first: what is left of a removal that was cut short is no machine."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / _RECORD).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at now. Somebody may take it before QEMU does: QEMU then says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
