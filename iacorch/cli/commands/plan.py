"""`iacorch plan` and `iacorch apply`: one plan over machines, nodes and workloads, and nothing but that plan.

In: options, the project's stacks. Out: the plan on standard output and in a file; or the stacks brought up, after every
input of the plan was compared with what it was. The engine is in `iacorch.drift.changes`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from iacorch.cli.command import CHANGES, Command, width
from iacorch.cli.progress import JsonProgress, PlainProgress, Progress, RichProgress
from iacorch.cli.target import Target, with_target
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.drift.changes import collect, file, show
from iacorch.drift.changes.model import Plan
from iacorch.drift.fleet import Fleet
from iacorch.drift.machine.source import Stacks
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin.stack.files import write
from iacorch.infra.engine.contract import Result, StackRef
from iacorch.kit import limits
from iacorch.kit.clock import Clock, SystemClock
from iacorch.kit.tasks import Tasks


@click.command(
    cls=Command,
    examples=(
        "iacorch plan",
        "iacorch plan --out next.plan && iacorch apply next.plan",
        "iacorch plan --detailed-exitcode --json",
    ),
    exit_codes=CHANGES,
)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Save it here, for `apply`.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON.")
@click.option("-o", "output", type=click.Choice(["table", "wide"]), default="table", show_default=True,
              help="wide: every difference, whole.")  # fmt: skip
@click.option("--detailed-exitcode", is_flag=True, help="2 when there is something to change.")
@with_target
def plan(target: Target, path: Path | None, as_json: bool, output: str, detailed_exitcode: bool) -> None:
    """Show everything that `apply` would do, on every layer, with money and moving pods.

    Nothing is changed. Without --stack it is about all stacks of the project.
    """
    made = asyncio.run(_make(target))
    if as_json:
        click.echo(file.dump(made).decode())
    else:
        click.echo("\n".join(show.lines(made, wide=output == "wide", width=width())))
    if path is not None:
        write(path.absolute(), file.dump(made))
        if not as_json:
            click.echo(f"saved\nnext: iacorch apply {path}")
    elif not as_json and not made.is_empty:
        click.echo("next: iacorch plan --out next.plan && iacorch apply next.plan     does exactly this")
    click.get_current_context().exit(2 if detailed_exitcode and not made.is_empty else 0)


class Waiting:
    """What a plan that takes long is at, for whoever waits: on standard error, a line every other second."""

    def __init__(self, clock: Clock, write: Callable[[str], None]) -> None:
        self._clock, self._write = clock, write
        self._words = ""

    def say(self, words: str) -> None:
        self._words = words

    async def tell(self) -> None:
        """For ever; what was told already is not told again."""
        told = ""
        while True:
            await self._clock.sleep(limits.PLAN_TELLS_SECONDS)
            if self._words != told:
                told = self._words
                self._write(f"  {told} ...")


async def _make(target: Target) -> Plan:
    clock = SystemClock()
    waiting = Waiting(clock, lambda line: click.echo(line, err=True))
    async with Tasks("plan") as tasks:
        tasks.spawn(waiting.tell())
        return await collect.make(await _stacks(target), clock, _client, waiting.say)


@click.command(
    cls=Command,
    arguments={"PLAN": "a file that `iacorch plan --out` has written"},
    examples=("iacorch apply next.plan", "iacorch apply next.plan --yes --json"),
)
@click.argument("path", metavar="PLAN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--allow-data-loss", is_flag=True, help="Needed where the plan says that data would be lost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@with_target
def apply(target: Target, path: Path, yes: bool, allow_data_loss: bool, as_json: bool) -> None:
    """Carry out a saved plan; refused when anything it was based on has moved since."""
    planned = file.load(path.read_bytes(), where=str(path))
    _consent(planned, yes=yes, allow_data_loss=allow_data_loss, as_json=as_json)
    stacks = asyncio.run(_stacks(target, planned))
    with _progress(as_json, target.debug) as progress:

        async def work() -> None:
            results = await collect.apply(planned, stacks, SystemClock(), _client, progress.hear)
            for name, result in results.items():
                _finish(progress, name, result)

        asyncio.run(work())


def _finish(progress: Progress, name: str, result: Result) -> None:
    progress.finish(result, show_secrets=False)


def _consent(planned: Plan, *, yes: bool, allow_data_loss: bool, as_json: bool) -> None:
    losses = [step for step in planned.steps if step.data]
    if losses and not allow_data_loss:
        named = ", ".join(f"{step.kind} {step.name}" for step in losses[:5])
        raise ConfigError(
            f"it would lose data: {named}", where="--allow-data-loss", hint="give it if that is what you want"
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "apply asks before it changes anything, and nobody is there to answer",
            where="--yes",
            hint="give --yes; `iacorch plan` shows what would change",
        )
    if not as_json:
        click.echo("\n".join(show.lines(planned, width=width())))
    click.confirm("apply?", abort=True)


def _progress(as_json: bool, debug: bool) -> Any:
    if as_json:
        return JsonProgress(debug=debug)
    return (RichProgress if sys.stdout.isatty() else PlainProgress)("apply", "plan", debug=debug)


async def _stacks(target: Target, planned: Plan | None = None) -> Stacks:
    if planned is not None:
        names: tuple[str, ...] = planned.stacks
    elif target.stack_option:
        names = (target.stack_option,)
    else:
        names = await target.files().stacks(StackRef(target.root, "any", target.backend_url))
    if not names:
        raise ConfigError("there is no stack to plan for", where="--stack", hint="make one: iacorch stack init NAME")
    return Stacks(target.deployer(), target.files(), {name: target.ref(name) for name in names}, {})


def _client(fleet: Fleet) -> HttpClient | None:
    if not fleet.kubeconfig:
        return None
    return HttpClient(parse_kubeconfig(fleet.kubeconfig, where="kubeconfig"))
