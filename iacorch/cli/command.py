"""What every command of `iacorch` has: help with its arguments, examples and exit codes; completion of a wrong name.

In: `@click.command(cls=Command, ...)` or a `Group`, whose commands are `Command`s by themselves. Out: help in one form,
and usage errors in our words (`usage`). `tests/cli/test_help.py` goes through all of them and asks for each part.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from iacorch.cli.usage import NoSuchCommand
from iacorch.kit import limits

#: `context_settings` of every command: they are inherited.
SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": limits.HELP_COLUMNS}

#: What commands with `--detailed-exitcode` end with; `docs/commands.md` has the table.
CHANGES: Final[Mapping[int, str]] = {0: "there is nothing to change", 1: "an error", 2: "there is something to change"}


class _Told(click.Command):
    """Sections of help that click does not have."""

    def __init__(
        self,
        *args: Any,
        arguments: Mapping[str, str] | None = None,
        examples: Sequence[str] = (),
        exit_codes: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.arguments = dict(arguments or {})
        self.examples = tuple(examples)
        self.exit_codes = dict(exit_codes or {})

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(list(self.arguments.items()))
        super().format_options(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                # As they are: a command that is wrapped cannot be pasted.
                formatter.write("".join(f"  {line}\n" for line in self.examples))
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), words) for code, words in self.exit_codes.items()])


class Command(_Told):
    """One command."""


class Group(_Told, click.Group):
    """Commands under one name. Its `@group.command(...)` takes `arguments`, `examples` and `exit_codes` as well."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise NoSuchCommand(name, self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)


def width() -> int:
    """Columns that there are to write on: the terminal's, where somebody looks at one, else a page's."""
    return max(limits.PAGE_COLUMNS_LEAST, shutil.get_terminal_size((limits.PAGE_COLUMNS, 24)).columns)
