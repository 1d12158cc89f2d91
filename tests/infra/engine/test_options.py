"""What resource options and reads do, told like `test_conformance`: through the contract and the world outside."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from iacorch.errors import EngineError
from iacorch.infra.engine.contract import Deployer, Op, Progress
from tests.infra.engine.conftest import World, urn


def lay_out(world: World, id_: str, **inputs: object) -> None:
    """A thing that nobody's stack made."""
    thing = {"urn": "elsewhere", "inputs": inputs, "outputs": {**inputs, "address": "10.1.1.1"}}
    (world.things / f"{id_}.json").write_text(json.dumps(thing))


async def test_what_is_said_while_a_resource_is_made_is_heard(world: World) -> None:
    world.program('pulumi.log.info("half way", Thing("a"), ephemeral=True)\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options(), world.hear)
    assert Progress("half way", urn("a")) in world.events


RENAMES = [
    pytest.param(
        'Thing("new", value="1", opts=Opts(aliases=[pulumi.Alias(name="old")]))\n',
        {"old-0"}, id="a name",
    ),
    pytest.param(
        'Thing("new", value="1", opts=Opts(aliases=["urn:pulumi:dev::proj::loop:index:Thing::old"]))\n',
        {"old-0"}, id="a whole URN",
    ),
    pytest.param(
        'g = Group("g")\n'
        'Thing("old", value="1", opts=Opts(parent=g, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]))\n',
        {"old-0"}, id="another parent",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("renamed", "there"), RENAMES)
async def test_aliases_find_a_resource_under_its_former_name(
    engine: Deployer, world: World, renamed: str, there: set[str]
) -> None:
    world.program('Thing("old", value="1")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program(renamed)
    seen = await engine.preview(world.ref, world.options())
    assert Op.DELETE not in seen.changes
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Delete", "Update") == []
    assert set(world.there()) == there
    world.program(renamed.replace("aliases=", "ignore_changes=[] and "))
    assert not (await engine.up(world.ref, world.options())).changed


async def test_children_and_dependents_of_a_renamed_resource_follow_it(engine: Deployer, world: World) -> None:
    program = """
g = Group("{name}", opts=Opts({alias}))
a = Thing("{name}-a", opts=Opts(parent=g))
b = Thing("b", value=a.address, opts=Opts(depends_on=[g]))
"""
    world.program(program.format(name="old", alias=""))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program(program.format(name="new", alias='aliases=[pulumi.Alias(name="old")]'))
    await engine.up(world.ref, world.options())
    assert world.calls("Create", "Delete", "Update") == []
    assert world.resource("new-a")["parent"] == urn("new", "loop:index:Group")
    assert world.resource("new-a")["id"] == "old-a-0"
    assert not any("::old" in str(r.get(k)) for r in world.latest()["resources"] for k in ("urn", "parent", "aliases"))
    await engine.destroy(world.ref, world.options())
    assert world.there() == []


async def test_replace_on_changes_makes_an_update_a_replacement(engine: Deployer, world: World) -> None:
    program = 'Thing("a", value="{value}", single=True, opts=Opts(replace_on_changes=["value"]))\n'
    world.program(program.format(value="1"))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.forget_calls()
    world.program(program.format(value="2"))
    assert (await engine.up(world.ref, world.options())).changes[Op.REPLACE] == 1
    assert world.calls("Create", "Delete", "Update") == ["Delete a", "Create a"]


async def test_retain_on_delete_forgets_and_leaves(engine: Deployer, world: World) -> None:
    world.program('Thing("a", opts=Opts(retain_on_delete=True))\nThing("b")\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program("")
    await engine.up(world.ref, world.options())
    assert world.there() == ["a-0"]
    assert world.names() == [n for n in world.names() if n not in ("a", "b")]


async def test_deleted_with_is_not_deleted_where_the_other_goes_too(engine: Deployer, world: World) -> None:
    world.program('a = Thing("a")\nThing("b", opts=Opts(deleted_with=a))\nThing("c", opts=Opts(deleted_with=a))\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    assert world.resource("b")["deletedWith"] == urn("a")
    world.program('a = Thing("a")\nThing("b", opts=Opts(deleted_with=a))\n')
    await engine.up(world.ref, world.options())
    assert world.calls("Delete") == ["Delete c"]
    await engine.destroy(world.ref, world.options())
    assert world.calls("Delete") == ["Delete c", "Delete a"]
    assert world.names() == []


async def test_import_takes_over_what_is_there(engine: Deployer, world: World) -> None:
    lay_out(world, "mine", value="1")
    program = 'Thing("a", value="{value}", opts=Opts({opts}))\n'
    world.program(program.format(value="1", opts='import_="mine"'))
    await engine.create_stack(world.ref)
    assert (await engine.preview(world.ref, world.options())).changes[Op.IMPORT] == 1
    assert (await engine.up(world.ref, world.options())).changes[Op.IMPORT] == 1
    assert world.calls("Create", "Update") == []
    assert world.resource("a")["id"] == "mine"
    assert world.resource("a")["outputs"]["address"] == "10.1.1.1"
    assert not (await engine.up(world.ref, world.options())).changed
    world.program(program.format(value="2", opts=""))
    assert (await engine.up(world.ref, world.options())).changes[Op.UPDATE] == 1
    await engine.destroy(world.ref, world.options())
    assert world.there() == []


async def test_what_is_imported_becomes_what_the_program_says(engine: Deployer, world: World) -> None:
    lay_out(world, "mine", value="1")
    world.program('Thing("a", value="2", opts=Opts(import_="mine"))\n')
    await engine.create_stack(world.ref)
    result = await engine.up(world.ref, world.options())
    assert (result.changes[Op.IMPORT], result.changes[Op.UPDATE]) == (1, 1)
    assert world.calls("Create", "Update") == ["Update a"]
    assert world.resource("a")["inputs"] == {"value": "2"}
    assert not (await engine.up(world.ref, world.options())).changed


async def test_an_import_of_nothing_is_refused(engine: Deployer, world: World) -> None:
    world.program('Thing("a", value="1", opts=Opts(import_="nobody"))\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match=r"nothing with|does not exist"):
        await engine.up(world.ref, world.options())
    assert "a" not in world.names()
    assert world.there() == []


async def test_get_reads_what_belongs_to_others_and_never_touches_it(engine: Deployer, world: World) -> None:
    lay_out(world, "theirs", value="1")
    program = 'a = Thing("a", opts=Opts(id="theirs"))\nb = Thing("b", value=a.address)\n'
    world.program(program)
    await engine.create_stack(world.ref)
    assert (await engine.up(world.ref, world.options())).changes[Op.CREATE] == 2
    assert world.resource("a")["external"] is True
    assert world.resource("b")["inputs"]["value"] == "10.1.1.1"
    assert not (await engine.up(world.ref, world.options())).changed
    world.program('Thing("b", value="x")\n')
    await engine.up(world.ref, world.options())
    assert "a" not in world.names()
    world.program(program)
    await engine.up(world.ref, world.options())
    await engine.destroy(world.ref, world.options())
    assert world.there() == ["theirs"]
    assert world.calls("Delete") == ["Delete b"]


async def test_a_resource_that_was_only_read_can_be_made(engine: Deployer, world: World) -> None:
    lay_out(world, "theirs", value="1")
    world.program('a = Thing("a", opts=Opts(id="theirs"))\n')
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program('a = Thing("a", value="1")\n')
    await engine.up(world.ref, world.options())
    assert world.there() == ["a-0", "theirs"]
    assert world.resource("a")["id"] == "a-0"


async def test_what_cannot_be_read_is_an_error(engine: Deployer, world: World) -> None:
    world.program('Thing("a", opts=Opts(id="nobody"))\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match=r"nothing with|does not exist"):
        await engine.up(world.ref, world.options())


async def test_functions_of_providers_plain_and_with_outputs(engine: Deployer, world: World) -> None:
    world.program("""
a = Thing("a", value="1")
plain = pulumi.runtime.invoke("loop:index:twice", {"text": "ab"}).value["twice"]
later = pulumi.runtime.invoke_output("loop:index:twice", {"text": a.address})
pulumi.export("plain", plain)
pulumi.export("later", later.apply(lambda found: found["twice"]))
""")
    await engine.create_stack(world.ref)
    await engine.preview(world.ref, world.options())
    outputs = (await engine.up(world.ref, world.options())).outputs
    assert outputs["plain"].value == "abab"
    assert outputs["later"].value == "10.0.0.010.0.0.0"


async def test_excluded_resources_are_left_alone(engine: Deployer, world: World) -> None:
    program = (
        'a = Thing("a", value="{v}")\nb = Thing("b", value="{v}", opts=Opts(depends_on=[a]))\nThing("c", value="{v}")\n'
    )
    world.program(program.format(v="1"))
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    world.program(program.format(v="2"))
    await engine.up(world.ref, world.options(excludes=(urn("b"),)))
    assert sorted(world.calls("Update")) == ["Update a", "Update c"]
    assert world.resource("b")["inputs"]["value"] == "1"
    if engine.name == "pulumi":
        with pytest.raises(EngineError, match="knows no exclusions for destroy"):
            await engine.destroy(world.ref, world.options(excludes=(urn("b"),)))
        return
    await engine.destroy(world.ref, world.options(excludes=(urn("b"),)))
    assert world.there() == ["a-0", "b-0"], "what an excluded one needs stays too"


async def test_stack_references_show_the_outputs_of_another_stack(engine: Deployer, world: World) -> None:
    other = replace(world.ref, stack="other")
    world.program('pulumi.export("shown", {"x": 1})\npulumi.export("hidden", pulumi.Output.secret("s3cret"))\n')
    await engine.create_stack(other)
    await engine.up(other, world.options())
    world.program("""
other = pulumi.StackReference("organization/proj/other")
Thing("a", value=other.get_output("shown").apply(lambda found: str(int(found["x"]))))
pulumi.export("hidden", other.require_output("hidden"))
""")
    await engine.create_stack(world.ref)
    result = await engine.up(world.ref, world.options())
    assert result.outputs["hidden"].value == "s3cret"
    assert result.outputs["hidden"].secret
    assert "s3cret" not in world.state_file.read_text()
    assert world.resource("a")["inputs"]["value"] == "1"
    assert not (await engine.up(world.ref, world.options())).changed
    await engine.destroy(world.ref, world.options())
    assert world.names() == []


async def test_a_stack_reference_to_nowhere_is_an_error(engine: Deployer, world: World) -> None:
    world.program('pulumi.StackReference("organization/proj/nowhere")\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match="nowhere"):
        await engine.preview(world.ref, world.options())


async def test_transforms_change_registrations_from_the_inside_out(engine: Deployer, world: World) -> None:
    world.program("""
def mark(word):
    def transform(args):
        if args.type_ != "loop:index:Thing":
            return None
        return pulumi.ResourceTransformResult(
            props={**args.props, "value": args.props["value"] + word},
            opts=pulumi.ResourceOptions.merge(args.opts, Opts(protect=word == "!" and args.name == "a")),
        )
    return transform


pulumi.runtime.register_resource_transform(mark("!"))
g = Group("g", opts=Opts(transforms=[mark("-outer")]))
Thing("a", value="x", opts=Opts(parent=g, transforms=[mark("-own")]))
Thing("b", value="y")
""")
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    assert world.resource("a")["inputs"]["value"] == "x-own-outer!"
    assert world.resource("a")["protect"] is True
    assert world.resource("b")["inputs"]["value"] == "y!"
    assert not (await engine.up(world.ref, world.options())).changed


async def test_transforms_of_function_calls(engine: Deployer, world: World) -> None:
    world.program("""
pulumi.runtime.register_invoke_transform(
    lambda args: pulumi.InvokeTransformResult(args={"text": args.args["text"] + "!"}, opts=args.opts))
found = pulumi.runtime.invoke_output("loop:index:twice", {"text": "ab"})
pulumi.export("found", found.apply(lambda got: got["twice"]))
""")
    await engine.create_stack(world.ref)
    assert (await engine.up(world.ref, world.options())).outputs["found"].value == "ab!ab!"


async def test_a_transform_that_raises_is_one_clear_error(engine: Deployer, world: World) -> None:
    world.program('pulumi.runtime.register_resource_transform(lambda args: 1 / 0)\nThing("a")\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match="division by zero"):
        await engine.preview(world.ref, world.options())


async def test_dynamic_providers_run_the_program_s_own_code(engine: Deployer, world: World) -> None:
    program = """
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult


class Note(ResourceProvider):
    def create(self, props):
        return CreateResult("note-1", {{**props, "length": len(props["text"])}})

    def diff(self, id, old, new):
        return DiffResult(changes=old["text"] != new["text"])

    def update(self, id, old, new):
        return UpdateResult({{**new, "length": len(new["text"])}})


class Noted(Resource):
    length: pulumi.Output[int]

    def __init__(self, name, text):
        super().__init__(Note(), name, {{"text": text, "length": None}})


pulumi.export("length", Noted("n", "{text}").length)
"""
    world.program(program.format(text="four"))
    await engine.create_stack(world.ref)
    assert (await engine.up(world.ref, world.options())).outputs["length"].value == 4
    assert not (await engine.up(world.ref, world.options())).changed
    world.program(program.format(text="seventh"))
    result = await engine.up(world.ref, world.options())
    assert (result.changes[Op.UPDATE], result.outputs["length"].value) == (1, 7)
    assert (await engine.destroy(world.ref, world.options())).changes[Op.DELETE] == 2
