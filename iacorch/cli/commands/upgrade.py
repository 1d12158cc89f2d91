"""`iacorch upgrade`: this build of iacorch on every machine, also of node pools, a failure domain at a time.

In: options, the project's stacks, the claims of node pools. Out: the plan; then a line a step, or at which machine it
stopped and why. The order and its carrying out are in `iacorch.rollout`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from iacorch.api.catalogue import NODE_CLAIM
from iacorch.cli.command import Command
from iacorch.cli.progress import PlainProgress, Progress, RichProgress
from iacorch.cli.target import Target, with_target
from iacorch.client.config import Endpoint, parse_kubeconfig, read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.drift.fleet import fleet_of
from iacorch.drift.machine.source import Stacks
from iacorch.errors import ConfigError
from iacorch.infra.bootstrap import marks
from iacorch.infra.bootstrap.bundles.bundle import release
from iacorch.infra.engine.contract import StackRef
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.rollout import plan, run


@click.command(
    cls=Command,
    examples=(
        "iacorch upgrade --plan                  # the order; nothing is changed",
        "iacorch upgrade --at-once 2 --drain-timeout 300",
        "iacorch upgrade --no-drain --yes        # agents restart, containers run on",
    ),
)
@click.option("--at-once", type=click.IntRange(1, 100), default=1, show_default=True, help="Nodes of a zone at a time.")
@click.option("--max-unready", type=click.IntRange(0), default=0, show_default=True, help="Others that may be down.")
@click.option("--drain/--no-drain", default=True, show_default=True,
              help="Move pods away first; without, containers run on while agents restart.")  # fmt: skip
@click.option("--drain-timeout", type=click.FloatRange(1), default=limits.UPGRADE_DRAIN_SECONDS, show_default=True,
              metavar="SECONDS", help="How long pods may take to leave.")  # fmt: skip
@click.option("--force", is_flag=True, help="Go on when pods did not leave in time.")
@click.option("--plan", "only_plan", is_flag=True, help="Show the order; change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path),
              help="How the API is reached, where no stack has the control plane.")  # fmt: skip
@with_target
def upgrade(
    target: Target,
    kubeconfig: Path | None,
    at_once: int,
    max_unready: int,
    drain: bool,
    drain_timeout: float,
    force: bool,
    only_plan: bool,
    yes: bool,
) -> None:
    """Put this build of iacorch on every machine.

    The control plane comes first, then zone after zone. It stops at the first failure, goes back there, and goes on
    when it is run again. On a terminal it shows the order and asks; elsewhere it needs --yes.
    """
    rules = run.Rules(drain, force, max_unready)
    asyncio.run(_upgrade(target, kubeconfig, at_once, drain_timeout, rules, only_plan=only_plan, yes=yes))


async def _upgrade(
    target: Target,
    kubeconfig: Path | None,
    at_once: int,
    drain_timeout: float,
    rules: run.Rules,
    *,
    only_plan: bool,
    yes: bool,
) -> None:
    stacks, wanted = await _stacks(target), release()
    snapshots, errors = await stacks.snapshots()
    if errors:
        raise ConfigError("; ".join(errors))
    endpoint = _endpoint(fleet_of(snapshots).kubeconfig, kubeconfig)
    ca = plan.ca_of(snapshots) or endpoint.ca.decode("ascii", "replace")
    async with HttpClient(endpoint) as client:
        progress: Progress = (RichProgress if sys.stdout.isatty() else PlainProgress)(
            "upgrade", wanted, debug=target.debug
        )
        hands = run.Cluster(
            client, stacks.deployer, stacks.refs, SystemClock(),
            say=click.echo, listen=progress.hear, drain_seconds=drain_timeout,
            wanted=marks.mark(wanted, ca),
        )  # fmt: skip
        claims = (await client.list(NODE_CLAIM)).items
        members = plan.members_of(snapshots, await hands.nodes(), claims, release=wanted, ca=ca)
        made = plan.plan(members, at_once=at_once)
        for number, batch in enumerate(made.batches, 1):
            click.echo(f"{number:>3}. {batch}")
        click.echo(f"{len(made.current)} machines run {wanted} already")
        if only_plan or not (made.batches or made.leftovers):
            return
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigError(
                    "nobody is there to answer whether to begin",
                    where="--yes",
                    hint="give --yes; --plan only shows the order",
                )
            await asyncio.to_thread(click.confirm, "upgrade?", abort=True)
        with progress:
            done = await run.run(made, hands, click.echo, rules)
        click.echo(f"upgraded {len(done)} machines to {wanted}")


def _endpoint(of_stack: str, kubeconfig: Path | None) -> Endpoint:
    if of_stack:
        return parse_kubeconfig(of_stack, where="kubeconfig")
    if kubeconfig is not None:
        return read_kubeconfig(kubeconfig)
    hint = "name the stack that has it, or a --kubeconfig"
    raise ConfigError("no stack has a control plane", where="--stack", hint=hint)


async def _stacks(target: Target) -> Stacks:
    if target.stack_option:
        names: tuple[str, ...] = (target.stack_option,)
    else:
        names = await target.files().stacks(StackRef(target.root, "any", target.backend_url))
    if not names:
        raise ConfigError("there is no stack", where="--stack", hint="make one: iacorch stack init NAME")
    return Stacks(target.deployer(), target.files(), {name: target.ref(name) for name in names}, {})
