"""Every command's help, and what is said of wrong usage: tables over the whole tree of commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from iacorch.cli.command import Command, Group
from iacorch.cli.main import COMMANDS, cli
from iacorch.cli.usage import Explained, explain


def walk(command: click.Command, path: tuple[str, ...], parent: click.Context | None = None) -> Iterator[click.Context]:
    context = click.Context(command, parent=parent, info_name=path[-1])
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, (*path, name), context)


EVERY = {context.command_path: context for context in walk(cli, ("iacorch",))}


@pytest.mark.parametrize("path", EVERY)
def test_help_explains_everything(path: str) -> None:
    command = EVERY[path].command
    assert isinstance(command, Command | Group)
    assert command.help
    assert command.examples, "an example"
    for param in command.params:
        if isinstance(param, click.Argument):
            assert param.human_readable_name.strip("[]") in command.arguments
        elif isinstance(param, click.Option):
            assert param.help, param.name
    text = command.get_help(EVERY[path])
    assert text.index("Usage:") < text.index("Options:") < text.index("Examples:")
    # the list of commands shows no sentence that was cut off
    assert len(command.help.partition("\n")[0]) <= 100


@pytest.mark.parametrize("path", EVERY)
def test_examples_can_be_typed(path: str) -> None:
    command = EVERY[path].command
    assert isinstance(command, Command | Group)
    for line in command.examples:
        words = shlex.split(line.replace("&&", "\n#").partition("  #")[0], comments=True)
        at = next((index for index, word in enumerate(words) if word == "iacorch"), None)
        if at is None or "COMMAND" in words or "<(" in line:
            continue
        words = words[at + 1 :]
        shown: click.Command = cli
        context = EVERY["iacorch"]
        while isinstance(shown, click.Group) and words and not words[0].startswith("-"):
            below = shown.get_command(context, words[0])
            assert below is not None, line
            shown, words = below, words[1:]
        ends = [index for index, word in enumerate(words) if word in ("|", ">", "<")]
        shown.make_parser(click.Context(shown)).parse_args(words[: min(ends, default=len(words))])


def test_what_the_list_says_is_what_the_commands_are() -> None:
    assert all(len(line) <= 60 and line.endswith(".") for _, line in COMMANDS.values())


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_complete(name: str) -> None:
    if name == "bash":  # it asks the bash that is there for its version
        pytest.importorskip("click")
    from click.shell_completion import get_completion_class

    found = get_completion_class(name)
    assert found is not None
    completes = found(cli, {}, "iacorch", "_IACORCH_COMPLETE")
    assert "_IACORCH_COMPLETE" in completes.source_vars()["complete_var"]
    words = [item.value for item in completes.get_completions(["stack"], "se")]
    assert words == ["select"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param(
            "drfit",
            Explained("`iacorch` has no command 'drfit'", "did you mean `iacorch drift`? `iacorch --help` lists them"),
            id="a command",
        ),
        pytest.param(
            "drift approv",
            Explained(
                "`iacorch drift` has no command 'approv'",
                "did you mean `iacorch drift approve`? `iacorch drift --help` lists them",
            ),
            id="a command of a group",
        ),
        pytest.param(
            "drift zzz",
            Explained("`iacorch drift` has no command 'zzz'", "there are approve, forget"),
            id="nothing near: all there are",
        ),
        pytest.param(
            "up --parralel 2",
            Explained(
                "`iacorch up` has no option --parralel",
                "did you mean --parallel? `iacorch up --help` shows how it is used",
            ),
            id="an option",
        ),
        pytest.param(
            "drift --layer nod",
            Explained(
                "--layer cannot be 'nod'; it is one of machine, node, workload",
                "did you mean node? `iacorch drift --help` shows how it is used",
            ),
            id="a choice",
        ),
        pytest.param(
            "config set",
            Explained(
                "KEY is missing", "`iacorch config set --help` shows how it is used",
                "iacorch config set [OPTIONS] KEY [VALUE]",
            ),
            id="a missing argument",
        ),
        pytest.param(
            "up --parallel 0",
            Explained("--parallel: 0 is not in the range 1<=x<=1024", "`iacorch up --help` shows how it is used"),
            id="out of range",
        ),
        pytest.param(
            "apply nofile",
            Explained("PLAN: file 'nofile' does not exist", "`iacorch apply --help` shows how it is used"),
            id="a file that is not there",
        ),
        pytest.param(
            "up now",
            Explained(
                "got unexpected extra argument (now)", "`iacorch up --help` shows how it is used",
                "iacorch up [OPTIONS]",
            ),
            id="a word too many",
        ),
        pytest.param(
            "image build . name --label x",
            Explained("--label: 'x' is not NAME=VALUE", "`iacorch image build --help` shows how it is used"),
            id="of our own checks",
        ),
    ],
)  # fmt: skip
def test_wrong_usage_is_said_in_our_words(typed: str, expected: Explained) -> None:
    with pytest.raises(click.ClickException) as raised:
        cli.main(shlex.split(typed), prog_name="iacorch", standalone_mode=False)
    assert explain(raised.value) == expected
