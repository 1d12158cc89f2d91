"""`iacorch completion`: the script that lets a shell complete commands, options and names of stacks.

In: the shell's name. Out: the script on standard output; the shell calls `iacorch` back for the words themselves.
"""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from iacorch.cli.command import Command

_SHELLS: Final = ("bash", "zsh", "fish")
_CALLED_BACK: Final = "_IACORCH_COMPLETE"


@click.command(
    cls=Command,
    arguments={"SHELL": "bash (4.4 or later), zsh or fish"},
    examples=(
        "source <(iacorch completion bash)                     # this shell; into ~/.bashrc for every one",
        "iacorch completion zsh > ~/.zfunc/_iacorch            # a folder of your fpath",
        "iacorch completion fish > ~/.config/fish/completions/iacorch.fish",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script that completes iacorch's commands, options and stacks in your shell."""
    found = get_completion_class(shell)
    assert found is not None, f"click knows {', '.join(_SHELLS)}"
    root = click.get_current_context().find_root()
    click.echo(found(root.command, {}, "iacorch", _CALLED_BACK).source())
