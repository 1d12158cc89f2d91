"""The machine layer's edges: refresh previews of every stack, and targeted corrections. Thin.

In: a `Deployer`, the engine's files, stack references. Out: `Observation`s; corrected URNs. What the events mean is in
`refresh`. A stack that somebody writes is not looked at: its state and the world are between two moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from iacorch.drift.decisions.decide import Decision
from iacorch.drift.machine import refresh
from iacorch.drift.model import Layer, Observation
from iacorch.drift.reports.report import Done
from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.engine import BuiltIn
from iacorch.infra.engine.builtin.values.state import Snapshot
from iacorch.infra.engine.contract import Deployer, Event, Op, Options, ResourceDone, ResourcePre, StackRef
from iacorch.infra.engine.errors import ResourceFailed, StackLocked
from iacorch.kit import limits

_LOOKS: int = 4
"""A provider that fails for one resource ends the preview: it is left out and the others are looked at again."""


@dataclass(frozen=True, slots=True)
class Stacks:
    """The stacks that are watched. `files` reads states and locks; both engines share them."""

    deployer: Deployer
    files: BuiltIn
    refs: Mapping[str, StackRef]
    environment: Mapping[str, str]
    known: dict[str, tuple[bytes, Snapshot]] = field(default_factory=dict, repr=False)
    """What was read before, by stack: opening a state derives its key, which takes half a second."""

    async def snapshots(self) -> tuple[dict[str, Snapshot], tuple[str, ...]]:
        """The states by stack, and words for each that cannot be read."""
        found: dict[str, Snapshot] = {}
        errors: list[str] = []
        for name, ref in self.refs.items():
            try:
                data = self.files.backend(ref).read()
                if name not in self.known or self.known[name][0] != data:
                    self.known[name] = (data, (await self.files.open(ref)).snapshot)
                found[name] = self.known[name][1]
            except EngineError as error:
                errors.append(f"{Layer.MACHINE}: stack {name}: {error.message}")
        return found, tuple(errors)

    async def look(self, snapshots: Mapping[str, Snapshot]) -> tuple[Observation, ...]:
        """Every stack, a few at a time."""
        slots = asyncio.Semaphore(limits.DRIFT_STACKS_AT_ONCE)

        async def one(name: str) -> tuple[Observation, ...]:
            async with slots:
                return await self._look(name, snapshots[name])

        return tuple(o for found in await asyncio.gather(*map(one, snapshots)) for o in found)

    async def _look(self, name: str, snapshot: Snapshot) -> tuple[Observation, ...]:
        ref = self.refs[name]
        if who := self.files.backend(ref).locks.holder():
            return refresh.all_unknown(name, snapshot.resources, f"the stack is being written by {who}")
        watched = [r.urn for r in snapshot.resources if refresh.is_watched(r)]
        failed: dict[str, str] = {}
        events: list[Event] = []
        for _ in range(_LOOKS):
            left = tuple(urn for urn in watched if urn not in failed)
            if not left:
                break
            events.clear()
            # Without failures no targets are named: a preview of everything reads everything once.
            options = Options(preview_only=True, targets=left if failed else (), environment=self.environment)
            try:
                await self.deployer.refresh(ref, options, events.append)
            except StackLocked as error:
                return refresh.all_unknown(name, snapshot.resources, error.message)
            except ResourceFailed as error:
                failed[error.urn] = error.message
                if error.urn in left:
                    continue
                return refresh.all_unknown(name, snapshot.resources, error.message)
            except EngineError as error:
                return refresh.all_unknown(name, snapshot.resources, error.message)
            break
        else:
            failed |= dict.fromkeys((urn for urn in watched if urn not in failed), "its provider failed for others")
        if who := self.files.backend(ref).locks.holder():
            return refresh.all_unknown(name, snapshot.resources, f"the stack is being written by {who}")
        said = [ResourceDone(urn, "", Op.REFRESH, 0.0, error=words) for urn, words in failed.items()]
        return refresh.observe(name, snapshot.resources, [*events, *said])

    async def correct(self, decisions: Sequence[Decision], say: Callable[[str], None]) -> list[Done]:
        """A targeted `up` of each stack's drifted URNs, after a preview that showed no replacement but allowed ones."""
        done: list[Done] = []
        for name in dict.fromkeys(d.seen.place.stack for d in decisions):
            done += await self._correct(name, [d for d in decisions if d.seen.place.stack == name], say)
        return done

    async def _correct(self, name: str, decisions: Sequence[Decision], say: Callable[[str], None]) -> list[Done]:
        by_urn = {d.seen.place.urn: d for d in decisions}
        held: dict[str, str] = {}
        options = Options(refresh_first=True, environment=self.environment, message="drift: correct what was changed")
        try:
            while urns := tuple(urn for urn in by_urn if urn not in held):
                events: list[Event] = []
                targeted = replace(options, targets=urns)
                await self.deployer.preview(self.refs[name], targeted, events.append)
                refused = refuse_replacements(refresh.after_refresh(events), by_urn)
                if not refused:
                    say(f"stack {name}: setting {len(urns)} resources right")
                    await self.deployer.up(self.refs[name], targeted, events.append)
                    break
                held |= refused
        except EngineError as error:
            return [Done(d.seen.id, held.get(urn, error.message)) for urn, d in by_urn.items()]
        return [Done(d.seen.id, held.get(urn, "")) for urn, d in by_urn.items()]


def refuse_replacements(events: Iterable[Event], allowed: Mapping[str, Decision]) -> dict[str, str]:
    """URN -> why not: what the preview would replace or delete without a decision that says so. Pure."""
    refused: dict[str, str] = {}
    for event in events:
        if not isinstance(event, ResourcePre | ResourceDone) or event.op not in (Op.REPLACE, Op.DELETE):
            continue
        decision = allowed.get(event.urn)
        if decision is None or not may_replace(decision):
            id_ = f" {decision.seen.id}" if decision else ""
            refused[event.urn] = f"it would be replaced; approve with: iacorch drift approve{id_}"
    return {urn: why for urn, why in refused.items() if urn in allowed}


def may_replace(decision: Decision) -> bool:
    """Approved by a person, or decided on as a replacement inside its window. Pure."""
    return decision.approved or decision.seen.replaces
