"""A world for engines: a project folder, a program that can be rewritten, a provider whose resources are files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.builtin.values import state
from iacorch.infra.engine.cli_engine import PulumiCli
from iacorch.infra.engine.contract import Deployer, Event, Options, StackRef
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds

PROVIDERS = {name: Path(__file__).with_name(f"{name}_provider.py") for name in ("loop", "pair")}
PROVIDER = PROVIDERS["loop"]
PASSPHRASE = "correct horse"
PRELUDE = """
import pulumi
from pulumi import ResourceOptions as Opts


class Thing(pulumi.CustomResource):
    address: pulumi.Output[str]

    def __init__(self, name, opts=None, **props):
        super().__init__("loop:index:Thing", name, {"address": None, **props}, opts)


class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("loop:index:Group", name, {}, opts)
"""


def urn(name: str, type_: str = "loop:index:Thing") -> str:
    return f"urn:pulumi:dev::proj::{type_}::{name}"


@dataclass
class World:
    """Everything of one test, under one folder."""

    root: Path
    events: list[Event] = field(default_factory=list)
    whole: bool = True
    """Every state that is there at the end can be read; tests that break one say so."""

    @property
    def ref(self) -> StackRef:
        return StackRef(self.root / "project", "dev", f"file://{self.root / 'state'}")

    @property
    def things(self) -> Path:
        return self.root / "things"

    @property
    def state_file(self) -> Path:
        return self.root / "state" / ".pulumi" / "stacks" / "proj" / "dev.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"LOOP_WORLD": str(self.things), "PULUMI_HOME": str(self.root / "home")}

    def options(self, **changes: Any) -> Options:
        return Options(environment=self.environment, **changes)

    def program(self, body: str) -> None:
        (self.ref.work_dir / "__main__.py").write_text(PRELUDE + body)

    def hear(self, event: Event) -> None:
        self.events.append(event)

    def calls(self, *methods: str) -> list[str]:
        """What the provider was asked, in order; only the named methods if any."""
        log = self.things / "calls.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if not methods or line.split()[0] in methods]

    def forget_calls(self) -> None:
        (self.things / "calls.log").unlink(missing_ok=True)

    def there(self) -> list[str]:
        """IDs of the things that really exist."""
        return sorted(path.stem for path in self.things.glob("*.json"))

    def latest(self) -> dict[str, Any]:
        latest: dict[str, Any] = json.loads(self.state_file.read_text())["checkpoint"]["latest"] or {}
        return latest

    def resource(self, name: str) -> dict[str, Any]:
        """The resource of this name in the state file."""
        (found,) = (r for r in self.latest()["resources"] if r["urn"].endswith(f"::{name}") and not r.get("delete"))
        assert isinstance(found, dict)
        return found

    def names(self) -> list[str]:
        return [r["urn"].rpartition("::")[2] for r in self.latest().get("resources", [])]

    def builtin(
        self, passphrase: str | None = PASSPHRASE, bundled: Mapping[str, Sequence[str]] | None = None
    ) -> BuiltIn:
        bundled = bundled or {name: [sys.executable, str(path)] for name, path in PROVIDERS.items()}
        return BuiltIn(SystemClock(), SystemIds(), passphrase=passphrase, bundled=bundled)


class Blind:
    """Opens no secret: for those who only look at what belongs to what."""

    def open(self, ciphertext: str) -> str:
        return "null"

    def close(self, plaintext: str, *, known_as: str = "") -> str:
        raise AssertionError("nothing is written here")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for folder in (made.ref.work_dir, made.things, tmp_path / "state"):
        folder.mkdir()
    (made.ref.work_dir / "Pulumi.yaml").write_text("name: proj\nruntime: python\n")
    yield made
    if made.whole:
        for path in made.state_file.parent.glob("*.json"):
            state.parse(path.read_bytes(), Blind(), str(path))


def cli_of(world: World) -> PulumiCli:
    folder = world.root / "bin"
    folder.mkdir(exist_ok=True)
    for name, path in PROVIDERS.items():
        script = folder / f"pulumi-resource-{name}"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{path}" "$@"\n')
        script.chmod(0o755)
    return PulumiCli(SystemClock(), passphrase=PASSPHRASE, path=[str(folder)])


Maker = Callable[[World], Deployer]


@pytest.fixture(params=["builtin", pytest.param("pulumi", marks=pytest.mark.cli)])
def engine(request: pytest.FixtureRequest, world: World) -> Deployer:
    """Each engine in turn; the CLI's turn is skipped where there is none."""
    if request.param == "builtin":
        return world.builtin()
    if shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH")
    os.environ.setdefault("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    return cli_of(world)
