"""How a deployment looks: JSON lines, plain lines, or a live display. Takes events, prints.

Every form says the same things: a line when a step ends (what happened, to what, how long), what programs and providers
say, a summary and the outputs at the end.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import click
import orjson

from iacorch.cli import outputs
from iacorch.cli.command import width
from iacorch.errors import ConfigError
from iacorch.infra.engine import contract
from iacorch.infra.engine.contract import Diagnostic, Event, Op, Output, ResourceDone, ResourcePre, Result, Severity
from iacorch.kit.clock import Clock
from iacorch.kit.text import listed

if TYPE_CHECKING:
    from rich.spinner import Spinner

_SIGNS: Final = {
    Op.CREATE: ("+", "green", "created"),
    Op.UPDATE: ("~", "yellow", "updated"),
    Op.REPLACE: ("±", "magenta", "replaced"),
    Op.DELETE: ("-", "red", "deleted"),
    Op.IMPORT: ("=", "green", "imported"),
    Op.READ: (">", "cyan", "read"),
    Op.REFRESH: (">", "cyan", "read"),
    Op.SAME: (" ", "white", "unchanged"),
}
MAKING: Final = (Op.CREATE, Op.UPDATE, Op.REPLACE, Op.DELETE, Op.IMPORT)
_MARKS: Final = {"+": "green", "~": "yellow", "-": "red"}
_SHOWN: Final = 6

Outputs = Mapping[str, Output]


class Progress(Protocol):
    """A display of one deployment. `told`: the errors of resources that it has shown, by URN."""

    told: dict[str, str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def hear(self, event: Event) -> None: ...

    def finish(self, result: Result, *, show_secrets: bool, before: Outputs | None = None) -> None: ...


class JsonProgress:
    """One object a line; `event` names its kind. Secret outputs are withheld unless asked for."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug
        self.told: dict[str, str] = {}  # a program reads the lines, and a person the error at the end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def hear(self, event: Event) -> None:
        if _quiet(event, self._debug) or isinstance(event, contract.Summary):
            return
        # What a step asks for is in the program; a line tells what becomes of it.
        told = {name: value for name, value in dataclasses.asdict(event).items() if name != "inputs"}
        self._print({"event": type(event).__name__, **told})

    def finish(self, result: Result, *, show_secrets: bool, before: Outputs | None = None) -> None:
        values = {k: o.value if show_secrets or not o.secret else outputs.HIDDEN for k, o in result.outputs.items()}
        self._print(
            {"event": "Result", "changes": result.changes, "outputs": values, "seconds": round(result.seconds, 3)}
        )

    def _print(self, item: dict[str, Any]) -> None:
        click.echo(orjson.dumps(item, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


class EventLog:
    """Every event as one JSON object a line, into a file, whatever is shown; secrets are hidden in events."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", where="--event-log") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, event: Event) -> None:
        item = {"time": self._clock.now(), "event": type(event).__name__, **dataclasses.asdict(event)}
        self._file.write(orjson.dumps(item, default=str, option=orjson.OPT_NON_STR_KEYS) + b"\n")
        self._file.flush()


class PlainProgress:
    """Plain lines, for logs."""

    def __init__(self, title: str, stack: str, *, debug: bool) -> None:
        self._title, self._stack, self._debug = title, stack, debug
        self.told: dict[str, str] = {}
        # what `iacorch stack output` needs to be told: the name without the engine's
        self._stack_name = stack.partition(" ")[0] if " (" in stack else ""

    def __enter__(self) -> Self:
        click.echo(f"{self._title} {self._stack}")
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def hear(self, event: Event) -> None:
        if _quiet(event, self._debug):
            return
        match event:
            case ResourcePre():
                if event.op in MAKING and self._title != "preview" and not _component(event.type):
                    self.line(f"  . {event.op} {label(event.urn)}")
            case ResourceDone(op=Op.SAME | Op.REFRESH, error=""):
                pass
            case ResourceDone():
                if event.error:
                    self.told[event.urn] = event.error
                sign, colour, _ = _SIGNS[event.op]
                text = f"  {sign} {label(event.urn)}  {describe(event, planned=self._title == 'preview')}"
                self.line(click.style(f"  ! {text.strip()}", fg="red") if event.error else click.style(text, fg=colour))
            case Diagnostic(severity=severity, message=message, urn=urn):
                about = f"{label(urn)}: " if urn else ""
                self.line(f"    {severity + ': ' if severity is not Severity.INFO else ''}{about}{message}")
            case contract.Ending(running=running):
                self.line(click.style(ending(running), fg="yellow"))
            case contract.Progress(message=message, urn=urn) if urn:
                self.line(f"    {_about(urn, message)}")
            case contract.Progress(message=message):
                self.line(f"  {message} ...")
            case _:
                pass

    def line(self, text: str) -> None:
        click.echo(text)

    def finish(self, result: Result, *, show_secrets: bool, before: Outputs | None = None) -> None:
        self.line(f"{summary(result, planned=self._title == 'preview')} in {result.seconds:.1f} s")
        planned = self._title == "preview"
        shown = outputs.lines(
            result.outputs, before, width=width(), show_secrets=show_secrets, planned=planned, stack=self._stack_name
        )
        if shown:
            self.line("outputs:")
        for text in shown:
            self.line(click.style(text, fg=_MARKS[text[2]]) if text[2] in _MARKS else text)


class RichProgress(PlainProgress):
    """The same lines, and below them what is running now, each with its clock.

    Imports what it draws with when it draws: most runs are in no terminal, and a tenth of a second counts.
    """

    def __init__(self, title: str, stack: str, *, debug: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(title, stack, debug=debug)
        self._console = Console(highlight=False)
        self._running: dict[str, Spinner] = {}
        self._live = Live(console=self._console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        super().__enter__()
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def hear(self, event: Event) -> None:
        from rich.spinner import Spinner
        from rich.table import Table

        match event:
            case ResourcePre() if not _component(event.type):
                self._running[event.urn] = Spinner("dots", f"{event.op} {label(event.urn)}")
            case ResourceDone():
                self._running.pop(event.urn, None)
                super().hear(event)
            case ResourcePre():
                pass
            case contract.Progress(message=message, urn=urn) if urn:
                if (spinner := self._running.get(urn)) is not None:
                    spinner.update(text=_about(urn, message))
            case contract.Progress(message=message):
                self._running[""] = Spinner("dots", message)
            case _:
                super().hear(event)
        table = Table.grid()
        for spinner in list(self._running.values())[-_SHOWN:]:
            table.add_row(spinner)
        if len(self._running) > _SHOWN:
            table.add_row(f"  and {len(self._running) - _SHOWN} more")
        self._live.update(table)

    def line(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text))

    def finish(self, result: Result, *, show_secrets: bool, before: Outputs | None = None) -> None:
        self._live.stop()
        super().finish(result, show_secrets=show_secrets, before=before)


def label(urn: str) -> str:
    """`Type name` of a URN, short."""
    parts = urn.split("::", 3)
    if len(parts) < 4:
        return urn
    return f"{parts[2].rpartition('$')[2].rpartition(':')[2]} {parts[3]}"


def _about(urn: str, message: str) -> str:
    """The work on a resource; its name is said once, also where the work says it."""
    name = urn.rpartition("::")[2]
    return f"{label(urn)}: {message.removeprefix(f'{name}: ')}"


def describe(event: ResourceDone, *, planned: bool = False) -> str:
    """What happened (or would: `planned`), what differs, how long it took."""
    if event.error:
        return f"{event.op} failed after {event.seconds:.1f} s: {event.error}"
    words = [str(event.op) if planned else _SIGNS[event.op][2]]
    if event.changes:
        shown = [f"{c.path}{' (replaces)' if c.replaces else ''}" for c in event.changes[:_SHOWN]]
        more = len(event.changes) - len(shown)
        words.append("(" + ", ".join(shown) + (f" and {more} more" if more > 0 else "") + ")")
    if event.seconds >= 0.1:
        words.append(f"{event.seconds:.1f} s")
    return " ".join(words)


def one_place() -> bool:
    """Whether standard output and standard error are read in one place: a terminal, or one log."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno()))
    except (OSError, ValueError):
        return False


def ending(running: Sequence[tuple[Op, str]]) -> str:
    """What is waited for after Ctrl-C, and how not to wait."""
    shown = [f"{op} {label(urn)}" for op, urn in running if op is not Op.SAME]
    if not shown:
        return "interrupted: writing down what was done"
    return (
        f"interrupted: nothing new begins; finishing {listed(shown, most=_SHOWN)}\n"
        "  Ctrl-C again abandons that; the next run then looks what became of it"
    )


def left_off(done: int, planned: int | None, command: str) -> str:
    """The last line of a run that was interrupted; `planned` is None where nobody had looked before."""
    if planned is not None and done >= planned:
        return f"all {planned} were done all the same"
    return f"{done}{'' if planned is None else f' of {planned}'} done; `iacorch {command}` goes on from there"


def summary(result: Result, *, planned: bool = False) -> str:
    """The counts in one line."""
    words = {op: f"to {op}" if planned and op in MAKING else _SIGNS[op][2] for op in Op}
    parts = [f"{n} {words[op]}" for op in Op if (n := result.changes.get(op, 0))]
    return ", ".join(parts) or "nothing to do"


def _component(type_: str) -> bool:
    return type_ == "pulumi:pulumi:Stack" or type_.startswith("pulumi:providers:")


def _quiet(event: Event, debug: bool) -> bool:
    return isinstance(event, Diagnostic) and event.severity is Severity.DEBUG and not debug
