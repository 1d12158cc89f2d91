"""Which API a command is about: `--kubeconfig`, else the output of the stack with the control plane.

Used by commands that talk to a running cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from iacorch.cli.target import Target
from iacorch.client.config import Endpoint, parse_kubeconfig, read_kubeconfig
from iacorch.errors import ConfigError


def with_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--kubeconfig`."""
    return click.option(
        "--kubeconfig",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="KUBECONFIG",
        help="How the API is reached; by default the stack's output `kubeconfig`.",
    )(command)


async def endpoint_of(target: Target, kubeconfig: Path | None) -> Endpoint:
    """Raises ConfigError where neither tells."""
    if kubeconfig is not None:
        return read_kubeconfig(kubeconfig)
    outputs = await target.deployer().outputs(target.ref())
    if "kubeconfig" not in outputs:
        raise ConfigError(
            f"the stack {target.ref().stack} has no output `kubeconfig`",
            where="--kubeconfig",
            hint="name a kubeconfig, or the stack with the control plane",
        )
    return parse_kubeconfig(str(outputs["kubeconfig"].value), where=f"stack {target.ref().stack}")
