"""`iacorch config`: the values in `Pulumi.STACK.yaml`. The same for both engines."""

from __future__ import annotations

import asyncio
import sys

import click
import orjson

from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin import admin
from iacorch.infra.engine.builtin.project import full_key, load_project


@click.group()
def config() -> None:
    """Configuration of a stack."""


@config.command("set")
@click.argument("key")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Encrypt it with the stack's passphrase.")
@with_target
def set_(target: Target, key: str, value: str | None, secret: bool) -> None:
    """Set one value; without VALUE it is read from standard input."""
    text = value if value is not None else sys.stdin.read().rstrip("\n")
    asyncio.run(admin.set_config(target.files(), target.ref(), key, text, secret=secret))


@config.command()
@click.argument("key")
@with_target
def get(target: Target, key: str) -> None:
    """Print one value, in the clear."""
    ref = target.ref()
    values = asyncio.run(admin.read_config(target.files(), ref))
    full = full_key(load_project(ref.work_dir).name, key)
    if full not in values:
        raise ConfigError(f"the stack {ref.stack} has no value {full}", where="KEY")
    click.echo(values[full][0])


@config.command()
@click.argument("key")
@with_target
def rm(target: Target, key: str) -> None:
    """Remove one value."""
    if not asyncio.run(admin.remove_config(target.files(), target.ref(), key)):
        raise ConfigError(f"the stack has no value {key}", where="KEY")


@config.command("ls")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--show-secrets", is_flag=True, help="Show secret values.")
@with_target
def list_(target: Target, as_json: bool, show_secrets: bool) -> None:
    """List the values."""
    values = asyncio.run(admin.read_config(target.files(), target.ref()))
    shown = {k: text if show_secrets or not secret else "[secret]" for k, (text, secret) in values.items()}
    if as_json:
        click.echo(orjson.dumps(shown).decode())
        return
    for key, text in shown.items():
        click.echo(f"{key}  {text}")
