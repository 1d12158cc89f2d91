"""Which stack a command is about: the options that every deployment command takes, resolved.

In: `--cwd`, `--stack`, `--backend`, `--engine` and the environment. Out: a `Target`. Used by `deploy`, `stack` and
`config`; composition roots of other commands that need a stack may use it too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import Any, Final, cast

import click
import yaml
from click.shell_completion import CompletionItem

from iacorch.errors import ConfigError, IacorchError
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import Deployer, StackRef
from iacorch.infra.engine.select import BUNDLED, Choice, choose, passphrase
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds

_SELECTED: Final = Path(".iacorch") / "stack"
STATE: Final = Path(".iacorch") / "state"
BACKEND: Final = "PULUMI_BACKEND_URL"
"""As with Pulumi's own command it comes before what stands in `Pulumi.yaml` or beside it."""
PASSPHRASE_FILE: Final = Path(".iacorch") / "passphrase"
"""Of the project's secrets, as `iacorch new` and `make up` write it; the environment comes first."""


@dataclass(frozen=True, slots=True)
class Target:
    """The folder, the chosen stack (may be empty), where states are kept, which engine."""

    root: Path
    stack_option: str
    backend_url: str
    engine: Choice
    debug: bool

    def ref(self, stack: str = "") -> StackRef:
        """The reference of the named stack, or of the chosen one; ConfigError says how to choose."""
        return StackRef(self.root, stack or self.chosen(), self.backend_url)

    def chosen(self) -> str:
        """--stack, PULUMI_STACK, what `stack select` kept, or the only stack there is."""
        if self.stack_option:
            return self.stack_option
        if named := os.environ.get("PULUMI_STACK"):
            return named
        try:
            if kept := (self.root / _SELECTED).read_text().strip():
                return kept
        except OSError:
            pass
        stacks = self.files().backend(StackRef(self.root, "any", self.backend_url)).stacks()
        if len(stacks) == 1:
            return stacks[0]
        there = f"there are {', '.join(stacks)}" if stacks else "there is none yet"
        raise ConfigError(
            f"no stack is chosen; {there}",
            where="--stack",
            hint="name one with --stack, choose with `iacorch stack select`, or make one with `iacorch stack init`",
        )

    def select(self, stack: str) -> None:
        """Remember the choice beside the project."""
        path = self.root / _SELECTED
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{stack}\n")

    def deployer(self) -> Deployer:
        return choose(self.engine, SystemClock(), SystemIds(), _environment(self.root))

    def files(self) -> BuiltIn:
        """For what concerns files only: both engines share them."""
        return BuiltIn(SystemClock(), SystemIds(), passphrase=passphrase(_environment(self.root)), bundled=BUNDLED)


def target_in(root: Path, stack: str = "", backend: str = "") -> Target:
    """A target for whoever has no command line; nothing of the environment is asked."""
    root = root.resolve()
    return Target(root, stack, backend or _backend(root), "builtin", debug=False)


def complete_stacks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of stacks for a shell; nothing where they cannot be told, since nobody reads errors there."""
    root = Path(ctx.params.get("cwd") or ".").resolve()
    try:
        target = target_in(root, backend=os.environ.get(BACKEND, ""))
        names = target.files().backend(StackRef(root, "any", target.backend_url)).stacks()
    except (IacorchError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def with_target(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a target, and the target as its first argument."""

    @click.option(
        "--cwd", "cwd", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Project folder."
    )
    @click.option("-s", "--stack", "stack_option", default="", metavar="NAME", shell_complete=complete_stacks,
                  help="The stack to work on; by default the chosen one.")  # fmt: skip
    @click.option("--backend", default="", metavar="URL", envvar=BACKEND,
                  help="Where states are kept (file://DIR).")  # fmt: skip
    @click.option(
        "--engine",
        type=click.Choice(["auto", "pulumi", "builtin"]),
        default="auto",
        envvar="IACORCH_ENGINE",
        help="The Pulumi CLI, or the built-in engine; auto takes the CLI where it is on PATH.",
    )
    def wrapped(**arguments: Any) -> Any:
        cwd, stack_option, backend, engine = (arguments.pop(k) for k in ("cwd", "stack_option", "backend", "engine"))
        root = cwd.resolve()
        debug = bool((click.get_current_context().obj or {}).get("debug"))
        target = Target(root, stack_option, backend or _backend(root), cast("Choice", engine), debug)
        return command(target, **arguments)

    # click collects options in an attribute of the function, so what `command` has must move along.
    return update_wrapper(wrapped, command)


def passphrase_variable(environment: Mapping[str, str]) -> str:
    """The variable by which the person has said which passphrase, or where it is; empty where none does."""
    if "PULUMI_CONFIG_PASSPHRASE" in environment:
        return "PULUMI_CONFIG_PASSPHRASE"
    return "PULUMI_CONFIG_PASSPHRASE_FILE" if environment.get("PULUMI_CONFIG_PASSPHRASE_FILE") else ""


def _environment(root: Path) -> Mapping[str, str]:
    """Our own, with the project's passphrase where no other one is named."""
    path = root / PASSPHRASE_FILE
    if passphrase_variable(os.environ) or not path.is_file():
        return os.environ
    return {**os.environ, "PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}


def _backend(root: Path) -> str:
    """What `Pulumi.yaml` names, else a folder of the project."""
    try:
        document = yaml.safe_load((root / "Pulumi.yaml").read_text()) or {}
        if url := (document.get("backend") or {}).get("url"):
            return str(url)
    except (OSError, yaml.YAMLError, AttributeError):
        pass  # the engine reports a project that cannot be read, and better
    return f"file://{root / STATE}"
