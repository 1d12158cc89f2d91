"""One writer at a time, and none while what a killed one started still lives."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import Progress
from iacorch.infra.engine.errors import StackLocked
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from tests.infra.engine.conftest import World
from tests.infra.engine.processes import alive, start, until


def dead_pid() -> int:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


@contextmanager
def zombie() -> Iterator[int]:
    """The number of a process that has ended and that nobody has asked about."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        yield ended.pid


def lock(world: World, pid: int, host: str, **more: str) -> Path:
    path = world.root / "state/.pulumi/locks/organization/proj/dev/other.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"pid": pid, "hostname": host, "username": "ada", "timestamp": "now", **more}))
    return path


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
async def test_a_lock_that_may_be_held_stops_a_second_writer(world: World, host: str) -> None:
    world.program('Thing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    held = lock(world, os.getpid(), host)
    with pytest.raises(StackLocked, match="locked by ada@"):
        await engine.up(world.ref, world.options())
    assert held.exists()
    assert world.there() == []
    assert await engine.unlock(world.ref) == 1
    await engine.up(world.ref, world.options())
    assert not list(held.parent.iterdir())


async def test_the_lock_of_a_process_that_died_is_removed(world: World) -> None:
    world.program('Thing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    lock(world, dead_pid(), socket.gethostname())
    await engine.up(world.ref, world.options())
    assert world.there() == ["a-0"]


async def test_the_lock_of_one_that_nobody_has_buried_is_removed(world: World) -> None:
    world.program('Thing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with zombie() as pid:
        lock(world, pid, socket.gethostname())
        await engine.up(world.ref, world.options())
    assert world.there() == ["a-0"]


async def test_the_lock_of_an_earlier_boot_is_removed_whoever_has_its_number_now(world: World) -> None:
    world.program('Thing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    lock(world, os.getpid(), socket.gethostname(), boot="another")
    await engine.up(world.ref, world.options())
    assert world.there() == ["a-0"]


def children_file(world: World) -> Path:
    return world.root / "state/.pulumi/children/proj/dev"


@contextmanager
def survivor(world: World) -> Iterator[None]:
    """Hold what a child of a killed run would hold."""
    path = children_file(world)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def nobody_left(world: World) -> bool:
    try:
        with survivor(world):
            return True
    except BlockingIOError:
        return False


async def test_a_run_waits_for_the_children_of_one_that_was_killed(world: World) -> None:
    world.program('Thing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with survivor(world):
        running = asyncio.create_task(engine.up(world.ref, world.options(), world.hear))
        await until(lambda: Progress("waiting for the plugins of a run that was killed to end") in world.events, "told")
        assert world.calls() == []
    await running
    assert world.there() == ["a-0"]
    assert nobody_left(world)


class Hasty(SystemClock):
    """A clock on which every wait is over at once and took ten seconds."""

    late = 0.0

    def now(self) -> datetime:
        return super().now()

    def monotonic(self) -> float:
        return self.late

    async def sleep(self, seconds: float) -> None:
        self.late += 10.0
        await asyncio.sleep(0)


async def test_the_wait_is_bounded_and_says_who_holds_the_stack_and_unlock_ends_it(world: World) -> None:
    world.program("")
    engine = BuiltIn(Hasty(), SystemIds(), passphrase="x")
    await engine.create_stack(world.ref)
    with survivor(world):
        with pytest.raises(StackLocked, match=r"are still there: they hold .*children/proj/dev") as caught:
            await engine.up(world.ref, world.options())
        assert "stack unlock dev" in caught.value.hint
        assert list((world.root / "state/.pulumi/locks/organization/proj/dev").iterdir()) == []
        await engine.unlock(world.ref)
        await engine.up(world.ref, world.options())


async def test_a_plugin_that_outlives_a_killed_engine_holds_the_stack_until_it_is_gone(world: World) -> None:
    world.program('Thing("a", slow=600, stubborn=True)\n')
    await world.builtin().create_stack(world.ref)
    process = start(world, "up", "--yes")
    try:
        await until(lambda: (world.things / "making-a-0").exists(), "the provider is making a")
        assert not nobody_left(world)
    finally:
        process.kill()
        process.communicate()
    await until(lambda: nobody_left(world), "the guard ended the plugin")
    assert not [pid for pid in map(int, (world.things / "pids").read_text().split()) if alive(pid)]
