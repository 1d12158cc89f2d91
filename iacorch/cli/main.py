"""`iacorch`: the command group. Commands are imported when they are called, so that `--help` is instant.

To add a command, write a click command in a module of this room and name it in `COMMANDS`. Errors of ours end here: one
message, one hint, exit code 1; the traceback only with `--debug`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final

import click

import iacorch
from iacorch.errors import IacorchError

#: Command name -> (module:attribute, what it does in one line). The line is here so that help imports nothing.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("iacorch.cli.deploy:up", "Make the machines what the program says."),
    "preview": ("iacorch.cli.deploy:preview", "Show what `up` would change."),
    "refresh": ("iacorch.cli.deploy:refresh", "Read what is really there into the state."),
    "destroy": ("iacorch.cli.deploy:destroy", "Delete everything that the stack made."),
    "plan": ("iacorch.cli.plan:plan", "Show, and save, all that `apply` would do on every layer."),
    "apply": ("iacorch.cli.plan:apply", "Carry out a saved plan, if nothing has moved since."),
    "drift": ("iacorch.cli.drift:drift", "Find what differs from what is wanted, on every layer; set it right."),
    "stack": ("iacorch.cli.stack:stack", "Stacks: ls, init, select, output, history, export, import, unlock, rm."),
    "upgrade": ("iacorch.cli.upgrade:upgrade", "This build of iacorch on every machine, a zone at a time."),
    "certs": ("iacorch.cli.certs:certs", "Certificates: list with expiry, rotate, withdraw a node's."),
    "bundle": ("iacorch.cli.bundle:bundle", "One file for a site without a network; load it there."),
    "inventory": ("iacorch.cli.inventory:inventory", "Machines as an Ansible inventory, for playbooks of your own."),
    "image": ("iacorch.cli.image:image", "Images without a registry: node, build, load."),
    "provisioner": ("iacorch.cli.provision:provisioner", "Make, mend and remove the machines of node pools."),
    "reap": ("iacorch.cli.provision:reap", "Machines that were made for claims which are gone."),
    "config": ("iacorch.cli.config:config", "Configuration of a stack: set, get, rm, ls."),
}


class Lazy(click.Group):
    """A group whose commands are imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(iacorch.__version__, prog_name="iacorch")
@click.option("--debug", is_flag=True, help="Show tracebacks and what plugins print.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Write your machines in Python, run your containers with kubectl, and keep both true."""
    ctx.obj = {"debug": debug}


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=given, prog_name="iacorch", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (IacorchError, KeyboardInterrupt) as error:
        if "--debug" in given:
            raise
        if isinstance(error, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(130)
        show(error)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def show(error: IacorchError) -> None:
    """One message and what to do next."""
    subject = getattr(error, "urn", "")
    where = f"{subject}: " if subject and subject not in error.message else ""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {where}{error.message}", err=True)
    if error.hint:
        click.echo(f"  {click.style('hint:', fg='cyan')} {error.hint}", err=True)


if __name__ == "__main__":
    main()
