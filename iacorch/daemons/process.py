"""What every daemon does as a process: hold its data directory, tell systemd, write plain log lines.

Called by the composition roots only. Needs nothing that an agent would not load anyway.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog

from iacorch.errors import ConfigError

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def only_one(data_dir: Path, program: str) -> Iterator[None]:
    """Hold the data directory for this process. Raises ConfigError when another one does."""
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
            raise ConfigError(
                f"{data_dir} is in use by another {program} (process {holder})",
                where="--data-dir",
                hint="stop that one first, or name another directory",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def notify(state: str) -> None:
    """Tell systemd, where it started us. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd does not listen", error=str(error))


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
