"""What every daemon does as a process: hold its data directory, tell systemd, write plain log lines.

Called by the composition roots only. Needs nothing that an agent would not load anyway.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog

from iacorch.errors import ConfigError

log = structlog.get_logger(__name__)
_FIRST_DESCRIPTOR: Final = 3


class InUse(ConfigError):
    """Another process holds the directory."""


@contextlib.contextmanager
def only_one(data_dir: Path, program: str) -> Iterator[None]:
    """Hold the data directory for this process. Raises InUse when another one does, ConfigError when it cannot be."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{data_dir} cannot be used: {error.strerror}", where="--data-dir") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise InUse(
                f"{data_dir} is in use by another {program} (process {holder})",
                where="--data-dir",
                hint="stop that one first, or name another directory",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def notify(state: str, *, descriptors: Sequence[int] = ()) -> None:
    """Tell systemd, where it started us. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.connect(address)
            socket.send_fds(notifier, [state.encode()], list(descriptors))
        except OSError as error:
            log.warning("systemd does not listen", error=str(error))


class KeptSockets:
    """Sockets that systemd holds while this daemon restarts, however it ended. Source: sd_pid_notify_with_fds(3) and
    sd_listen_fds(3); the unit needs FileDescriptorStoreMax=."""

    def __init__(self) -> None:
        self._held = {name: socket.socket(fileno=descriptor) for name, descriptor in _handed_down()}

    def get(self, name: str, make: Callable[[], socket.socket]) -> socket.socket:
        if name not in self._held:
            self._held[name] = make()
            notify(f"FDSTORE=1\nFDNAME={name}", descriptors=[self._held[name].fileno()])
        return self._held[name].dup()

    def let_go(self) -> None:
        """Before this process becomes another program: that one would find the addresses in use."""
        for name, held in self._held.items():
            notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
            held.close()
        self._held.clear()


def _handed_down() -> Iterator[tuple[str, int]]:
    """(name, descriptor) of what systemd held for us; processes that we start are not to take it for theirs."""
    process, count, names = (os.environ.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
    if process == str(os.getpid()):
        for number, name in zip(range(int(count or 0)), names.split(":"), strict=False):
            os.set_inheritable(_FIRST_DESCRIPTOR + number, False)
            yield name, _FIRST_DESCRIPTOR + number


def set_up_logging(level: str) -> None:
    """Lines of key=value on standard error, from `level` up."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
