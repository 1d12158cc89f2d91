"""What `iacorch new` writes: a program and what stands beside it. Pure.

In: the project's name, a program of `stacks/`, hosts as a person types them. Out: file name -> text. Called by `new`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from iacorch.errors import ConfigError

_HOST: Final = re.compile(
    r"(?:(?P<name>[^=@:]+)=)?(?:(?P<user>[^@=:]+)@)?(?P<address>\[[0-9A-Fa-f:.]+\]|[^@=:\[\]]+)(?::(?P<port>\d+))?"
)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PROJECT: Final = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]{0,99}")
_IGNORED: Final = ".iacorch/\n.venv/\n__pycache__/\n"


@dataclass(frozen=True, slots=True)
class Host:
    """One machine, as SSH reaches it."""

    name: str
    address: str
    user: str = "root"
    port: int = 22

    @property
    def setting(self) -> dict[str, Any]:
        """As the programs read it: what is as usual is left out."""
        said: dict[str, Any] = {"name": self.name, "address": self.address}
        if self.user != "root":
            said["user"] = self.user
        if self.port != 22:
            said["port"] = self.port
        return said


def hosts_of(texts: Iterable[str]) -> tuple[Host, ...]:
    """Each [NAME=][USER@]ADDRESS[:PORT]; a nameless one is machine-1, machine-2. Raises ConfigError."""
    hosts = tuple(_host(text, number) for number, text in enumerate(texts, 1))
    for field in ("name", "address"):
        said = [getattr(host, field) for host in hosts]
        if twice := sorted({value for value in said if said.count(value) > 1}):
            if field == "address" and len({(host.address, host.port) for host in hosts}) == len(hosts):
                continue
            raise ConfigError(f"two hosts have the {field} {twice[0]}", where="HOST", hint="say each host once")
    return hosts


def _host(text: str, number: int) -> Host:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{text!r} is no host",
            where="HOST",
            hint="write [NAME=][USER@]ADDRESS[:PORT], as in debian@203.0.113.11; IPv6 in brackets",
        )
    name = found["name"] or f"machine-{number}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a machine", where="HOST", hint="lower case letters, digits and -, as in rack-1"
        )
    port = int(found["port"] or 22)
    if not 0 < port < 65_536:
        raise ConfigError(f"{port} is no port", where=text, hint="1 to 65535")
    return Host(name, found["address"].strip("[]"), found["user"] or "root", port)


def checked_name(name: str) -> str:
    """The project's name as Pulumi takes it. Raises ConfigError."""
    if not _PROJECT.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for a project",
            where="DIRECTORY",
            hint="letters, digits, -, _ and . ; --name gives the project another name than its folder",
        )
    return name


def files(name: str, *, stack: str, program: str, requirement: str, hosts: Sequence[Host] = ()) -> Mapping[str, str]:
    """`program` is the text of the program, `requirement` what pip installs for it."""
    project = {
        "name": name,
        "description": "Machines in Python, containers with kubectl.",
        "runtime": {"name": "python"},
        "main": ".",
    }
    made = {
        "Pulumi.yaml": _yaml(project),
        "__main__.py": program,
        "requirements.txt": f"{requirement}\n",
        ".gitignore": _IGNORED,
    }
    settings: dict[str, Any] = {f"{name}:hosts": [host.setting for host in hosts]} if hosts else {}
    if len(hosts) == 1:
        settings[f"{name}:first_is_node"] = "true"  # said, so that it stays so when more hosts come
    if settings:
        made[f"Pulumi.{stack}.yaml"] = _yaml({"config": settings})
    return made


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
