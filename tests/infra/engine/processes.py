"""Engines as processes of their own, to be killed: shared by the tests of crashes, locks and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from iacorch.kit.clock import SystemClock
from tests.infra.engine.conftest import PASSPHRASE, PROVIDER, World

PATIENCE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, boundedly."""
    clock = SystemClock()
    give_up = clock.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert clock.monotonic() < give_up, f"waited in vain: {what}"
        await clock.sleep(0.02)


def plugin_folder(world: World) -> Path:
    """A folder for PATH with the provider of the tests in it; it writes its processes' numbers down."""
    folder = world.root / "bin"
    folder.mkdir(exist_ok=True)
    script = folder / "pulumi-resource-loop"
    script.write_text(f'#!/bin/sh\necho $$ >> "$LOOP_WORLD/pids"\nexec "{sys.executable}" "{PROVIDER}" "$@"\n')
    script.chmod(0o755)
    return folder


def start(
    world: World,
    *arguments: str,
    module: str = "iacorch.cli.main",
    environment: Mapping[str, str] = MappingProxyType({}),
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """`iacorch ARGUMENTS` in a process of its own."""
    path = os.pathsep.join([str(plugin_folder(world)), os.environ["PATH"]])
    given = {**os.environ, **world.environment, "PATH": path, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE, **environment}
    options = ["--cwd", str(world.ref.work_dir), "--backend", world.ref.backend_url, "--stack", "dev"]
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--engine", "builtin", *options],
        env=given, stdout=stdout, stderr=stderr,
    )  # fmt: skip


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
