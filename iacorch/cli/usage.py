"""What a person typed wrongly, in our words: what is wrong, what exists, what to do next. Pure but for click's types.

In: click's `UsageError`. Out: an `Explained`. Called by `main`, which shows it like every other error of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from iacorch.kit.text import did_you_mean, listed, near


class NoSuchCommand(click.UsageError):
    """`name` is none of the `known` commands of a group."""

    def __init__(self, name: str, known: Sequence[str], ctx: click.Context) -> None:
        super().__init__(f"there is no command {name!r}", ctx)
        self.name, self.known = name, tuple(known)


@dataclass(frozen=True, slots=True)
class Explained:
    """`usage` is empty where the form of the command is not what was wrong."""

    message: str
    hint: str
    usage: str = ""


def explain(error: click.ClickException) -> Explained:
    """Every error that click raises for what was typed."""
    if not isinstance(error, click.UsageError):
        return Explained(error.format_message(), "")
    path = error.ctx.command_path if error.ctx is not None else "iacorch"
    help_ = f"`{path} --help` shows how it is used"
    match error:
        case NoSuchCommand(name=name, known=known):
            close = near(name, known)
            means = f"did you mean {' or '.join(f'`{path} {each}`' for each in close)}? " if close else ""
            rest = f"`{path} --help` lists them" if close or len(known) > 10 else f"there are {listed(known, most=10)}"
            return Explained(f"`{path}` has no command {name!r}", f"{means}{rest}")
        case click.NoSuchOption(option_name=name):
            close = near(name.lstrip("-"), [option.lstrip("-") for option in _options(error.ctx) if option[:2] == "--"])
            means = f"did you mean {' or '.join(f'--{each}' for each in close)}? " if close else ""
            return Explained(f"`{path}` has no option {name}", f"{means}{help_}")
        case click.MissingParameter():
            return Explained(f"{_parameter(error)} is missing", help_, _usage(error.ctx))
        case click.BadParameter(param=param, message=said) if param is not None:
            return Explained(*_bad(error, param, said, help_))
        case click.BadParameter(message=said):
            return Explained(f"{_parameter(error)}: {said}", help_)
        case _:
            said = error.format_message().rstrip(".")
            return Explained(said[:1].lower() + said[1:], help_, _usage(error.ctx))


def _bad(error: click.BadParameter, param: click.Parameter, said: str, help_: str) -> tuple[str, str]:
    """A value that cannot be: for choices what it may be."""
    name = _parameter(error)
    if isinstance(param.type, click.Choice):
        known = [str(choice) for choice in param.type.choices]
        typed = said.partition("'")[2].partition("'")[0]
        close = f"{did_you_mean(typed, known)} " if near(typed, known) else ""
        return f"{name} cannot be {typed!r}; it is one of {listed(known, most=20)}", f"{close}{help_}"
    if isinstance(param.type, click.Path):
        return f"{name}: {said[:1].lower()}{said[1:].rstrip('.')}", help_
    return f"{name}: {said.rstrip('.')}", help_


def _parameter(error: click.BadParameter) -> str:
    if error.param_hint:
        return error.param_hint if isinstance(error.param_hint, str) else " / ".join(error.param_hint)
    if error.param is None:
        return "a value"
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.make_metavar(error.ctx or click.Context(click.Command(None))).strip("[]").rstrip(".")


def _options(ctx: click.Context | None) -> list[str]:
    params = ctx.command.params if ctx is not None else []
    return ["--help", *(opt for param in params if isinstance(param, click.Option) for opt in param.opts)]


def _usage(ctx: click.Context | None) -> str:
    return " ".join(ctx.get_usage().removeprefix("Usage: ").split()) if ctx is not None else ""
