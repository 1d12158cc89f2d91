"""`iacorch up`, `preview`, `refresh`, `destroy`: run a deployment and show it as it happens.

In: options. Out: a line a step (what, how long), a summary, the outputs; with `--json` one JSON object a line. On a
terminal running steps are shown below with a clock; elsewhere the lines are plain. Exit code 0 when all went well; with
`--detailed-exitcode` 2 when there is something to change.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from iacorch.cli.command import CHANGES, Command
from iacorch.cli.progress import (
    MAKING,
    EventLog,
    JsonProgress,
    PlainProgress,
    Progress,
    RichProgress,
    label,
    left_off,
    one_place,
)
from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError, EngineError, IacorchError
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.contract import (
    Deployer,
    Event,
    Listener,
    Op,
    Options,
    Output,
    ResourceDone,
    ResourcePre,
    Result,
    StackRef,
)
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.kit.clock import SystemClock
from iacorch.kit.text import did_you_mean

Work = Callable[[Deployer, StackRef, Options, Listener], Awaitable[Result]]
#: Objects made before the collector looks, as in the control plane.
_GARBAGE: Final = (50_000, 20, 50)

_SHOWN: Final = (
    click.option("-p", "--parallel", type=click.IntRange(1, 1024), default=16, show_default=True,
                 help="Steps at a time."),
    click.option("-t", "--target", "targets", multiple=True, metavar="URN",
                 help="Work on this only: a URN in which `*` matches, or a resource's name. Repeatable."),
    click.option("--target-dependents", is_flag=True, help="Also what needs a target."),
    click.option("--exclude", "excludes", multiple=True, metavar="URN", help="Leave this alone. Repeatable."),
    click.option("--exclude-dependents", is_flag=True, help="Leave alone what needs an excluded one, too."),
    click.option("--expect-no-changes", is_flag=True, help="Fail if there is anything to change."),
    click.option("--event-log", type=click.Path(dir_okay=False, path_type=Path), help="Append events as JSON."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs."),
    click.option("--show-secrets", is_flag=True, help="Show secret outputs."),
)  # fmt: skip
_REFRESH: Final = click.option("-r", "--refresh", "refresh_first", is_flag=True, help="Refresh the state first.")
_MESSAGE: Final = click.option("-m", "--message", default="", metavar="TEXT", help="Kept in the history.")
_YES: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
# Scripts give it to every command of a deployment; those that never ask take it and do not offer it.
_NEVER_ASKS: Final = click.option("-y", "--yes", is_flag=True, hidden=True, expose_value=False, help="It never asks.")
_DETAILED: Final = click.option("--detailed-exitcode", is_flag=True, help="2 when there is something to change.")


def _options(*further: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of every deployment, and those that one kind of them has."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((*_SHOWN, *further)):
            command = option(command)
        return command

    return add


@click.command(
    cls=Command,
    examples=(
        "iacorch up                                  # shows what would change, and asks",
        "iacorch up --yes --stack prod",
        "iacorch up --target worker-2 --refresh",
    ),
)
@_options(_REFRESH, _MESSAGE, _YES)
@with_target
def up(target: Target, yes: bool, **arguments: Any) -> None:
    """Make the machines what the program says.

    On a terminal it shows what would change and asks; elsewhere it needs --yes.
    """
    _deploy(target, "up", lambda d, s, o, listen: d.up(s, o, listen), lambda d, s, o, listen: d.preview(s, o, listen),
            yes=yes, **arguments)  # fmt: skip


@click.command(
    cls=Command,
    examples=("iacorch preview", "iacorch preview --refresh --detailed-exitcode --stack prod"),
    exit_codes=CHANGES,
)
@_options(_REFRESH, _DETAILED, _NEVER_ASKS)
@with_target
def preview(target: Target, **arguments: Any) -> None:
    """Show what `up` would change; nothing is changed."""
    _deploy(target, "preview", lambda d, s, o, listen: d.preview(s, o, listen), None, yes=True, **arguments)


@click.command(
    cls=Command,
    examples=("iacorch refresh", "iacorch refresh --preview-only --detailed-exitcode"),
    exit_codes=CHANGES,
)
@_options(_MESSAGE, _DETAILED, _NEVER_ASKS)
@click.option("--preview-only", is_flag=True, help="Show the drift; change nothing.")
@with_target
def refresh(target: Target, preview_only: bool, **arguments: Any) -> None:
    """Read what is really there into the state. No machine is changed, so it does not ask."""
    _deploy(target, "refresh", lambda d, s, o, listen: d.refresh(s, o, listen), None, yes=True,
            preview_only=preview_only, **arguments)  # fmt: skip


@click.command(
    cls=Command,
    examples=("iacorch destroy --preview-only", "iacorch destroy --yes --stack staging && iacorch stack rm staging"),
)
@_options(_REFRESH, _MESSAGE, _YES)
@click.option("--preview-only", is_flag=True, help="Show what would be deleted; change nothing.")
@with_target
def destroy(target: Target, yes: bool, preview_only: bool, **arguments: Any) -> None:
    """Delete everything that the stack made.

    On a terminal it shows what would go and asks; elsewhere it needs --yes. The stack itself stays, empty.
    """

    def look(d: Deployer, s: StackRef, o: Options, listen: Listener) -> Awaitable[Result]:
        return d.destroy(s, replace(o, preview_only=True), listen)

    _deploy(target, "destroy", lambda d, s, o, listen: d.destroy(s, o, listen), look, yes=yes or preview_only,
            preview_only=preview_only, **arguments)  # fmt: skip


def _deploy(
    target: Target, title: str, work: Work, look: Work | None, *, yes: bool, as_json: bool, show_secrets: bool,
    event_log: Path | None, expect_no_changes: bool, targets: tuple[str, ...], excludes: tuple[str, ...],
    preview_only: bool = False, detailed_exitcode: bool = False, **arguments: Any,
) -> None:  # fmt: skip
    ref, deployer = target.ref(), target.deployer()
    options = Options(targets=_urns(targets), excludes=_urns(excludes), preview_only=preview_only, **arguments)
    # To mark what changes. The built-in engine has them in its result: reading a stack twice takes twice as long.
    before = None if as_json or deployer.name == BuiltIn.name else _outputs(target, ref)

    def run(name: str, what: Work, planned: int | None = None) -> Result:
        met: set[str] = set()
        done: set[tuple[Op, str]] = set()
        progress = _progress(as_json, name, f"{ref.stack} ({deployer.name})", debug=target.debug)
        try:
            with ExitStack() as stack:
                listeners = [stack.enter_context(EventLog(event_log, SystemClock())).hear] if event_log else []
                listeners.append(stack.enter_context(progress).hear)

                def hear(event: Event) -> None:
                    if isinstance(event, ResourcePre | ResourceDone):
                        met.add(event.urn)
                    if isinstance(event, ResourceDone) and event.op in MAKING and not event.error:
                        done.add((event.op, event.urn))
                    for listener in listeners:
                        listener(event)

                result = asyncio.run(_call(what, deployer, ref, options, hear))
                was = before if result.before is None else result.before
                progress.finish(result, show_secrets=show_secrets, before=was)
        except KeyboardInterrupt:
            if name in ("up", "destroy") and not preview_only:
                click.echo(left_off(len(done), planned, name), err=True)
            raise
        except ResourceFailed as error:
            if error.urn in progress.told and one_place():
                # The reason was said a moment ago, where the same person reads.
                failed = ", ".join(label(urn) for urn in progress.told)
                raise EngineError(f"{name} failed at {failed}, as said above", hint=error.hint) from error
            raise
        for given, urn in zip((*targets, *excludes), (*options.targets, *options.excludes), strict=True):
            if not any(urns.matches(each, (urn,)) for each in met):
                names = {urns.name_of(each) for each in met}
                click.echo(f"no resource is called {given}; {did_you_mean(given, names)}".rstrip("; "), err=True)
        if expect_no_changes and result.changed:
            raise EngineError(f"{name}: no changes were expected, and there are some", hint="they are listed above")
        return result

    planned = None
    if look is not None and not yes:
        if not sys.stdin.isatty():
            first = "preview" if title == "up" else f"{title} --preview-only"
            raise ConfigError(f"{title} asks before it changes anything, and nobody is there to answer", where="--yes",
                              hint=f"`iacorch {first}` shows what it would do; --yes does it unasked")  # fmt: skip
        found = run("preview", look)
        if not found.changed:
            return
        planned = sum(count for op, count in found.changes.items() if op in MAKING)
        click.confirm(f"{title} {ref.stack}?", abort=True)
    result = run(title, work, planned)
    if detailed_exitcode and result.changed:
        click.get_current_context().exit(2)


def _urns(given: tuple[str, ...]) -> tuple[str, ...]:
    """A name without a URN's parts is that of a resource of any type."""
    return tuple(name if ":" in name or "*" in name else f"**::{name}" for name in given)


def _outputs(target: Target, ref: StackRef) -> Mapping[str, Output] | None:
    """The outputs as they are; None where they cannot be told: no reason to stop."""
    try:
        return asyncio.run(target.files().outputs(ref))
    except IacorchError:
        return None


async def _call(work: Work, deployer: Deployer, ref: StackRef, options: Options, listen: Listener) -> Result:
    # What a deployment makes lives until its end; looking through it for garbage all the time is a twentieth of it.
    gc.set_threshold(*_GARBAGE)
    return await work(deployer, ref, options, listen)


def _progress(as_json: bool, title: str, stack: str, *, debug: bool) -> Progress:
    if as_json:
        return JsonProgress(debug=debug)
    kind = RichProgress if sys.stdout.isatty() else PlainProgress
    return kind(title, stack, debug=debug)
