"""What both engines do, told through the contract and the world outside; never through their insides."""

from __future__ import annotations

from iacorch.infra.engine.contract import Deployer, Op
from tests.infra.engine.conftest import World

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
    assert first.changed
    assert world.there() == ["a-0", "b-0"]
    assert first.outputs["address"].value == "10.0.0.1"
    assert first.outputs["token"].value == "s3cret"
    assert first.outputs["token"].secret
    again = await engine.up(world.ref, world.options())
    assert not again.changed
    assert world.calls("Create") == ["Create a", "Create b"]
    assert "s3cret" not in world.state_file.read_text()


async def test_a_preview_makes_nothing(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    seen = await engine.preview(world.ref, world.options())
    assert seen.changes[Op.CREATE] >= 3
    assert world.there() == []


async def test_destroy_deletes_in_reverse_order(engine: Deployer, world: World) -> None:
    world.program(THREE)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    await engine.destroy(world.ref, world.options())
    assert world.there() == []
    assert world.calls("Delete") == ["Delete b", "Delete a"]
    assert world.names() == []
