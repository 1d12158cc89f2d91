"""What both engines do, told through the contract and the world outside; never through their insides."""

from __future__ import annotations

import pytest

from iacorch.errors import EngineError
from iacorch.infra.engine.contract import Deployer, Diagnostic, Op, ResourceDone, Summary
from iacorch.infra.engine.errors import StackExists, StackMissing
from tests.infra.engine.conftest import World, urn

THREE = """
a = Thing("a", value="1")
b = Thing("b", value=a.address, opts=Opts(depends_on=[a]))
pulumi.export("address", b.address)
pulumi.export("token", pulumi.Output.secret("s3cret"))
"""


async def test_up_makes_everything_once_and_again_changes_nothing(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    first = await engine.up(world.ref, world.options(), world.hear)
    assert first.changes == {Op.CREATE: 3}
    assert world.there() == ["a-0", "b-0"]
    assert first.outputs["address"].value == "10.0.0.1"
    assert first.outputs["token"].value == "s3cret"
    assert first.outputs["token"].secret
    again = await engine.up(world.ref, world.options())
    assert again.changes == {Op.SAME: 3}
    assert not again.changed
    assert world.calls("Create") == ["Create a", "Create b"]
    assert "s3cret" not in world.state_file.read_text()


async def test_events_tell_each_step_and_end_with_the_summary(engine: Deployer, world: World) -> None:
    world.program(THREE + 'pulumi.log.warn("mind the gap")\nprint("from the program")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options(), world.hear)
    done = {e.urn: e.op for e in world.events if isinstance(e, ResourceDone)}
    assert done[urn("a")] == done[urn("b")] == Op.CREATE
    said = [e.message for e in world.events if isinstance(e, Diagnostic)]
    assert any("mind the gap" in text for text in said)
    assert any("from the program" in text for text in said)
    assert isinstance(world.events[-1], Summary)


async def test_a_preview_makes_nothing(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    seen = await engine.preview(world.ref, world.options())
    assert seen.changes == {Op.CREATE: 3}
    assert world.there() == []
    assert world.calls("Create", "Update", "Delete") == []


async def test_a_changed_property_is_an_update_and_its_dependents_follow(engine: Deployer, world: World) -> None:
    world.program('a = Thing("a", value="1")\nThing("b", value=a.value if False else "x")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program('a = Thing("a", value="2")\nThing("b", value="x")\n')
    seen = await engine.preview(world.ref, world.options(), world.hear)
    assert seen.changes == {Op.UPDATE: 1, Op.SAME: 2}
    (change,) = (e for e in world.events if isinstance(e, ResourceDone) and e.op is Op.UPDATE)
    assert [c.path for c in change.changes] == ["value"]
    assert (await engine.up(world.ref, world.options())).changes == {Op.UPDATE: 1, Op.SAME: 2}
    assert world.calls("Update") == ["Update a"]
    assert world.resource("a")["inputs"]["value"] == "2"


async def test_a_replacement_creates_before_it_deletes(engine: Deployer, world: World) -> None:
    world.program('Thing("a", key="1")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program('Thing("a", key="2")\n')
    result = await engine.up(world.ref, world.options())
    assert result.changes == {Op.REPLACE: 1, Op.SAME: 1}
    assert world.calls("Create", "Delete") == ["Create a", "Delete a"]
    assert world.there() == ["a-2"]
    assert world.names().count("a") == 1


async def test_delete_before_replace_takes_the_dependents_that_must_go(engine: Deployer, world: World) -> None:
    program = """
a = Thing("a", key="{key}", single=True)
b = Thing("b", key=a.address)
c = Thing("c", value=a.address)
"""
    world.program(program.format(key="1"))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program(program.format(key="2"))
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Delete") == ["Delete b", "Delete a", "Create a", "Create b"]
    assert "c-0" in world.there()
    assert not any(r.get("pendingReplacement") or r.get("delete") for r in world.latest()["resources"])


@pytest.mark.parametrize(("wanted", "order"), [("True", ["Delete a", "Create a"]), ("False", ["Create a", "Delete a"])])
async def test_the_program_decides_about_delete_before_replace(
    engine: Deployer, world: World, wanted: str, order: list[str]
) -> None:
    program = 'Thing("a", key="{key}", single={single}, opts=Opts(delete_before_replace={wanted}))\n'
    single = wanted == "False"
    world.program(program.format(key="1", single=single, wanted=wanted))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program(program.format(key="2", single=single, wanted=wanted))
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Delete") == order


async def test_what_the_program_drops_is_deleted_after_the_rest(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program('Thing("new")\n')
    world.forget_calls()
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Delete") == ["Create new", "Delete b", "Delete a"]


async def test_destroy_deletes_in_reverse_order(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    result = await engine.destroy(world.ref, world.options())
    assert result.changes[Op.DELETE] == 3
    assert world.there() == []
    assert world.calls("Delete") == ["Delete b", "Delete a"]
    assert world.names() == []


async def test_protected_resources_are_neither_deleted_nor_replaced(engine: Deployer, world: World) -> None:
    world.program('Thing("a", opts=Opts(protect=True))\nThing("b")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    with pytest.raises(EngineError, match="protect"):
        await engine.destroy(world.ref, world.options())
    # The CLI has deleted the others by then, the built-in engine nothing.
    assert world.there() == (["a-0", "b-0"] if engine.name == "builtin" else ["a-0"])
    world.program('Thing("a", key="1", opts=Opts(protect=True))\nThing("b")\n')
    with pytest.raises(EngineError, match="protect"):
        await engine.up(world.ref, world.options())
    assert "a-0" in world.there()


async def test_ignored_changes_stay_as_they_were(engine: Deployer, world: World) -> None:
    program = 'Thing("a", value="{value}", nest={{"x": "{value}", "y": 1}}, opts=Opts(ignore_changes=[{ignored}]))\n'
    world.program(program.format(value="1", ignored=""))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program(program.format(value="2", ignored='"value", "nest.x"'))
    assert not (await engine.up(world.ref, world.options())).changed
    assert world.resource("a")["inputs"]["nest"] == {"x": "1", "y": 1}


async def test_components_and_explicit_providers(engine: Deployer, world: World) -> None:
    program = """
p = pulumi.ProviderResource("loop", "mine", {{"region": "{region}"}})
g = Group("g", opts=Opts(providers=[p]))
a = Thing("a", opts=Opts(parent=g))
g.register_outputs({{"address": a.address}})
"""
    world.program(program.format(region="eu"))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    assert world.resource("a")["parent"] == urn("g", "loop:index:Group")
    assert "::mine::" in world.resource("a")["provider"]
    assert world.resource("g")["outputs"] == {"address": "10.0.0.0"}
    assert not (await engine.up(world.ref, world.options())).changed
    world.program(program.format(region="us"))
    world.forget_calls()
    await engine.up(world.ref, world.options())
    assert sorted(world.calls("Create", "Delete")) == ["Create a", "Delete a"]


async def test_refresh_sees_what_changed_and_what_is_gone_and_up_mends_it(engine: Deployer, world: World) -> None:
    world.program('Thing("a", value="1")\nThing("b", value="straight")\nThing("c")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    text = (world.things / "b-0.json").read_text()
    (world.things / "b-0.json").write_text(text.replace('"value": "straight"', '"value": "bent"'))
    (world.things / "c-0.json").unlink()
    seen = await engine.refresh(world.ref, world.options(preview_only=True), world.hear)
    assert seen.changes[Op.UPDATE] == 1
    assert seen.changes[Op.DELETE] == 1
    assert "c" in world.names()
    found = await engine.refresh(world.ref, world.options(), world.hear)
    assert found.changes[Op.DELETE] == 1
    assert "c" not in world.names()
    mended = await engine.up(world.ref, world.options())
    assert mended.changes[Op.CREATE] == 1
    assert mended.changes[Op.UPDATE] == 1
    assert world.there() == ["a-0", "b-0", "c-0"]


async def test_up_with_refresh_first_mends_in_one_go(engine: Deployer, world: World) -> None:
    world.program('Thing("a")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    (world.things / "a-0.json").unlink()
    assert not (await engine.up(world.ref, world.options())).changed
    await engine.up(world.ref, world.options(refresh_first=True))
    assert world.there() == ["a-0"]


async def test_targets_limit_what_is_touched(engine: Deployer, world: World) -> None:
    world.program('Thing("a", value="1")\nThing("b", value="1")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program('Thing("a", value="2")\nThing("b", value="2")\nThing("c")\n')
    await engine.up(world.ref, world.options(targets=(urn("a"),)))
    assert world.calls("Update") == ["Update a"]
    assert world.there() == ["a-0", "b-0"]
    assert world.resource("b")["inputs"]["value"] == "1"
    await engine.destroy(world.ref, world.options(targets=(urn("b"),)))
    assert world.there() == ["a-0"]


async def test_half_made_resources_keep_their_id_and_are_resumed(engine: Deployer, world: World) -> None:
    world.program('Thing("a", half="the disk is slow")\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match="the disk is slow"):
        await engine.up(world.ref, world.options())
    assert world.resource("a")["id"] == "a-0"
    assert world.resource("a")["initErrors"] == ["the disk is slow"]
    world.program('Thing("a")\n')
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Update") == ["Create a", "Update a"]
    assert "initErrors" not in world.resource("a")


async def test_a_failed_create_leaves_the_rest_and_names_the_reason(engine: Deployer, world: World) -> None:
    world.program('Thing("good")\nThing("bad", fail="no room left")\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match="no room left"):
        await engine.up(world.ref, world.options())
    assert "bad" not in world.names()
    assert set(world.there()) == {name + "-0" for name in world.names() if name == "good"}
    world.program('Thing("good")\nThing("bad")\n')
    await engine.up(world.ref, world.options())
    assert world.there() == ["bad-0", "good-0"]
    assert world.calls("Create").count("Create good") == 1


async def test_configuration_and_its_secrets_reach_program_and_provider(engine: Deployer, world: World) -> None:
    world.program(
        'c = pulumi.Config()\nThing("a", value=c.require("plain"), token=c.require_secret("hidden"))\n'
        'pulumi.export("hidden", c.require_secret("hidden"))\n'
    )
    await engine.create_stack(world.ref)
    from iacorch.infra.engine.builtin import admin

    files = world.builtin()
    await admin.set_config(files, world.ref, "plain", "hello", secret=False)
    await admin.set_config(files, world.ref, "hidden", "hunter2", secret=True)
    result = await engine.up(world.ref, world.options())
    assert result.outputs["hidden"].value == "hunter2"
    assert result.outputs["hidden"].secret
    assert "hunter2" not in world.state_file.read_text()
    assert "hunter2" not in (world.ref.work_dir / "Pulumi.dev.yaml").read_text()
    assert "hunter2" in (world.things / "a-0.json").read_text()


async def test_stacks_history_and_outputs(engine: Deployer, world: World) -> None:
    world.program(THREE)
    with pytest.raises(StackMissing):
        await engine.outputs(world.ref)
    await engine.create_stack(world.ref)
    with pytest.raises(StackExists):
        await engine.create_stack(world.ref)
    assert await engine.stacks(world.ref) == ("dev",)
    await engine.up(world.ref, world.options(message="first"))
    await engine.destroy(world.ref, world.options())
    kinds = [(entry.kind, entry.result) for entry in await engine.history(world.ref)]
    assert kinds == [("destroy", "succeeded"), ("update", "succeeded")]
    assert (await engine.history(world.ref))[-1].message == "first"
    await engine.remove_stack(world.ref)
    assert await engine.stacks(world.ref) == ()


async def test_a_program_that_raises_is_one_clear_error(engine: Deployer, world: World) -> None:
    world.program('Thing("a")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    before = world.latest()["resources"]
    world.program('raise ValueError("I cannot go on")\n')
    with pytest.raises(EngineError, match="ValueError: I cannot go on"):
        await engine.up(world.ref, world.options())
    assert world.there() == ["a-0"]
    assert [r["urn"] for r in world.latest()["resources"]] == [r["urn"] for r in before]
