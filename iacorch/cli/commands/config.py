"""`iacorch config`: the values in `Pulumi.STACK.yaml`. The same for both engines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

import click
import orjson

from iacorch.cli import settings
from iacorch.cli.command import Group
from iacorch.cli.target import Target, with_target
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin import admin
from iacorch.infra.engine.builtin.stack.project import full_key, load_project
from iacorch.kit.text import columns, did_you_mean


@click.group(
    cls=Group, examples=("iacorch config set workers 3", "iacorch config get workers", "iacorch config ls --stack prod")
)
def config() -> None:
    """Settings of a stack, kept in `Pulumi.STACK.yaml`; the program reads them."""


_KEY: Final = "a setting of the program, or NAMESPACE:NAME for somebody else's (aws:region)"


@config.command(
    "set",
    arguments={"KEY": _KEY, "VALUE": "its value; without it standard input is read"},
    examples=(
        "iacorch config set workers 3",
        "iacorch config set --stack prod --secret ssh_private_key < ~/.ssh/id_ed25519",
    ),
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--secret", is_flag=True, help="Encrypt it with the stack's passphrase.")
@with_target
def set_(target: Target, key: str, value: str | None, secret: bool) -> None:
    """Set one value; without VALUE it is read from standard input."""
    if value is None and sys.stdin.isatty():
        click.echo(f"the value of {key}, then Ctrl-D:", err=True)
    text = value if value is not None else sys.stdin.read().rstrip("\n")
    asyncio.run(admin.set_config(target.files(), target.ref(), key, text, secret=secret))
    if words := _unread(target, key):
        where = f"Pulumi.{target.ref().stack}.yaml"
        click.echo(f"written to {where}; but {words}\n  to remove it: iacorch config rm {key}", err=True)


@config.command(arguments={"KEY": _KEY}, examples=("iacorch config get workers",))
@click.argument("key")
@with_target
def get(target: Target, key: str) -> None:
    """Print one value, in the clear."""
    ref = target.ref()
    values = asyncio.run(admin.read_config(target.files(), ref))
    full = full_key(load_project(ref.work_dir).name, key)
    if full not in values:
        raise _missing(target, key, values)
    click.echo(values[full][0])


@config.command(arguments={"KEY": _KEY}, examples=("iacorch config rm workers",))
@click.argument("key")
@with_target
def rm(target: Target, key: str) -> None:
    """Remove one value."""
    if not asyncio.run(admin.remove_config(target.files(), target.ref(), key)):
        raise _missing(target, key, asyncio.run(admin.read_config(target.files(), target.ref())))


@config.command("ls", examples=("iacorch config ls", "iacorch config ls --json --show-secrets"))
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
    if not shown:
        click.echo(f"no settings in stack {target.ref().stack}; the program's defaults hold", err=True)
    for line in columns(list(shown.items())):
        click.echo(line)


def _missing(target: Target, key: str, values: Mapping[str, object]) -> ConfigError:
    """A value that is not set; its name may be mistyped, or the program's default may hold."""
    ref = target.ref()
    own = f"{load_project(ref.work_dir).name}:"
    known = [full.removeprefix(own) for full in values]
    hint = did_you_mean(key.removeprefix(own), known) or f"set it with: iacorch config set {key} VALUE"
    return ConfigError(f"the stack {ref.stack} has no setting {key}", hint=hint)


def _unread(target: Target, key: str) -> str:
    """A warning for a setting that nothing reads, empty where that is not certain."""
    project = load_project(target.root)
    namespace, _, name = full_key(project.name, key).rpartition(":")
    if namespace != project.name:
        return ""
    folder = project.main if project.main.is_dir() else project.main.parent
    return settings.unread(name, settings.of_program(folder))
