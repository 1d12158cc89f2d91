"""`iacorch kubeconfig`: the administrator's kubeconfig, from the stack's outputs into a file of its owner's."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Final

import click

from iacorch.cli.command import Command
from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError
from iacorch.kit.files import write_whole

_FILE: Final = Path(".iacorch") / "kubeconfig"
OUTPUT: Final = "kubeconfig"


@click.command(
    cls=Command,
    examples=(
        "iacorch kubeconfig",
        'export KUBECONFIG="$(iacorch kubeconfig)" && kubectl get nodes',
        "iacorch kubeconfig --out -  --stack prod",
    ),
)
@click.option(
    "--out", default="", metavar="FILE", help="Write there, - for standard output; by default .iacorch/kubeconfig."
)
@with_target
def kubeconfig(target: Target, out: str) -> None:
    """Write the administrator's kubeconfig, and print where it is."""
    ref = target.ref()
    found = asyncio.run(target.files().outputs(ref)).get(OUTPUT)
    if found is None or not isinstance(found.value, str) or not found.value:
        raise ConfigError(
            f"the stack {ref.stack} has no output {OUTPUT}",
            hint=f'`iacorch up` makes the cluster; its program ends with pulumi.export("{OUTPUT}", cluster.kubeconfig)',
        )
    if out == "-":
        click.echo(found.value)
        return
    path = Path(out) if out else target.root / _FILE
    write_whole(path, found.value.encode())
    click.echo(str(path))
    click.echo(f"for kubectl: export KUBECONFIG={shlex.quote(str(path.absolute()))}", err=True)
