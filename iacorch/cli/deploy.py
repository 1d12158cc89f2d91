"""`iacorch up`, `preview`, `refresh`, `destroy`: run a deployment and show it as it happens.

In: options. Out: a line a step (what, how long), a summary, the outputs; with `--json` one JSON object a line. On a
terminal running steps are shown below with a clock; elsewhere the lines are plain. Exit code 0 when all went well.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from iacorch.cli.progress import EventLog, JsonProgress, PlainProgress, Progress, RichProgress
from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError, EngineError
from iacorch.infra.engine.contract import Deployer, Event, Listener, Options, Result, StackRef
from iacorch.kit.clock import SystemClock

Work = Callable[[Deployer, StackRef, Options, Listener], Awaitable[Result]]


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("-p", "--parallel", type=click.IntRange(1, 1024), default=16, help="Steps at a time."),
            click.option("-t", "--target", "targets", multiple=True, help="URN to work on; `*` matches. Repeatable."),
            click.option("--exclude", "excludes", multiple=True, help="URN to leave alone; `*` matches. Repeatable."),
            click.option("--exclude-dependents", is_flag=True, help="Leave alone what needs an excluded one, too."),
            click.option("--expect-no-changes", is_flag=True, help="Fail if there is anything to change."),
            click.option("--target-dependents", is_flag=True, help="Also what needs a target."),
            click.option("-r", "--refresh", "refresh_first", is_flag=True, help="Refresh the state first."),
            click.option("-m", "--message", default="", help="Kept in the history."),
            click.option("-y", "--yes", is_flag=True, help="Do not ask."),
            click.option("--event-log", type=click.Path(dir_okay=False, path_type=Path), help="Append events as JSON."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs."),
            click.option("--show-secrets", is_flag=True, help="Show secret outputs."),
        ]
    ):
        command = option(command)
    return command


@click.command()
@_options
@with_target
def up(target: Target, yes: bool, **arguments: Any) -> None:
    """Make the machines what the program says."""
    _deploy(target, "up", lambda d, s, o, listen: d.up(s, o, listen), lambda d, s, o, listen: d.preview(s, o, listen),
            yes=yes, **arguments)  # fmt: skip


@click.command()
@_options
@with_target
def preview(target: Target, yes: bool, **arguments: Any) -> None:
    """Show what `up` would change."""
    _deploy(target, "preview", lambda d, s, o, listen: d.preview(s, o, listen), None, yes=True, **arguments)


@click.command()
@_options
@click.option("--preview-only", is_flag=True, help="Show the drift; change nothing.")
@with_target
def refresh(target: Target, yes: bool, preview_only: bool, **arguments: Any) -> None:
    """Read what is really there into the state."""
    _deploy(target, "refresh", lambda d, s, o, listen: d.refresh(s, o, listen), None, yes=True,
            preview_only=preview_only, **arguments)  # fmt: skip


@click.command()
@_options
@click.option("--preview-only", is_flag=True, help="Show what would be deleted; change nothing.")
@with_target
def destroy(target: Target, yes: bool, preview_only: bool, **arguments: Any) -> None:
    """Delete everything that the stack made."""

    def look(d: Deployer, s: StackRef, o: Options, listen: Listener) -> Awaitable[Result]:
        from dataclasses import replace

        return d.destroy(s, replace(o, preview_only=True), listen)

    _deploy(target, "destroy", lambda d, s, o, listen: d.destroy(s, o, listen), look, yes=yes or preview_only,
            preview_only=preview_only, **arguments)  # fmt: skip


def _deploy(
    target: Target, title: str, work: Work, look: Work | None, *, yes: bool, as_json: bool, show_secrets: bool,
    event_log: Path | None, expect_no_changes: bool, targets: tuple[str, ...], preview_only: bool = False,
    **arguments: Any,
) -> None:  # fmt: skip
    ref, deployer = target.ref(), target.deployer()
    options = Options(targets=targets, preview_only=preview_only, **arguments)

    def run(name: str, what: Work) -> Result:
        with ExitStack() as stack:
            listeners = [stack.enter_context(EventLog(event_log, SystemClock())).hear] if event_log else []
            progress = stack.enter_context(
                _progress(as_json, name, f"{ref.stack} ({deployer.name})", debug=target.debug)
            )
            listeners.append(progress.hear)

            def hear(event: Event) -> None:
                for listener in listeners:
                    listener(event)

            result = asyncio.run(_call(what, deployer, ref, options, hear))
            progress.finish(result, show_secrets=show_secrets)
        if expect_no_changes and result.changed:
            raise EngineError(f"{name}: no changes were expected, and there are some", hint="they are listed above")
        return result

    if look is not None and not yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"{title} asks before it changes anything, and nobody is there to answer",
                              where="--yes", hint="give --yes")  # fmt: skip
        if not run("preview", look).changed:
            return
        click.confirm(f"{title} {ref.stack}?", abort=True)
    run(title, work)


async def _call(work: Work, deployer: Deployer, ref: StackRef, options: Options, listen: Listener) -> Result:
    return await work(deployer, ref, options, listen)


def _progress(as_json: bool, title: str, stack: str, *, debug: bool) -> Progress:
    if as_json:
        return JsonProgress(debug=debug)
    kind = RichProgress if sys.stdout.isatty() else PlainProgress
    return kind(title, stack, debug=debug)
