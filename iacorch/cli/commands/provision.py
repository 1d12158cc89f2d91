"""`iacorch provisioner` and `iacorch reap`: machines of node pools.

In: options. Out: a daemon in the foreground; a list of machines without an owner, and their end when `--yes` is given.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import orjson

from iacorch.cli.command import Command
from iacorch.cli.endpoint import endpoint_of, with_server
from iacorch.cli.target import Target, with_target
from iacorch.client.config import Endpoint
from iacorch.client.http import HttpClient
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds


@click.command(
    cls=Command,
    examples=("iacorch provisioner --stack local", "iacorch provisioner --parallel 4 --log-level debug"),
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Journal, stacks and their passphrase; by default .iacorch/provisioner in the project folder.",
)
@click.option("--parallel", type=click.IntRange(1, 256), default=limits.PROVISION_OPERATIONS, show_default=True,
              help="Machines made, mended or removed at one time.")  # fmt: skip
@click.option("--standby", is_flag=True,
              help="While another one uses this state: wait until it has ended, and go on with it.")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
              show_default=True, help="What is logged, on standard error.")  # fmt: skip
@with_server
@with_target
def provisioner(
    target: Target, state_dir: Path | None, parallel: int, standby: bool, log_level: str, kubeconfig: Path | None
) -> None:
    """Make, mend and remove the machines of node pools, until it is stopped."""
    from iacorch.daemons.process import set_up_logging
    from iacorch.daemons.provisioner import Settings, serve

    set_up_logging(log_level)
    settings = Settings(
        state=(state_dir or target.root / ".iacorch" / "provisioner").resolve(),
        endpoint=lambda: endpoint_of(target, kubeconfig),
        stack=target.ref(),
        stack_deployer=target.deployer(),
        engine=target.engine,
        parallel=parallel,
        standby=standby,
    )
    asyncio.run(serve(settings))


@click.command(cls=Command, examples=("iacorch reap", "iacorch reap --yes"))
@click.option("-y", "--yes", is_flag=True, help="Remove them. Without it they are only listed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@with_server
@with_target
def reap(target: Target, yes: bool, as_json: bool, kubeconfig: Path | None) -> None:
    """List the machines that were made for claims which are gone; with --yes remove them."""
    asyncio.run(_reap(asyncio.run(endpoint_of(target, kubeconfig)), yes=yes, as_json=as_json))


async def _reap(endpoint: Endpoint, *, yes: bool, as_json: bool) -> None:
    from iacorch.daemons.provisioner import cluster_name
    from iacorch.provision.machines import reaper
    from iacorch.provision.machines.hands import HandsByDriver

    async with HttpClient(endpoint) as client:
        hands = HandsByDriver(cluster=await cluster_name(client), clock=SystemClock(), ids=SystemIds())
        found = await reaper.look(client, hands)
        if as_json:
            count = await reaper.reap(hands, found, lambda words: click.echo(words, err=True)) if yes else 0
            machines = [
                {"name": m.name, "machineID": m.machine_id, "class": m.where, "claim": m.claim}
                for _, m in found.ownerless
            ]
            unseen = dict(found.unseen)
            document = {"owned": found.owned, "ownerless": machines, "unseen": unseen, "removed": count}
            click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
            return
        for name, why in found.unseen:
            click.echo(f"class {name} could not be looked at: {why}", err=True)
        for _, machine in found.ownerless:
            click.echo(
                f"{machine.name:<24} {machine.machine_id[:24]:<24} class {machine.where:<16} claim {machine.claim}"
            )
        words = f"{found.owned} machines have an owner, {len(found.ownerless)} have none"
        if not yes:
            click.echo(words + ("; --yes removes them" if found.ownerless else ""))
            return
        count = await reaper.reap(hands, found, click.echo)
        click.echo(f"{words}; removed {count}")
