"""What bad input gets from the built-in engine: one clear message, a hint, the state as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from iacorch.errors import EngineError
from iacorch.infra.engine.errors import (
    PassphraseWrong,
    PluginDied,
    PluginMissing,
    ProgramFailed,
    ProjectInvalid,
    ResourceFailed,
    StateBroken,
    Unsupported,
)
from tests.infra.engine.conftest import World


async def made(world: World) -> bytes:
    world.program('Thing("a", token=pulumi.Output.secret("x"))\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    return world.state_file.read_bytes()


@pytest.mark.parametrize("passphrase", ["wrong", None])
async def test_a_wrong_or_missing_passphrase(world: World, passphrase: str | None) -> None:
    before = await made(world)
    with pytest.raises(PassphraseWrong) as caught:
        await world.builtin(passphrase).up(world.ref, world.options())
    assert "PULUMI_CONFIG_PASSPHRASE" in caught.value.hint
    assert world.state_file.read_bytes() == before


async def test_a_preview_asks_for_the_key_of_secrets_only_where_there_are_some(world: World) -> None:
    world.program('Thing("a", value="1")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    wrong = world.builtin("wrong")
    assert not (await wrong.preview(world.ref, world.options())).changed
    with pytest.raises(PassphraseWrong):
        await wrong.up(world.ref, world.options())
    world.program('Thing("a", value="1", token=pulumi.Output.secret("x"))\n')
    await engine.up(world.ref, world.options())
    with pytest.raises(PassphraseWrong):
        await wrong.preview(world.ref, world.options())


async def test_a_broken_state_file_is_named_and_left_alone(world: World) -> None:
    before = await made(world)
    world.whole = False
    world.state_file.write_bytes(before[:300])
    with pytest.raises(StateBroken, match=r"dev\.json is not JSON") as caught:
        await world.builtin().up(world.ref, world.options())
    assert ".bak" in caught.value.hint
    assert world.state_file.read_bytes() == before[:300]


async def test_a_missing_plugin_is_named_with_where_it_was_looked_for(world: World) -> None:
    world.program('pulumi.CustomResource("nowhere:index:Thing", "a", {})\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(PluginMissing, match="pulumi-resource-nowhere is neither on PATH"):
        await engine.up(world.ref, world.options())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("echo hello", "'hello'", id="no port"),
        pytest.param("echo it broke >&2; exit 3", "''", id="exits"),
    ],
)
async def test_a_plugin_that_does_not_start(world: World, script: str, said: str) -> None:
    plugin = world.root / "pulumi-resource-bad"
    plugin.write_text(f"#!/bin/sh\n{script}\n")
    plugin.chmod(0o755)
    world.program('pulumi.CustomResource("bad:index:Thing", "a", {})\n')
    from iacorch.infra.engine.builtin.engine import BuiltIn
    from iacorch.kit.clock import SystemClock
    from iacorch.kit.ids import SystemIds

    engine = BuiltIn(SystemClock(), SystemIds(), passphrase="x", bundled={"bad": [str(plugin)]})
    await engine.create_stack(world.ref)
    with pytest.raises(PluginDied, match=f"did not start: it printed {said}"):
        await engine.up(world.ref, world.options())


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param('raise ValueError("no")', r"ValueError: no\n  at .*__main__\.py:\d+ in <module>", id="raises"),
        pytest.param("import sys; sys.exit(3)", "the program failed", id="exits"),
        pytest.param("import sys; sys.exit(0)", "ended itself", id="exits well"),
        pytest.param("import os; os._exit(0)", "ended itself", id="exits at once"),
        pytest.param("this is no Python", "SyntaxError", id="syntax"),
        pytest.param("import nosuchmodule", "No module named 'nosuchmodule'", id="import"),
    ],
)
async def test_a_program_that_fails(world: World, program: str, said: str) -> None:
    await made(world)
    world.program(program + "\n")
    with pytest.raises(ProgramFailed, match=said):
        await world.builtin().up(world.ref, world.options())
    assert world.there() == ["a-0"]


async def test_a_read_that_takes_longer_than_the_program_allows(world: World) -> None:
    world.program('Thing("a", opts=Opts(custom_timeouts=pulumi.CustomTimeouts(read="100ms")))\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    (world.things / "unreadable-a-0").touch()
    before = world.latest()["resources"]
    with pytest.raises(ResourceFailed, match="did not finish Read in time") as caught:
        await engine.refresh(world.ref, world.options())
    assert caught.value.urn.endswith("::a")
    assert world.latest()["resources"] == before


async def test_refused_inputs_are_named_with_the_resource(world: World) -> None:
    world.program('Thing("a", bad="x")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(ResourceFailed, match="bad: this is not a property") as caught:
        await engine.preview(world.ref, world.options())
    assert caught.value.urn.endswith("::a")


async def test_the_same_name_twice(world: World) -> None:
    world.program('Thing("a")\nThing("a")\n')
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(ResourceFailed, match="registered already"):
        await engine.preview(world.ref, world.options())


@pytest.mark.parametrize(
    ("program", "feature"),
    [
        pytest.param('Thing("a", opts=Opts(replacement_trigger="x"))', "replacement_trigger", id="trigger"),
        pytest.param('Thing("a", opts=Opts(plugin_download_url="http://x"))', "plugin_download_url", id="download"),
    ],
)
async def test_what_is_not_supported_is_refused_by_name_and_names_the_cli(
    world: World, program: str, feature: str
) -> None:
    world.program(program + "\n")
    engine = world.builtin()
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match=f"does not support.*({feature})") as caught:
        await engine.preview(world.ref, world.options())
    assert "Pulumi CLI" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        pytest.param("runtime: python\n", ProjectInvalid, "`name` is missing", id="no name"),
        pytest.param("name: proj\nruntime: nodejs\n", Unsupported, "nodejs", id="another language"),
        pytest.param("name: proj\nruntime: python\nmain: nowhere\n", ProjectInvalid, "does not exist", id="no program"),
        pytest.param("name: [\n", ProjectInvalid, "cannot be read", id="no YAML"),
        pytest.param("- x\n", ProjectInvalid, "expected a mapping", id="a list"),
    ],
)
async def test_projects_that_cannot_be_used(world: World, text: str, error: type[EngineError], said: str) -> None:
    (world.ref.work_dir / "Pulumi.yaml").write_text(text)
    with pytest.raises(error, match=said):
        await world.builtin().create_stack(world.ref)


async def test_a_folder_without_a_project(world: World, tmp_path: Path) -> None:
    (world.ref.work_dir / "Pulumi.yaml").unlink()
    with pytest.raises(ProjectInvalid, match="does not exist"):
        await world.builtin().create_stack(world.ref)
