"""The machine layer's edge, with the real files of a stack and an engine that plays a part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.decisions.policy import Chosen
from iacorch.drift.machine import refresh
from iacorch.drift.machine.source import Stacks
from iacorch.drift.model import Action, Verdict
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.contract import (
    Change,
    Deployer,
    Event,
    Listener,
    Op,
    Options,
    Progress,
    ResourcePre,
    StackRef,
)
from iacorch.infra.engine.errors import ResourceFailed
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SeededIds

TYPE = "docker:index/volume:Volume"


def urn(name: str) -> str:
    return f"urn:pulumi:prod::shop::{TYPE}::{name}"


class Engine:
    """Answers refreshes and previews with given events; fails for the URNs in `broken` unless they are left out."""

    def __init__(
        self, *, seen: Mapping[str, Op], planned: Mapping[str, Op], broken: frozenset[str] = frozenset()
    ) -> None:
        self.seen, self.planned, self.broken = seen, planned, broken
        self.brought_up: list[tuple[str, ...]] = []

    async def refresh(self, stack: StackRef, options: Options, listen: Listener) -> None:
        assert options.preview_only
        for name in self.broken:
            if not options.targets or urn(name) in options.targets:
                raise ResourceFailed("throttled", urn=urn(name))
        for name, op in self.seen.items():
            listen(ResourcePre(urn(name), TYPE, op, (Change("labels", [], ["x"]),)))

    async def preview(self, stack: StackRef, options: Options, listen: Listener) -> None:
        said: list[Event] = [ResourcePre(urn(name), TYPE, op) for name, op in self.seen.items()]
        said.append(Progress(refresh.RUNNING_PROGRAM))
        said += [ResourcePre(u, TYPE, self.planned[u.rpartition("::")[2]]) for u in options.targets]
        for event in said:
            listen(event)

    async def up(self, stack: StackRef, options: Options, listen: Listener) -> None:
        assert options.refresh_first
        self.brought_up.append(options.targets)


async def stacks(tmp_path: Path, engine: Engine, *names: str) -> Stacks:
    """A project with one stack whose state has these volumes."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    files = BuiltIn(SystemClock(), SeededIds(1), passphrase=None)
    ref = StackRef(tmp_path, "prod", f"file://{tmp_path}/state")
    await files.create_stack(ref)
    path = files.backend(ref).path
    state = json.loads(path.read_text())
    resources: list[dict[str, Any]] = [
        {"urn": urn(name), "type": TYPE, "custom": True, "id": name, "inputs": {"labels": []}} for name in names
    ]
    state["checkpoint"]["latest"] = {"manifest": {}, "resources": resources}
    path.write_text(json.dumps(state))
    return Stacks(cast("Deployer", engine), files, {"prod": ref}, {})


async def test_a_stack_that_is_being_written_is_unknown_with_who_writes(tmp_path: Path) -> None:
    watched = await stacks(tmp_path, Engine(seen={"a": Op.UPDATE}, planned={}), "a")
    snapshots, errors = await watched.snapshots()
    assert errors == ()
    async with watched.files.backend(watched.refs["prod"]).locks.writing(on_wait=lambda why: None):
        (found,) = await watched.look(snapshots)
    assert found.verdict is Verdict.UNKNOWN
    assert "is being written by" in found.reason
    assert "pid" in found.reason
    (found,) = await watched.look(snapshots)
    assert found.verdict is Verdict.DRIFTED


async def test_one_resource_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    watched = await stacks(tmp_path, Engine(seen={"b": Op.DELETE}, planned={}, broken=frozenset({"a"})), "a", "b", "c")
    snapshots, _ = await watched.snapshots()
    found = {o.key.name: (o.verdict, o.reason) for o in await watched.look(snapshots)}
    assert found["a"] == (Verdict.UNKNOWN, "throttled")
    assert found["b"][0] is Verdict.MISSING
    assert found["c"][0] is Verdict.IN_SYNC


async def test_a_correction_is_targeted_and_leaves_out_what_would_be_replaced(tmp_path: Path) -> None:
    engine = Engine(seen={"a": Op.DELETE, "b": Op.UPDATE}, planned={"a": Op.CREATE, "b": Op.REPLACE})
    watched = await stacks(tmp_path, engine, "a", "b", "c")
    snapshots, _ = await watched.snapshots()
    drifted = [o for o in await watched.look(snapshots) if o.is_drift]
    decisions = [Decision(o, Outcome.CORRECT, Chosen(Action.CORRECT), why="policy p") for o in drifted]
    done = {entry.id: entry.error for entry in await watched.correct(decisions, lambda words: None)}
    assert engine.brought_up == [(urn("a"),)]
    assert [bool(done[d.seen.id]) for d in decisions] == [False, True]
