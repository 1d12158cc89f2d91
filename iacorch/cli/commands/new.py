"""`iacorch new`: a project of one's own, with the settings that its program needs. What is there is left alone."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

import iacorch
from iacorch.cli import project
from iacorch.cli.command import Command
from iacorch.cli.target import BACKEND, PASSPHRASE_FILE, STATE, passphrase_variable, target_in
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin import admin
from iacorch.kit.files import write_whole
from iacorch.kit.ids import SystemIds
from iacorch.kit.text import did_you_mean

_IN_WHEEL: Final = Path(iacorch.__file__).parent / "_programs"
_PASSPHRASE_BYTES: Final = 24
_STACK: Final = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]{0,99}")
_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")
_EXTRAS: Final = {"aws": "infra,aws", "hybrid": "infra,libcloud,aws", "qemu": "infra,qemu"}
_FIRST: Final = {
    "local": ("iacorch image node        # the machines' image, once",),
    "aws": ("iacorch config set region eu-central-1",),
    "hybrid": ("$EDITOR Pulumi.{stack}.yaml      # hosts and cloud, as its first lines say",),
    "qemu": ("sudo iacorch image machine FOLDER, then iacorch config set image, kernel and initrd",),
}


@click.command(
    cls=Command,
    arguments={
        "DIRECTORY": "the project's folder; made if it is not there",
        "HOSTS": "machines that you own: [NAME=][USER@]ADDRESS[:PORT]; the first carries the control plane",
    },
    examples=(
        "iacorch new shop 203.0.113.11 203.0.113.12 203.0.113.13",
        "iacorch new shop cp=debian@10.0.0.1 debian@10.0.0.2:2222 --key ~/.ssh/fleet",
        "iacorch new trial                       # containers on this host",
        "iacorch new shop --program aws --stack prod",
    ),
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.argument("hosts", nargs=-1)
@click.option(
    "--program",
    default="",
    metavar="NAME",
    help="hosts, local, aws, hybrid or qemu; by default hosts where HOSTS are given, else local.",
)
@click.option("-s", "--stack", default="prod", metavar="NAME", show_default=True, help="Its first stack.")
@click.option("--name", default="", help="The project's name; by default the folder's.")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private SSH key that opens the hosts; by default one of ~/.ssh.",
)
def new(directory: Path, hosts: tuple[str, ...], program: str, stack: str, name: str, key: Path | None) -> None:
    """Begin a project: a program for your machines, its settings, and what to type next."""
    program = program or ("hosts" if hosts else "local")
    texts = programs()
    if program not in texts:
        raise ConfigError(f"there is no program {program!r}", where="--program", hint=did_you_mean(program, texts))
    owned = project.hosts_of(hosts)
    if owned and program not in ("hosts", "hybrid"):
        raise ConfigError(
            f"the program {program} has no hosts", where="HOSTS", hint="leave them out, or --program hosts"
        )
    if program == "hosts" and not owned:
        raise ConfigError("no host is named", where="HOSTS", hint="iacorch new DIRECTORY [USER@]ADDRESS...")
    found_key = _private_key(key) if owned else None
    if not _STACK.fullmatch(stack):
        raise ConfigError(f"{stack!r} is no name for a stack", where="--stack", hint="letters, digits, -, _ and .")
    root = directory.resolve()
    made = project.files(
        project.checked_name(name or root.name),
        stack=stack,
        program=texts[program],
        requirement=f"iacorch[{_EXTRAS.get(program, 'infra')}]~={iacorch.__version__}",
        hosts=owned,
    )
    with ExitStack() as undo:
        _write(root, made, undo)
        _passphrase(root, undo)
        # where every later command of this shell will look
        target = replace(target_in(root, backend=os.environ.get(BACKEND, "")), stack_option=stack)
        asyncio.run(target.files().create_stack(target.ref()))
        undo.pop_all()  # from here on it is a project
    target.select(stack)
    if found_key:
        asyncio.run(admin.set_config(target.files(), target.ref(), "ssh_private_key", found_key[1], secret=True))
        click.echo(f"the hosts are opened with {found_key[0]}, kept encrypted in Pulumi.{stack}.yaml")
    _say(directory, program, stack, key_missing=bool(owned) and not found_key)


def programs() -> dict[str, str]:
    """The programs that a project may begin with, name to text: those of `stacks/`, which a wheel carries too."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(iacorch.__file__).parent.parent / "stacks"
    return {path.stem: path.read_text() for path in sorted(folder.glob("[a-z]*.py"))}


def _write(root: Path, made: Mapping[str, str], undo: ExitStack) -> None:
    """Every file or none; `undo` takes them back."""
    there = sorted(name for name in made if (root / name).exists())
    if there:
        raise ConfigError(
            f"{root} has {' and '.join(there)} already",
            where="DIRECTORY",
            hint="take another folder; in a project that is there, `iacorch stack init` makes another stack",
        )
    _make_folder(root, undo)
    for name, text in made.items():
        undo.callback((root / name).unlink, missing_ok=True)
        (root / name).write_text(text)


def _make_folder(folder: Path, undo: ExitStack) -> None:
    """With those above it that are missing."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(exist_ok=True)
        undo.callback(_remove_if_empty, missing)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _passphrase(root: Path, undo: ExitStack) -> None:
    """A passphrase for the stack's secrets, where the person has not chosen one."""
    if passphrase_variable(os.environ):
        return
    if not (root / PASSPHRASE_FILE).exists():
        _make_folder((root / PASSPHRASE_FILE).parent, undo)
        undo.callback((root / PASSPHRASE_FILE).unlink, missing_ok=True)
        write_whole(root / PASSPHRASE_FILE, f"{SystemIds().token(_PASSPHRASE_BYTES).hex()}\n".encode())


def _private_key(given: Path | None) -> tuple[Path, str] | None:
    """The key's file and text; None where there is none that can be used. Raises ConfigError for one that was named."""
    if given is not None:
        return given, _read_key(given)
    for path in (Path.home() / ".ssh" / name for name in _KEYS):
        with suppress(ConfigError):
            return path, _read_key(path)
    return None


def _read_key(path: Path) -> str:
    try:
        text = path.read_text()
        load_ssh_private_key(text.encode(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} cannot be used: {error}",
            where="--key",
            hint="the key must be OpenSSH's, without a passphrase of its own (it is kept as a secret of the stack): "
            "ssh-keygen -t ed25519 -N '' -f fleet, then ssh-copy-id -i fleet.pub to each host",
        ) from error
    return text


def _kept(directory: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Where states and the passphrase are; what variables of the shell say comes first, now and later."""
    if url := environment.get(BACKEND):
        yield f"its states are kept in {url}, as {BACKEND} says: set it for every later command, too"
    else:
        yield f"its states are kept in {directory / STATE}: keep a copy, git does not"
    if variable := passphrase_variable(environment):
        yield f"the secrets' passphrase is the one of {variable}: set it for every later command, too"
    else:
        yield f"the secrets' passphrase is in {directory / PASSPHRASE_FILE}: keep a copy, git does not"


def _say(directory: Path, program: str, stack: str, *, key_missing: bool) -> None:
    steps = [f"cd {directory}"]
    if key_missing:
        looked = f"{', '.join(_KEYS)} in {Path.home() / '.ssh'}"
        click.echo(f"no SSH key was found that opens the hosts ({looked}: none without a passphrase of its own)")
        steps += ["iacorch config set --secret ssh_private_key < PRIVATE_KEY_FILE"]
    steps += [line.format(stack=stack) for line in _FIRST.get(program, ())]
    steps += [
        "iacorch preview           # what would happen",
        "iacorch up                # machines, nodes, a cluster",
        'export KUBECONFIG="$(iacorch kubeconfig)"     # then kubectl get nodes',
    ]
    click.echo(f"made a project in {directory}: __main__.py is the program, Pulumi.{stack}.yaml its settings")
    for line in _kept(directory, os.environ):
        click.echo(line)
    click.echo("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
