"""`iacorch stack`: the stacks of a project. Works on the files, so it is the same for both engines."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from iacorch.cli import outputs
from iacorch.cli.command import Group, width
from iacorch.cli.target import Target, complete_stacks, with_target
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin import admin
from iacorch.infra.engine.errors import StackMissing
from iacorch.kit.text import columns, did_you_mean


@click.group(
    cls=Group, examples=("iacorch stack ls", "iacorch stack select --create prod", "iacorch stack output nodes --json")
)
def stack() -> None:
    """Stacks of this project: choose one, read its outputs, its history and its state."""


@stack.command("ls", examples=("iacorch stack ls",))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_target
def list_(target: Target, as_json: bool) -> None:
    """List the stacks; the chosen one has a star."""
    names = asyncio.run(target.files().stacks(target.ref("any")))
    if as_json:
        click.echo(orjson.dumps([{"name": name} for name in names]).decode())
        return
    try:
        chosen = target.chosen()
    except ConfigError:
        chosen = ""
    if not names:
        click.echo("there is no stack yet; make one: iacorch stack init NAME", err=True)
    for name in names:
        click.echo(f"{name}{'*' if name == chosen else ''}")


@stack.command(arguments={"NAME": "what the stack is to be called"}, examples=("iacorch stack init prod",))
@click.argument("name")
@with_target
def init(target: Target, name: str) -> None:
    """Make an empty stack and choose it."""
    asyncio.run(target.files().create_stack(target.ref(name)))
    target.select(name)
    click.echo(f"made the stack {name}")


@stack.command(
    arguments={"NAME": "a stack of this project; `iacorch stack ls` lists them"},
    examples=("iacorch stack select prod", "iacorch stack select --create staging"),
)
@click.argument("name", shell_complete=complete_stacks)
@click.option("-c", "--create", is_flag=True, help="Make it if it is not there.")
@with_target
def select(target: Target, name: str, create: bool) -> None:
    """Choose the stack that the next commands are about."""
    files, ref = target.files(), target.ref(name)
    try:
        files.backend(ref).read()
    except StackMissing:
        if not create:
            raise
        asyncio.run(files.create_stack(ref))
    target.select(name)


@stack.command(
    arguments={"NAME": "one output; without it all of them"},
    examples=(
        "iacorch stack output",
        "iacorch stack output nodes",
        "iacorch stack output kubeconfig --show-secrets > kubeconfig",
    ),
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--show-secrets", is_flag=True, help="Show secret outputs.")
@with_target
def output(target: Target, name: str | None, as_json: bool, show_secrets: bool) -> None:
    """Show the outputs, or one of them."""
    ref = target.ref()
    found = asyncio.run(target.files().outputs(ref))
    shown = {k: o.value if show_secrets or not o.secret else outputs.HIDDEN for k, o in sorted(found.items())}
    looked_at = sys.stdout.isatty()
    if name is not None:
        if name not in shown:
            means = did_you_mean(name, shown, what="output")
            raise ConfigError(f"the stack {ref.stack} has no output {name!r}", hint=f"{means}; `iacorch up` makes them"
                              if not shown else means)  # fmt: skip
        value = shown[name]
        as_text = isinstance(value, str) and not as_json
        click.echo(value if as_text else orjson.dumps(value, option=orjson.OPT_INDENT_2 if looked_at else 0).decode())
        if value == outputs.HIDDEN:
            click.echo("it is a secret: --show-secrets shows it", err=True)
    elif as_json:
        click.echo(orjson.dumps(shown).decode())
    elif looked_at:
        for line in outputs.lines(found, width=width(), show_secrets=show_secrets):
            click.echo(line.removeprefix("    "))
    else:
        # whole, for who reads it with a program
        for row in columns([(key, outputs.text(o, show_secrets=show_secrets)) for key, o in sorted(found.items())]):
            click.echo(row)


@stack.command(examples=("iacorch stack history", "iacorch stack history --json | head -n 1"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_target
def history(target: Target, as_json: bool) -> None:
    """Past updates, newest first."""
    for entry in asyncio.run(target.files().history(target.ref())):
        changes = ", ".join(f"{n} {op}" for op, n in entry.changes.items() if n)
        if as_json:
            click.echo(orjson.dumps(entry).decode())
        else:
            when = datetime.fromtimestamp(entry.started, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            click.echo(f"{when}  {entry.kind:<8} {entry.result:<10} {entry.ended - entry.started:>4} s  {changes}")


@stack.command(examples=("iacorch stack export --file prod.json",))
@click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of standard output."
)
@with_target
def export(target: Target, path: Path | None) -> None:
    """Write the state as JSON, secrets encrypted."""
    data = admin.export(target.files(), target.ref())
    if path is None:
        click.echo(data.decode())
    else:
        path.write_bytes(data)


@stack.command("import", examples=("iacorch stack import --file prod.json",))
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Read this instead of standard input.")  # fmt: skip
@with_target
def import_(target: Target, path: Path | None) -> None:
    """Replace the state by an exported one."""
    data = path.read_bytes() if path is not None else sys.stdin.buffer.read()
    count = asyncio.run(admin.import_(target.files(), target.ref(), data))
    click.echo(f"imported {count} resources")


@stack.command(
    arguments={"NAME": "a stack; by default the chosen one"},
    examples=("iacorch stack unlock", "iacorch stack unlock prod"),
)
@click.argument("name", required=False, shell_complete=complete_stacks)
@with_target
def unlock(target: Target, name: str | None) -> None:
    """Remove the locks that a dead process left."""
    count = asyncio.run(target.files().unlock(target.ref(name or "")))
    click.echo(f"removed {count} lock(s)")


@stack.command(
    arguments={"NAME": "a stack without resources; `iacorch destroy` empties one"},
    examples=("iacorch stack rm staging",),
)
@click.argument("name", shell_complete=complete_stacks)
@with_target
def rm(target: Target, name: str) -> None:
    """Forget an empty stack."""
    asyncio.run(target.files().remove_stack(target.ref(name)))
    click.echo(f"forgot the stack {name}")
