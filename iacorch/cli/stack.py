"""`iacorch stack`: the stacks of a project. Works on the files, so it is the same for both engines."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin import admin
from iacorch.infra.engine.errors import StackMissing


@click.group()
def stack() -> None:
    """Stacks of this project."""


@stack.command("ls")
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
    for name in names:
        click.echo(f"{name}{'*' if name == chosen else ''}")


@stack.command()
@click.argument("name")
@with_target
def init(target: Target, name: str) -> None:
    """Make an empty stack and choose it."""
    asyncio.run(target.files().create_stack(target.ref(name)))
    target.select(name)
    click.echo(f"made the stack {name}")


@stack.command()
@click.argument("name")
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


@stack.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--show-secrets", is_flag=True, help="Show secret outputs.")
@with_target
def output(target: Target, name: str | None, as_json: bool, show_secrets: bool) -> None:
    """Show the outputs, or one of them."""
    outputs = asyncio.run(target.files().outputs(target.ref()))
    shown = {k: o.value if show_secrets or not o.secret else "[secret]" for k, o in sorted(outputs.items())}
    if name is not None:
        if name not in shown:
            raise ConfigError(f"there is no output {name!r}; there are: {', '.join(shown) or 'none'}", where="NAME")
        value = shown[name]
        click.echo(value if isinstance(value, str) and not as_json else orjson.dumps(value).decode())
    elif as_json:
        click.echo(orjson.dumps(shown).decode())
    else:
        for key, value in shown.items():
            click.echo(f"{key}  {value if isinstance(value, str) else orjson.dumps(value).decode()}")


@stack.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
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


@stack.command()
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write here.")
@with_target
def export(target: Target, path: Path | None) -> None:
    """Write the state as JSON, secrets encrypted."""
    data = admin.export(target.files(), target.ref())
    if path is None:
        click.echo(data.decode())
    else:
        path.write_bytes(data)


@stack.command("import")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read this.")
@with_target
def import_(target: Target, path: Path | None) -> None:
    """Replace the state by an exported one."""
    data = path.read_bytes() if path is not None else sys.stdin.buffer.read()
    count = asyncio.run(admin.import_(target.files(), target.ref(), data))
    click.echo(f"imported {count} resources")


@stack.command()
@click.argument("name", required=False)
@with_target
def unlock(target: Target, name: str | None) -> None:
    """Remove the locks that a dead process left."""
    count = asyncio.run(target.files().unlock(target.ref(name or "")))
    click.echo(f"removed {count} lock(s)")


@stack.command()
@click.argument("name")
@with_target
def rm(target: Target, name: str) -> None:
    """Forget an empty stack."""
    asyncio.run(target.files().remove_stack(target.ref(name)))
    click.echo(f"forgot the stack {name}")
