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

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


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


async def test_the_locks_of_runs_that_ended_are_removed(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    locks = engine.backend(world.ref).locks
    here = {"boot": BOOT, "pids": os.readlink("/proc/self/ns/pid")}
    with zombie() as unburied:
        for pid, place in [
            (dead_pid(), here),
            (unburied, here),
            (os.getpid(), {"boot": "another"}),  # whoever has its number now
            (os.getpid(), {**here, "pids": "a container's"}),  # it would hold the stack, if it lived
        ]:
            left = lock(world, pid, socket.gethostname(), **place)
            async with locks.writing(on_wait=lambda _: None):
                assert not left.exists()
    assert not list(left.parent.iterdir())


async def test_a_run_in_a_container_of_the_same_name_is_not_taken_for_dead(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    locks = engine.backend(world.ref).locks
    held = lock(world, dead_pid(), socket.gethostname(), boot=BOOT, pids="a container's")
    with survivor(world):  # as the run itself would hold it
        assert "ada@" in locks.holder()
        with pytest.raises(StackLocked, match="locked by ada@"):
            async with locks.writing(on_wait=lambda _: None):
                raise AssertionError("two writers")
    assert held.exists()


async def test_a_lock_of_the_pulumi_cli_stays_until_somebody_removes_it(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    held = lock(world, dead_pid(), socket.gethostname())
    with pytest.raises(StackLocked, match="locked by ada@") as caught:
        await engine.up(world.ref, world.options())
    assert "no such process runs here: unless it does in a container" in caught.value.hint
    assert held.exists()
    assert await engine.unlock(world.ref) == 1


async def test_a_machine_that_shares_our_name_is_another_one(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    lock(world, dead_pid(), socket.gethostname(), boot="another", machine="another")
    with pytest.raises(StackLocked):
        await engine.up(world.ref, world.options())


async def test_who_waited_while_the_stack_was_unlocked_holds_what_the_next_one_sees(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    locks = engine.backend(world.ref).locks
    told: list[str] = []
    with survivor(world):
        waiting = asyncio.create_task(hold(world, told))
        await until(lambda: bool(told), "it waits")
        locks.clear()
        await until(lambda: bool(locks.holder()), "it has the stack, in a file that others find")
        with pytest.raises(StackLocked):
            async with locks.writing(on_wait=lambda _: None):
                raise AssertionError("two writers")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert locks.holder() == ""


async def hold(world: World, told: list[str]) -> None:
    async with world.builtin().backend(world.ref).locks.writing(on_wait=told.append):
        await asyncio.Event().wait()


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
        assert list((world.root / "state/.pulumi/locks").rglob("*.json")) == []
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
