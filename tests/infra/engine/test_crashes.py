"""The built-in engine after kill -9 and after plugins that die: the next run continues."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import orjson
import pytest

from iacorch.infra.engine.contract import Diagnostic, Op
from iacorch.infra.engine.errors import PluginDied
from tests.infra.engine.conftest import World
from tests.infra.engine.processes import alive, start, until


async def test_a_create_cut_off_by_kill_9_is_found_again_and_not_made_twice(world: World) -> None:
    world.program('Thing("first")\nThing("a", slow=600)\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    process = start(world, "up", "--yes")
    try:
        await until(lambda: (world.things / "making-a-0").exists(), "the provider is making a")
        await until(lambda: "first" in world.names(), "first is in the state")
    finally:
        process.kill()
        process.communicate()
    await plugins_ended(world)
    assert [op["type"] for op in world.latest()["pending_operations"]] == ["creating"]
    world.program('Thing("first")\nThing("a")\n')
    result = await engine.up(world.ref, world.options(), world.hear)
    assert any("was interrupted; it is there" in e.message for e in world.events if isinstance(e, Diagnostic))
    assert Op.CREATE not in result.changes
    assert world.calls("Create").count("Create a") == 1
    assert world.there() == ["a-0", "first-0"]
    assert "pending_operations" not in world.latest()


async def plugins_ended(world: World) -> None:
    """Wait until no plugin of an engine that was killed is left."""
    log = world.things / "pids"
    pids = [int(line) for line in log.read_text().split()] if log.exists() else []
    await until(lambda: not any(alive(pid) for pid in pids), "the plugins ended with the engine")


async def kill_when(world: World, made: int) -> None:
    """Run `up` and kill it once so many things exist, or once it is done."""
    process = start(world, "up", "--yes")
    try:
        await until(lambda: len(world.there()) >= made or process.poll() is not None, f"{made} things")
    finally:
        process.kill()
        process.communicate()
    await plugins_ended(world)


async def test_kill_9_at_many_points_never_loses_a_thing(world: World) -> None:
    world.program('for i in range(12):\n    Thing(f"t{i}")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    for made in (1, 5, 9):
        await kill_when(world, made)
        orjson.loads(world.state_file.read_bytes())
    await engine.up(world.ref, world.options())
    assert world.there() == sorted(f"t{i}-0" for i in range(12))
    # A create that was cut off before it made anything is rightly asked for again; one that made it is not.
    assert world.calls("MadeAgain") == []


async def test_an_interrupted_run_finishes_what_it_began(world: World) -> None:
    world.program('a = Thing("a", gate=True)\nThing("b", value=a.address)\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    running = asyncio.create_task(engine.up(world.ref, world.options()))
    await until(lambda: (world.things / "making-a-0").exists(), "the provider is making a")
    running.cancel()
    (world.things / "open").touch()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.resource("a")["id"] == "a-0"
    assert "pending_operations" not in world.latest()
    assert world.there() == ["a-0"]
    assert (await engine.history(world.ref))[0].result == "failed"


async def test_a_plugin_that_dies_during_create_is_named_and_the_thing_is_found_again(world: World) -> None:
    world.program('Thing("a", die=True)\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(PluginDied, match=r"plugin loop ended during Create of urn:.*::a"):
        await engine.up(world.ref, world.options())
    world.program('Thing("a")\n')
    await engine.up(world.ref, world.options())
    assert world.calls("Create") == ["Create a"]
    assert world.resource("a")["id"] == "a-0"


@pytest.mark.parametrize(
    ("kind", "still_there", "names"),
    [
        pytest.param("deleting", True, ["a"], id="cut off before it was deleted"),
        pytest.param("deleting", False, [], id="cut off after it was deleted"),
        pytest.param("updating", True, ["a"], id="cut off during an update"),
    ],
)
async def test_other_pending_operations_are_settled_by_reading(
    world: World, kind: str, still_there: bool, names: list[str]
) -> None:
    world.program('Thing("a", value="1")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    document: dict[str, Any] = orjson.loads(world.state_file.read_bytes())
    latest = document["checkpoint"]["latest"]
    latest["pending_operations"] = [{"resource": world.resource("a"), "type": kind}]
    world.state_file.write_bytes(orjson.dumps(document))
    thing = world.things / "a-0.json"
    thing.write_text(thing.read_text().replace('"address": "10.0.0.0"', '"address": "10.9.9.9"'))
    if not still_there:
        thing.unlink()
    await engine.refresh(world.ref, world.options())
    assert [name for name in world.names() if name == "a"] == names
    assert "pending_operations" not in world.latest()
    if still_there:
        assert world.resource("a")["outputs"]["address"] == "10.9.9.9"


@pytest.mark.parametrize("made", [False, True], ids=["before it was made", "after it was made"])
async def test_a_replacement_that_was_cut_off_is_not_taken_for_what_it_replaces(world: World, made: bool) -> None:
    world.program('Thing("a", key="1")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    document: dict[str, Any] = orjson.loads(world.state_file.read_bytes())
    wanted = {**world.resource("a"), "id": "", "outputs": {}, "inputs": {"key": "2"}}
    document["checkpoint"]["latest"]["pending_operations"] = [{"resource": wanted, "type": "creating"}]
    world.state_file.write_bytes(orjson.dumps(document))
    old = world.things / "a-1.json"
    if made:
        (world.things / "a-2.json").write_text(old.read_text().replace('"key": "1"', '"key": "2"'))
    world.program('Thing("a", key="2")\n')
    await engine.up(world.ref, world.options())
    assert world.there() == ["a-2"]
    assert [r["id"] for r in world.latest()["resources"] if r["type"] == "loop:index:Thing"] == ["a-2"]


async def test_ctrl_c_ends_with_130_and_a_whole_state(world: World) -> None:
    world.program('a = Thing("a", gate=True)\nThing("b", value=a.address)\n')
    await world.builtin().create_stack(world.ref)
    process = start(world, "up", "--yes")
    await until(lambda: (world.things / "making-a-0").exists(), "the provider is making a")
    process.send_signal(signal.SIGINT)
    (world.things / "open").touch()
    _, said = await asyncio.to_thread(process.communicate)
    assert process.returncode == 130, said.decode()
    assert world.resource("a")["id"] == "a-0"
    assert "pending_operations" not in world.latest()
