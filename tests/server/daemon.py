"""A real `iacorchd` in a process of its own, on a free port."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180.0


@dataclass(frozen=True)
class Daemon:
    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"


def start(data_dir: Path, *flags: str, listen: str = "127.0.0.1:0") -> Daemon:
    """Start one and wait until it serves. Fails with its log."""
    log = data_dir.with_name(data_dir.name + ".log")
    log.unlink(missing_ok=True)
    with log.open("wb") as out:
        command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(data_dir)]
        process = subprocess.Popen([*command, "--listen", listen, *flags], stdout=out, stderr=out)
    daemon = Daemon(process, data_dir, log)
    deadline = time.monotonic() + START_SECONDS
    while b"event=serving" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(daemon)
            raise AssertionError(f"iacorchd did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return daemon


def stop(daemon: Daemon, number: signal.Signals = signal.SIGTERM) -> int:
    if daemon.process.poll() is None:
        daemon.process.send_signal(number)
    try:
        return daemon.process.wait(20)
    except subprocess.TimeoutExpired:
        daemon.process.kill()
        daemon.process.wait()
        raise


@contextmanager
def running(data_dir: Path, *flags: str) -> Iterator[Daemon]:
    daemon = start(data_dir, *flags)
    try:
        yield daemon
    finally:
        stop(daemon)
