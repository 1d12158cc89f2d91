"""Components and methods that live in a provider, and assets and archives: through the contract, on both engines."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.values import tarball
from iacorch.infra.engine.builtin.values.wire import ARCHIVE, ASSET, SIGNATURE
from iacorch.infra.engine.contract import Deployer, Op
from tests.infra.engine.conftest import World, urn

PAIR = """
class Pair(pulumi.ComponentResource):
    addresses: pulumi.Output[str]

    def __init__(self, name, opts=None, **props):
        super().__init__("pair:index:Pair", name, {"addresses": None, **props}, opts, remote=True)

    def greet(self, whom):
        return pulumi.runtime.call("pair:index:Pair/greet", {"__self__": self, "whom": whom}, self)
"""


async def test_components_that_live_in_a_provider(engine: Deployer, world: World) -> None:
    program = PAIR + 'p = Pair("p", value="1")\npulumi.export("addresses", p.addresses)\n'
    world.program(program)
    await engine.create_stack(world.ref)
    assert (await engine.preview(world.ref, world.options())).changes[Op.CREATE] == 4
    assert world.there() == []
    result = await engine.up(world.ref, world.options())
    assert result.outputs["addresses"].value == "10.0.0.0+10.0.0.1"
    assert world.resource("p-second")["inputs"]["value"] == "10.0.0.0"
    assert world.resource("p")["outputs"] == {"addresses": "10.0.0.0+10.0.0.1"}
    assert world.resource("p-first")["parent"] == urn("p", "pair:index:Pair")
    assert not (await engine.up(world.ref, world.options())).changed
    world.program(program.replace('"1"', '"2"'))
    assert (await engine.up(world.ref, world.options())).changes[Op.UPDATE] == 1
    await engine.destroy(world.ref, world.options())
    assert (world.there(), world.names()) == ([], [])


async def test_a_component_of_a_provider_passes_on_what_it_is_told(engine: Deployer, world: World) -> None:
    world.program(
        PAIR
        + "Thing.__annotations__['token'] = pulumi.Output[str]\n"
        + 'a = Thing("a", token=pulumi.Output.secret("s3cret"))\n'
        + 'Pair("p", value=a.token, opts=Opts(protect=True, depends_on=[a], retain_on_delete=True))\n'
    )
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    first = world.resource("p-first")
    assert first["protect"] is True
    assert first["retainOnDelete"] is True
    assert urn("a") in first["propertyDependencies"]["value"]
    assert "s3cret" not in world.state_file.read_text()
    with pytest.raises(EngineError, match="protect"):
        await engine.destroy(world.ref, world.options())


async def test_a_component_that_cannot_be_made_is_one_clear_error(engine: Deployer, world: World) -> None:
    world.program(PAIR + 'Pair("p", fail=True)\nThing("a", value="1")\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match="a pair cannot be made of this"):
        await engine.up(world.ref, world.options())
    world.program("")
    await engine.up(world.ref, world.options())
    assert world.there() == []


async def test_methods_of_resources(engine: Deployer, world: World) -> None:
    world.program(
        PAIR + 'p = Pair("p", value="1")\npulumi.export("said", p.greet("you").apply(lambda f: f["greeting"]))\n'
    )
    await engine.create_stack(world.ref)
    await engine.preview(world.ref, world.options())
    result = await engine.up(world.ref, world.options())
    assert result.outputs["said"].value == f"hello you, from {urn('p', 'pair:index:Pair')}"


def lay_out(folder: Path) -> None:
    """Every kind of thing that an archive can be made of."""
    site = folder / "site"
    (site / "sub").mkdir(parents=True)
    (site / "index.html").write_text("<h1>hello</h1>")
    (site / "sub" / ("long-" * 30 + ".txt")).write_text("a long name")
    (site / "sub" / "ünïcode.txt").write_text("not ascii")
    (site / "link.txt").symlink_to("index.html")
    (site / ".pulumi").mkdir()
    (site / ".pulumi" / "kept-out").write_text("x")
    with zipfile.ZipFile(folder / "some.zip", "w") as packed:
        packed.writestr(zipfile.ZipInfo("inside/a.txt"), "zipped")
    with tarfile.open(folder / "some.tar.gz", "w:gz") as packed:
        entry = tarfile.TarInfo("./b.txt")
        entry.size = 6
        packed.addfile(entry, io.BytesIO(b"packed"))


ASSETS = """
Thing("a",
    text=pulumi.StringAsset("x" * 10),
    file=pulumi.FileAsset("site/index.html"),
    site=pulumi.FileArchive("site"),
    packed=pulumi.FileArchive("some.zip"),
    nested=[{"deep": pulumi.Output.secret(pulumi.StringAsset("hidden"))}],
    all=pulumi.AssetArchive({
        "readme": pulumi.StringAsset("read me"),
        "site": pulumi.FileArchive("site"),
        "unzipped": pulumi.FileArchive("some.zip"),
        "untarred": pulumi.FileArchive("some.tar.gz"),
    }),
)
pulumi.export("readme", pulumi.FileAsset("site/index.html"))
"""


async def test_assets_and_archives(engine: Deployer, world: World) -> None:
    lay_out(world.ref.work_dir)
    world.program(ASSETS)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    inputs = world.resource("a")["inputs"]
    index = hashlib.sha256(b"<h1>hello</h1>").hexdigest()
    assert inputs["file"] == {SIGNATURE: ASSET, "path": "site/index.html", "hash": index}
    assert inputs["text"]["hash"] == hashlib.sha256(b"x" * 10).hexdigest()
    assert inputs["site"][SIGNATURE] == ARCHIVE
    assert inputs["packed"]["hash"] == hashlib.sha256((world.ref.work_dir / "some.zip").read_bytes()).hexdigest()
    assert "hidden" not in world.state_file.read_text()
    assert not (await engine.up(world.ref, world.options())).changed
    (world.ref.work_dir / "site" / "index.html").write_text("<h1>changed</h1>")
    assert (await engine.up(world.ref, world.options())).changes[Op.UPDATE] == 1
    assert world.resource("a")["inputs"]["file"]["hash"] != index
    assert not (await engine.up(world.ref, world.options())).changed


# The hashes that Pulumi's engine gives, so that the comparison is there also where its CLI is not.
EVERYTHING = "9049b29b12a754a82c8fcf304102f50a6ab4f871d562cb79cb7eae65cc5b5758"
SITE = "8f71c3bea58fea5a36f7af276e0072622014484599d1a2c68e26b3ae396ffc04"


async def test_archives_have_the_hashes_that_pulumi_gives_them(engine: Deployer, world: World) -> None:
    lay_out(world.ref.work_dir)
    world.program(ASSETS)
    await engine.create_stack(world.ref)
    await engine.up(world.ref, world.options())
    inputs = world.resource("a")["inputs"]
    assert (inputs["site"]["hash"], inputs["all"]["hash"]) == (SITE, EVERYTHING)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param('pulumi.FileAsset("nowhere.txt")', "nowhere.txt", id="no file"),
        pytest.param('pulumi.FileAsset("folder")', "directory", id="a folder for a file"),
        pytest.param('pulumi.FileArchive("nowhere")', "nowhere", id="no folder"),
        pytest.param('pulumi.RemoteAsset("ftp://somewhere/x")', "ftp", id="another scheme"),
        pytest.param(
            'pulumi.RemoteArchive("file:///etc/hostname")', r"hostname.*(ends in|recognized)", id="no archive"
        ),
    ],
)
async def test_what_cannot_be_read_is_named(engine: Deployer, world: World, value: str, said: str) -> None:
    (world.ref.work_dir / "folder").mkdir()
    world.program(f'Thing("a", content={value})\n')
    await engine.create_stack(world.ref)
    with pytest.raises(EngineError, match=said):
        await engine.up(world.ref, world.options())
    assert world.there() == []


# What Go's archive/tar writes for a member of this name with the contents `abc`, as SHA-256.
GO = [
    ("a.txt", "34d9d0634b7e6436d220e1046cd1d4adf7c367865d774fc35f357d622f645a88"),
    ("d/b", "82c7887acabadf195b865a07151370680b7edce820522caf5f29daf2e467d76e"),
    ("x" * 100, "253e0075ae961c11f795a636b080926ae8c9512ad438f1be0ad7ce82aab3d6a0"),
    ("p/" * 60 + "f.txt", "ec9617c6cef3c2bda7c257df2903dc68ca229c1ec9426b8a7315a38e77c6f417"),
    ("y" * 101, "6779eefc7f68019175d13b9bb407c49e90433483185bf623fdbf2f1d98aa52f8"),
    ("q" * 120 + "/" + "z" * 99, "514e47fcacc5686501f3e19eb383ea4e47c7f19077cb344c157ca0f626d0b301"),
    ("q" * 150 + "/" + "z" * 120, "cdbde0b4459b5cdd7597503c808a3d12a107d4d51f7c0c225dcdc23f1fb6ccc3"),
    ("ünïcode.txt", "1abf51d4e36ad1e9dfc000366ac6808c64667528270349b0cbd9aa7cc5ecc887"),
    ("döp/x", "2ff2d1d937ed654250e9d3c15013cdaaaf9289c9af0019020fb7cd7b10cc6b5d"),
    ("a" * 99 + "/" + "é" * 3, "525b2eaa62defc8deb660b3b38b557adfe09117e53d24b58ba2011cebba1c766"),
    ("a" * 160 + "/b", "a399daf41ce4e59dd2516c6a6bc5446edb5b957249feb6bcfef0ddac8900de60"),
]


@pytest.mark.parametrize(("name", "digest"), GO)
def test_tar_streams_are_those_of_go(name: str, digest: str) -> None:
    written = b"".join(tarball.stream([(name, 3, [b"abc"])]))
    assert hashlib.sha256(written).hexdigest() == digest


def test_of_members_with_the_same_name_the_first_counts() -> None:
    once = b"".join(tarball.stream([("a", 1, [b"x"])]))
    assert b"".join(tarball.stream([("a", 1, [b"x"]), ("a", 1, [b"y"])])) == once
