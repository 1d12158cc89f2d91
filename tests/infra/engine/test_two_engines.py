"""The state of one engine is clean to the other, both ways, through every kind of step.

Where the Pulumi CLI is absent, a state that it wrote stands in for it: `golden/` holds one, with the program it was
made from. Regenerate it with the CLI on PATH: `IACORCH_REGENERATE=1 pytest tests/infra/engine/test_two_engines.py -k
regenerate`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from iacorch.infra.engine.contract import Deployer
from tests.infra.engine.conftest import World, cli_of

GOLDEN = Path(__file__).with_name("golden")
PROGRAM = """
p = pulumi.ProviderResource("loop", "mine", {{"region": "eu"}})
a = Thing("a", value="{value}", key="{key}", token=pulumi.Output.secret("s3cret"), list=[1, 2.5, {{"z": None}}])
b = Thing("b", value=a.address, opts=Opts(depends_on=[a], custom_timeouts=pulumi.CustomTimeouts(create="1m30s")))
g = Group("g")
c = Thing("c", value=b.address, opts=Opts(parent=g, provider=p, ignore_changes=["value"], protect=False))
d = Thing("d", key=a.address, single=True, deep={{"secret": a.token if hasattr(a, "token") else "x"}},
          opts=Opts(additional_secret_outputs=["address"], retain_on_delete=True))
g.register_outputs({{"address": c.address}})
pulumi.export("address", c.address)
pulumi.export("hidden", pulumi.Output.secret({{"deep": [1, "x"]}}))
{more}
"""
VOLATILE = ("created", "modified", "sourcePosition", "stackTrace")


def comparable(latest: dict[str, Any]) -> list[dict[str, Any]]:
    """Resources by URN without what differs from run to run: times, minted IDs, ciphertexts."""
    text = json.dumps(latest["resources"])
    for resource in latest["resources"]:
        if resource["type"].startswith("pulumi:providers:"):
            text = text.replace(resource["id"], "ID")
    resources = [{k: v for k, v in r.items() if k not in VOLATILE} for r in json.loads(text, object_hook=_veiled)]
    return sorted(resources, key=lambda r: str(r["urn"]))


def _veiled(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "ciphertext": "..."} if "ciphertext" in item else item


STEPS = (
    pytest.param([("1", "1", ""), ("2", "1", "")], id="update"),
    pytest.param([("1", "1", ""), ("1", "2", "")], id="replace"),
    pytest.param([("1", "1", 'Thing("e")'), ("1", "1", "")], id="delete"),
)


@pytest.mark.cli
@pytest.mark.parametrize("first", ["builtin", "pulumi"])
@pytest.mark.parametrize("programs", STEPS)
async def test_each_engine_finds_the_state_of_the_other_clean(
    world: World, first: str, programs: list[tuple[str, str, str]]
) -> None:
    if shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH")
    engines: list[Deployer] = [world.builtin(), cli_of(world)]
    if first == "pulumi":
        engines.reverse()
    writer, reader = engines
    await writer.create_stack(world.ref)
    for value, key, more in programs:
        world.program(PROGRAM.format(value=value, key=key, more=more))
        await writer.up(world.ref, world.options())
        seen = await reader.preview(world.ref, world.options())
        assert not seen.changed, f"{reader.name} sees changes in the state of {writer.name}"
        before = comparable(world.latest())
        await reader.up(world.ref, world.options())
        assert comparable(world.latest()) == before
        assert {k: o.value for k, o in (await reader.outputs(world.ref)).items()} == {
            k: o.value for k, o in (await writer.outputs(world.ref)).items()
        }
        writer, reader = reader, writer


def _install_golden(world: World) -> None:
    """The project, the state and the things as the CLI left them."""
    shutil.copy(GOLDEN / "Pulumi.dev.yaml", world.ref.work_dir)
    world.state_file.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "dev.json", world.state_file)
    for thing in GOLDEN.glob("things/*.json"):
        shutil.copy(thing, world.things)
    world.program(PROGRAM.format(value="1", key="1", more=""))


async def test_a_state_that_the_cli_wrote_is_clean(world: World) -> None:
    _install_golden(world)
    engine = world.builtin()
    assert not (await engine.preview(world.ref, world.options())).changed
    before = comparable(world.latest())
    assert not (await engine.up(world.ref, world.options())).changed
    assert comparable(world.latest()) == before
    outputs = await engine.outputs(world.ref)
    assert outputs["hidden"].value == {"deep": [1, "x"]}


async def test_the_same_program_makes_the_same_state_as_with_the_cli(world: World) -> None:
    golden = json.loads((GOLDEN / "dev.json").read_text())["checkpoint"]["latest"]
    world.program(PROGRAM.format(value="1", key="1", more=""))
    engine = world.builtin()
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options(parallel=1))
    mine = comparable(world.latest())
    assert [_without_addresses(r) for r in mine] == [_without_addresses(r) for r in comparable(golden)]


def _without_addresses(value: Any) -> Any:
    """Addresses count what was made before, which is a matter of order."""
    if isinstance(value, dict):
        return {k: _without_addresses(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_addresses(v) for v in value]
    return "10..." if isinstance(value, str) and value.startswith("10.0.0.") else value


@pytest.mark.cli
async def test_regenerate_the_golden_state(world: World) -> None:
    if not os.environ.get("IACORCH_REGENERATE"):
        pytest.skip("regenerates only with IACORCH_REGENERATE=1")
    world.program(PROGRAM.format(value="1", key="1", more=""))
    engine = cli_of(world)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    (GOLDEN / "things").mkdir(parents=True, exist_ok=True)
    latest = json.loads(world.state_file.read_text())
    for resource in latest["checkpoint"]["latest"]["resources"]:
        for key in ("sourcePosition", "stackTrace"):  # paths of whoever ran this
            resource.pop(key, None)
    latest["checkpoint"]["latest"]["manifest"].pop("plugins", None)
    (GOLDEN / "dev.json").write_text(json.dumps(latest, indent=1) + "\n")
    shutil.copy(world.ref.work_dir / "Pulumi.dev.yaml", GOLDEN)
    for thing in world.things.glob("*.json"):
        shutil.copy(thing, GOLDEN / "things")
