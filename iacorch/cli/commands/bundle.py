"""`iacorch bundle`: all that bootstrap fetches, in one file for a site without a network; `iacorch bundle load` there.

Arguments in, text out; the file is `infra.bootstrap.bundles.offline`, what needs Docker is
`infra.machines.images.offline`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from iacorch.cli.command import Group
from iacorch.errors import ConfigError
from iacorch.infra.bootstrap import sources
from iacorch.infra.bootstrap.bundles import bundle as bundles
from iacorch.infra.bootstrap.bundles import offline
from iacorch.infra.bootstrap.errors import BundleFailed
from iacorch.infra.bootstrap.plan import PYTHONS
from iacorch.infra.machines.images import offline as fetch
from iacorch.infra.machines.images.base import ensure_base
from iacorch.kit import limits

_PACKAGES = ("docker.io", "nftables", "apparmor")


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(
        "iacorch bundle -o site.tar --image registry.example.com/web:1",
        "iacorch bundle -o site.tar --python 3.11 --python 3.13 --arch aarch64",
        "iacorch bundle load site.tar            # on the site",
    ),
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--image", "images", multiple=True, metavar="REFERENCE", help="An image for the nodes. Repeatable.")
@click.option("--base", default="", metavar="IMAGE", help="An image of the release machines run; by default Debian 12.")
@click.option("--python", "pythons", multiple=True, metavar="X.Y", help="Python of the machines; by default 3.11.")
@click.option("--arch", "archs", multiple=True, type=click.Choice(["x86_64", "aarch64"]), help="By default x86_64.")
@click.option("--wheels/--no-wheels", default=True, help="Also iacorch itself, for the machine that runs it there.")
@click.pass_context
def bundle(
    context: click.Context,
    output: Path | None,
    images: tuple[str, ...],
    base: str,
    pythons: tuple[str, ...],
    archs: tuple[str, ...],
    wheels: bool,
) -> None:
    """Write everything that bootstrap fetches into one file, for a site without a network."""
    if context.invoked_subcommand is not None:
        return
    if output is None:
        raise ConfigError("name the file to write", where="-o", hint="as in: iacorch bundle -o site.tar")
    with tempfile.TemporaryDirectory(prefix="iacorch-bundle-") as name:
        folder = Path(name)
        parts = _daemons([_version(text) for text in pythons or ("3.11",)], archs or ("x86_64",))
        packages = fetch.packages(base or ensure_base(_say), _PACKAGES, folder, _say)
        parts[f"packages/{packages.name}"] = packages
        if images:
            archive = fetch.images(images, folder, _say)
            parts[f"images/{archive.name}"] = archive
        if wheels:
            parts |= {f"wheels/{path.name}": path for path in _wheels(folder / "wheels")}
        manifest = offline.write(output.absolute(), parts, images=images)
    size = output.stat().st_size / 1024**2
    click.echo(f"{output}: iacorch {manifest.release}, {len(manifest.parts)} parts, {size:.0f} MiB")
    click.echo("there:  tar xf FILE wheels && pip install --no-index --find-links wheels 'iacorch[infra]'")
    click.echo("        iacorch bundle load FILE")


@bundle.command(
    arguments={"FILE": "what `iacorch bundle` has written"}, examples=("iacorch bundle load site.tar && iacorch up",)
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(file: Path) -> None:
    """Take FILE into the cache: from now on machines are made nodes with what is in it."""
    manifest = offline.load(file)
    if manifest.release != bundles.release():
        click.echo(
            f"this is iacorch {bundles.release()}: the daemons in the file are not the ones it installs", err=True
        )
    click.echo(
        f"loaded {len(manifest.of('bundles'))} bundles, {len(manifest.of('packages'))} sets of packages, "
        f"{len(manifest.images)} images"
    )


def _daemons(pythons: list[tuple[int, int]], archs: tuple[str, ...]) -> dict[str, Path]:
    async def build() -> dict[str, Path]:
        parts = {}
        for arch in archs:
            for python in pythons:
                for kind in ("agent", "control-plane"):
                    _say(f"building the {kind} bundle for Python {python[0]}.{python[1]} on {arch}")
                    built = await bundles.build(kind, python=python, arch=arch)
                    parts[f"bundles/{built.archive.name}"] = built.archive
        return parts

    return asyncio.run(build())


def _wheels(folder: Path) -> list[Path]:
    """iacorch as it runs here, and what it needs."""
    folder.mkdir()
    checkout = sources.PACKAGE.parent
    ours = (
        str(checkout) if (checkout / "pyproject.toml").exists() else f"iacorch=={bundles.release().partition('+')[0]}"
    )
    _say("collecting wheels")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--wheel-dir",
        str(folder),
    ]
    done = subprocess.run(
        [*command, f"{ours}[infra]"], capture_output=True, text=True, timeout=limits.BUNDLE_WHEELS_SECONDS, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip()[-2_000:]
        raise BundleFailed(f"the wheels cannot be collected: {said}", hint="--no-wheels leaves them out")
    return sorted(folder.glob("*.whl"))


def _version(text: str) -> tuple[int, int]:
    found = next((python for python in PYTHONS if text == ".".join(map(str, python))), None)
    if found is None:
        known = ", ".join(".".join(map(str, python)) for python in PYTHONS)
        raise ConfigError(f"expected one of {known}, found {text!r}", where="--python")
    return found


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)
