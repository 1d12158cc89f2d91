"""`iacorch image`: build images where no registry answers, and put them onto the nodes of a stack.

    image node                      the machine image of stacks/local
    image build FOLDER NAME[:TAG]   a Dockerfile on the local Debian base
    image machine FOLDER            a disk for virtual machines, for stacks/qemu.py without a cloud image
    image load IMAGE...             from this host's Docker Engine onto every node that lacks it

Arguments in, text out; the work is in `iacorch.infra.machines.images` and `iacorch.cli.image_load`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from iacorch.cli.command import Group
from iacorch.cli.image_load import Loading, load
from iacorch.cli.target import Target, with_target
from iacorch.drift.fleet import fleet_of
from iacorch.infra.machines.images import build as builder
from iacorch.infra.machines.images import machine as builder_of_disks
from iacorch.kit.clock import Clock, SystemClock


@click.group(
    cls=Group, examples=("iacorch image build my/folder my-app:1 && iacorch image load my-app:1", "iacorch image node")
)
def image() -> None:
    """Build images without a registry, and load them onto nodes."""


_LABELS = click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="On what is built. Repeatable.")


@image.command(examples=("iacorch image node",))
@_LABELS
def node(labels: tuple[str, ...]) -> None:
    """Make the machine image of stacks/local, unless it is there; print its name."""
    click.echo(builder.node_image(_Steps(SystemClock()).say, _pairs(labels, "--label")))


@image.command(
    arguments={"FOLDER": "where the Dockerfile is", "NAME": "of the image, with or without :TAG"},
    examples=("iacorch image build my/folder my-app:1", "iacorch image build . web --build-arg VERSION=v2"),
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="For the Dockerfile. Repeatable.")
@_LABELS
def build(folder: Path, name: str, arguments: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Build FOLDER/Dockerfile as NAME[:TAG], unless its content is built already; print the name.

    The argument BASE of the Dockerfile is the local Debian base. Without a tag the content's digest is the tag.
    """
    repository, tag = parted(name)
    built = builder.build(
        folder,
        repository,
        tag=tag,
        arguments=_pairs(arguments, "--build-arg"),
        labels=_pairs(labels, "--label"),
        progress=_Steps(SystemClock()).say,
    )
    click.echo(built)


@image.command(
    arguments={"FOLDER": "where disk, kernel and initrd are written"},
    examples=("sudo iacorch image machine /var/lib/images/debian",),
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def machine(folder: Path) -> None:
    """Make a disk for virtual machines in FOLDER from Debian packages, unless it is there.

    Prints the settings that name it.

    For stacks/qemu.py where no cloud image can be downloaded. Needs Debian or Ubuntu, root, and 3 GiB.
    """
    made = builder_of_disks.machine_image(folder.absolute(), _Steps(SystemClock()).say)
    for name, path in (("image", made.image), ("kernel", made.kernel), ("initrd", made.initrd)):
        click.echo(f"{name} {path}")


@image.command(
    "load",
    arguments={"IMAGES": "references as this host's Docker Engine knows them (`docker image ls`)"},
    examples=("iacorch image load my-app:1", "iacorch image load my-app:1 redis:7 --nodes worker-1,worker-2"),
)
@click.argument("images", nargs=-1, required=True)
@click.option("--nodes", "names", default="", metavar="NAME,...", help="Only these nodes; by default all of the stack.")
@with_target
def load_command(target: Target, images: tuple[str, ...], names: str) -> None:
    """Copy IMAGES from this host's Docker Engine onto the nodes of the stack that lack them, in parallel."""
    wanted = frozenset(name for name in names.split(",") if name)
    steps = _Steps(SystemClock())

    async def run() -> tuple[Loading, ...]:
        ref = target.ref()
        fleet = fleet_of({ref.stack: (await target.files().open(ref)).snapshot})
        return await load(images, fleet, only=wanted, say=steps.say)

    done = asyncio.run(run())
    loaded = sum(1 for loading in done if loading.copied)
    click.echo(f"{', '.join(images)}: loaded onto {loaded} nodes, {len(done) - loaded} had it")


def parted(name: str) -> tuple[str, str]:
    """Repository and tag ("" for none); the colon before a registry's port is no tag's."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs


class _Steps:
    """Progress as lines on standard error, with the seconds since the command began."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.monotonic()

    def say(self, line: str) -> None:
        click.echo(f"  {self._clock.monotonic() - self._began:5.1f}s  {line}", err=True)
