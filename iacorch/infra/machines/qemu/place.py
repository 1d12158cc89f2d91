"""A machine's folder: its record, disk, seed, console. The record decides that the machine exists.

In: a folder. Out: what is in it. Only its owner may read it: user data has secrets.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import orjson

from iacorch.infra.machines.errors import QuotaExceeded
from iacorch.infra.machines.qemu.locks import LOCK
from iacorch.kit import limits
from iacorch.kit.files import write_whole

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
    libvirt: str = ""
    """The URI of the libvirt that runs it; empty where QEMU is started by the driver itself."""


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
        write_whole(self.folder / _RECORD, orjson.dumps(asdict(record)))

    def console(self) -> str:
        try:
            return (self.folder / "console.log").read_bytes()[-limits.CONSOLE_BYTES :].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def clear(self) -> None:
        """Nothing stays of a machine whose removal was cut short. The folder's lock does: whoever calls holds it."""
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink()

    def remove(self) -> None:
        """The record first: what is left of a removal that was cut short is no machine."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / _RECORD).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port(*, taken: frozenset[int] = frozenset()) -> int:
    """A port of 127.0.0.1 that nobody listens at now, and no machine of `taken` will when it runs.

    Somebody else may take it before QEMU does: QEMU then says so. Raises QuotaExceeded.
    """
    for _ in range(limits.PORT_TRIES):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
    raise QuotaExceeded("ports", f"{limits.PORT_TRIES} were drawn that machines have", limit=len(taken))
