"""Whatever ends a run half-way, and whatever goes on beside it: the state can be read, and keeps its secrets.

That the state can be read is looked at by the fixture `world`, at the end of each test here.
"""

from __future__ import annotations

import asyncio

import orjson
import pytest

from iacorch.errors import EngineError
from iacorch.infra.engine.contract import Options
from iacorch.infra.engine.errors import ResourceFailed
from tests.infra.engine.conftest import World, urn
from tests.infra.engine.processes import until
from tests.infra.engine.test_options import lay_out


async def up(world: World, program: str, **options: object) -> None:
    world.program(program)
    await world.builtin().up(world.ref, world.options(**options))


async def begin(world: World, program: str) -> None:
    await world.builtin().create_stack(world.ref)
    await up(world, program)


async def test_a_refresh_that_fails_after_it_found_something_gone(world: World) -> None:
    await begin(world, 'a = Thing("a")\nThing("b", value=a.address, opts=Opts(depends_on=[a]))\nThing("c")\n')
    (world.things / "a-0.json").unlink()
    (world.things / "broken-c-0").touch()
    with pytest.raises(ResourceFailed, match="it cannot be read"):
        await world.builtin().refresh(world.ref, world.options(parallel=1))
    assert "a" not in world.names()
    assert urn("a") not in world.resource("b").get("dependencies", [])


async def test_what_was_only_read_is_to_be_made_and_that_fails(world: World) -> None:
    lay_out(world, "theirs", value="1")
    await begin(world, 'a = Thing("a", opts=Opts(id="theirs"))\nThing("b", value=a.address)\n')
    with pytest.raises(ResourceFailed, match="no room"):
        await up(world, 'a = Thing("a", fail="no room")\nThing("b", value=a.address)\n')
    assert world.resource("a")["external"] is True


async def test_what_was_only_read_is_imported_and_the_rest_fails(world: World) -> None:
    lay_out(world, "theirs", value="1")
    await begin(world, 'a = Thing("a", opts=Opts(id="theirs"))\nThing("b", value=a.address)\n')
    with pytest.raises(ResourceFailed, match="no room"):
        await up(world, 'a = Thing("a", fail="no room", opts=Opts(import_="theirs"))\nThing("b", value=a.address)\n')
    assert world.resource("a")["id"] == "theirs"


DEPENDENT = 'a = Thing("a", value="1")\nThing("b", value="1", opts=Opts(depends_on=[a]))\n'


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"excludes": (urn("b"),)}, id="the dependent is excluded"),
        pytest.param({"targets": (urn("a"),)}, id="the other one is the target"),
        pytest.param({"targets": (urn("a"),), "target_dependents": True}, id="and its dependents"),
    ],
)
async def test_what_a_resource_needs_that_is_left_alone_stays(world: World, options: dict[str, object]) -> None:
    await begin(world, DEPENDENT)
    world.program('Thing("b", value="2")\n')
    if "targets" in options:
        with pytest.raises(ResourceFailed, match="cannot be deleted alone"):
            await up(world, 'Thing("b", value="2")\n', **options)
    else:
        await up(world, 'Thing("b", value="2")\n', **options)
    assert world.there() == ["a-0", "b-0"]
    await up(world, 'Thing("b", value="2")\n')
    assert world.there() == ["b-0"]


async def test_what_it_needed_is_renamed_while_it_is_changed(world: World) -> None:
    await begin(world, DEPENDENT)
    world.program(
        'b = Thing("b", value="2", gate=True)\nThing("new", value="1", opts=Opts(aliases=[pulumi.Alias(name="a")]))\n'
    )
    running = asyncio.create_task(world.builtin().up(world.ref, world.options()))
    try:
        await until(lambda: (world.things / "making-b-0").exists() or running.done(), "b is being changed")
        await until(lambda: "new" in world.names() or running.done(), "a has another name")
    finally:
        (world.things / "open").touch()
    await running
    assert world.resource("b")["inputs"]["value"] == "2"
    assert world.there() == ["a-0", "b-0"]


async def test_two_that_were_the_same_one_are_refused(world: World) -> None:
    await begin(world, 'Thing("a", value="1")\n')
    twice = 'for name in ("b", "c"):\n    Thing(name, value="1", opts=Opts(aliases=[pulumi.Alias(name="a")]))\n'
    with pytest.raises(ResourceFailed, match="is an alias of"):
        await up(world, twice)
    assert world.there() == ["a-0"]


SECRET = 'Thing("a", token=pulumi.Output.secret("s3cret"), value="other", {more}opts=Opts({opts}))\n'


def forgetful(world: World) -> Options:
    """With a provider that takes and gives no marks of secrets."""
    return Options(environment={**world.environment, "LOOP_FORGETS_SECRETS": "1"})


def outputs_of_a(world: World) -> dict[str, object]:
    return dict(world.resource("a")["outputs"])


async def test_secrets_of_what_a_crash_left_stay_secret(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    world.program(SECRET.format(more="die=True, ", opts='additional_secret_outputs=["address"]'))
    with pytest.raises(EngineError):
        await engine.up(world.ref, forgetful(world))
    await engine.refresh(world.ref, forgetful(world))
    assert isinstance(outputs_of_a(world)["token"], dict)
    assert isinstance(outputs_of_a(world)["address"], dict)
    assert "s3cret" not in world.state_file.read_text()


async def test_secrets_of_what_is_half_made_stay_secret(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    world.program(SECRET.format(more='half="not ready", ', opts=""))
    with pytest.raises(EngineError):
        await engine.up(world.ref, forgetful(world))
    assert isinstance(outputs_of_a(world)["token"], dict)
    assert "s3cret" not in world.state_file.read_text()


async def test_secrets_of_what_is_imported_stay_secret(world: World) -> None:
    lay_out(world, "mine", token="s3cret", value="other")
    engine = world.builtin()
    await engine.create_stack(world.ref)
    world.program(SECRET.format(more="", opts='import_="mine"'))
    await engine.up(world.ref, forgetful(world))
    assert "s3cret" not in world.state_file.read_text()


async def test_a_pending_update_keeps_secret_what_the_program_calls_so(world: World) -> None:
    await begin(world, 'Thing("a", value="1", opts=Opts(additional_secret_outputs=["address"]))\n')
    document = orjson.loads(world.state_file.read_bytes())
    latest = document["checkpoint"]["latest"]
    latest["pending_operations"] = [{"resource": world.resource("a"), "type": "updating"}]
    world.state_file.write_bytes(orjson.dumps(document))
    await world.builtin().refresh(world.ref, world.options())
    assert isinstance(outputs_of_a(world)["address"], dict)


@pytest.mark.parametrize("option", ["ignore_changes", "replace_on_changes"])
async def test_a_path_that_is_none_names_the_resource(world: World, option: str) -> None:
    await begin(world, 'Thing("a", value="1")\n')
    with pytest.raises(ResourceFailed, match="malformed property path") as caught:
        await up(world, f'Thing("a", value="2", opts=Opts({option}=["value["]))\n')
    assert caught.value.urn == urn("a")


async def test_a_get_through_a_provider_that_is_not_configured_yet_is_not_asked(world: World) -> None:
    lay_out(world, "theirs", value="1")
    world.program("""
class Loop(pulumi.ProviderResource):
    def __init__(self, name, region):
        super().__init__("loop", name, {"region": region})


first = Thing("first")
far = Loop("far", first.address)
a = Thing("a", opts=Opts(id="theirs", provider=far))
pulumi.export("address", a.address)
""")
    engine = world.builtin()
    await engine.create_stack(world.ref)
    result = await engine.preview(world.ref, world.options())
    assert world.calls("Read") == []
    assert "address" not in result.outputs
    assert (await engine.up(world.ref, world.options())).outputs["address"].value == "10.1.1.1"


async def test_a_stack_that_is_written_is_not_removed(world: World) -> None:
    engine = world.builtin()
    await engine.create_stack(world.ref)
    async with engine.backend(world.ref).locks.writing(on_wait=lambda _: None):
        with pytest.raises(EngineError, match="locked by"):
            await engine.remove_stack(world.ref)
    await engine.remove_stack(world.ref)
    assert await engine.stacks(world.ref) == ()


async def test_an_archive_that_is_cut_off_is_an_error_that_names_it(world: World) -> None:
    (world.ref.work_dir / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut")
    world.program('Thing("a", code=pulumi.AssetArchive({"in": pulumi.FileArchive("cut.tar.gz")}))\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(ResourceFailed, match=r"archive .* cannot be read"):
        await engine.up(world.ref, world.options())
