"""`iacorch`: the command group. Commands are imported when they are called, so that `--help` is instant.

To add a command, write one with `cls=Command` (or `Group`) in a module of this room and name it in `COMMANDS`. Errors
end here, ours and what was typed wrongly: one message, one hint, exit code 1; the traceback only with `--debug`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

import iacorch
from iacorch.cli.command import SETTINGS, Group
from iacorch.cli.usage import explain
from iacorch.errors import IacorchError

_COMMANDS: Final = "iacorch.cli.commands"
#: Command name -> (module of `commands`:attribute, what it does in one line). So help imports nothing.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "new": ("new:new", "Begin a project: a program for your machines."),
    "up": ("deploy:up", "Make the machines what the program says."),
    "preview": ("deploy:preview", "Show what `up` would change."),
    "refresh": ("deploy:refresh", "Read what is really there into the state."),
    "destroy": ("deploy:destroy", "Delete everything that the stack made."),
    "plan": ("plan:plan", "Show, and save, all that `apply` would do on every layer."),
    "apply": ("plan:apply", "Carry out a saved plan, if nothing has moved since."),
    "drift": ("drift:drift", "Find what differs from what is wanted; set it right."),
    "why": ("why:why", "Say why something does not work, and what to do next."),
    "kubeconfig": ("kubeconfig:kubeconfig", "Write the administrator's kubeconfig for kubectl."),
    "stack": ("stack:stack", "Stacks and their outputs, history and state."),
    "config": ("config:config", "Settings of a stack."),
    "upgrade": ("upgrade:upgrade", "Put this build of iacorch on every machine."),
    "certs": ("certs:certs", "List, rotate and withdraw certificates."),
    "bundle": ("bundle:bundle", "Write or load the file for a site without a network."),
    "inventory": ("inventory:inventory", "Machines as an Ansible inventory, for your own playbooks."),
    "image": ("image:image", "Build images without a registry; load them onto nodes."),
    "provisioner": ("provision:provisioner", "Make, mend and remove the machines of node pools."),
    "reap": ("provision:reap", "List or remove machines whose claims are gone."),
    "completion": ("completion:completion", "Completion of commands, options and stacks for your shell."),
}


class Lazy(Group):
    """A group whose commands are imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"{_COMMANDS}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Lazy,
    context_settings=SETTINGS,
    examples=(
        "iacorch up",
        "iacorch drift --stack prod",
        "iacorch COMMAND --help     what a command takes, with examples",
    ),
    exit_codes={
        0: "done",
        1: "failed, or typed wrongly",
        2: "there is something to change (--detailed-exitcode)",
        130: "interrupted",
    },
)
@click.version_option(iacorch.__version__, prog_name="iacorch")
@click.option("--debug", is_flag=True, help="Show tracebacks and what plugins print.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Write your machines in Python, run your containers with kubectl, and keep both true."""
    ctx.obj = {"debug": debug}
    ctx.color = _colour()


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exit codes: 0 done, 1 failed or typed wrongly, 2 changes (if asked for), 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=given, prog_name="iacorch", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), color=_colour())
        sys.exit(0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        told = explain(error)
        _tell(told.message, told.hint, usage=told.usage)
        sys.exit(1)
    except (IacorchError, OSError, KeyboardInterrupt) as error:
        if "--debug" in given:
            raise
        if isinstance(error, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(130)
        if isinstance(error, OSError):  # a file that a person named, or one beside the project
            _tell(f"{error.filename or 'the system'}: {error.strerror or error}", "--debug shows where it happened")
        else:
            show(error)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def show(error: IacorchError) -> None:
    """One message and what to do next."""
    subject = getattr(error, "urn", "")
    # as `cli.progress.label`, which is imported only by who shows progress
    parts = subject.split("::", 3)
    short = f"{parts[2].rpartition('$')[2].rpartition(':')[2]} {parts[3]}" if len(parts) == 4 else subject
    where = f"{short}: " if subject and subject not in error.message else ""
    _tell(f"{where}{error.message}", error.hint)


def _tell(message: str, hint: str, *, usage: str = "") -> None:
    colour = _colour()
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True, color=colour)
    if usage:
        click.echo(f"  {click.style('usage:', fg='cyan')} {usage}", err=True, color=colour)
    if hint:
        click.echo(f"  {click.style('hint:', fg='cyan')} {hint}", err=True, color=colour)


def _colour() -> bool | None:
    """None leaves it to whether a terminal is there; https://no-color.org says no."""
    return False if os.environ.get("NO_COLOR") else None


if __name__ == "__main__":
    main()
