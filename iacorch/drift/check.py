"""One check from beginning to end: look at the layers at once, assess, correct, report. The composition of this room.

In: a `Checker` made of edges (stacks, hosts, a way to the API), policies, memory. Out: a `Report` and the memory after
it. Called by the command line and by `loop`; tests and the benchmark put other edges in, which implement `Edges`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from iacorch.drift.decisions.assess import Assessment, assess
from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.decisions.memory import Memory, adopt, after_corrections
from iacorch.drift.decisions.policy import Policies
from iacorch.drift.model import Layer, Observation
from iacorch.drift.reports.report import Done, Report
from iacorch.kit.clock import Clock

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: layers, and whether Ansible tries the roles (`deep`), which takes seconds a node."""

    layers: tuple[Layer, ...] = tuple(Layer)
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What all layers showed. `errors` name what could not be looked at."""

    observations: tuple[Observation, ...] = ()
    errors: tuple[str, ...] = ()
    stacks: tuple[str, ...] = ()


class Edges(Protocol):
    """Everything outside. `correct` gets decisions of one check and remembers how to reach what it looked at."""

    async def look(self, scope: Scope, *, salt: str) -> Looked: ...

    async def correct(self, decisions: Sequence[Decision], say: Say) -> list[Done]: ...

    async def adopt(self, decisions: Sequence[Decision], say: Say) -> list[Done]: ...


@dataclass(frozen=True, slots=True)
class Checked:
    """A report, and what to remember."""

    report: Report
    memory: Memory
    observations: tuple[Observation, ...] = field(default=(), repr=False)


async def check(edges: Edges, scope: Scope, policies: Policies, memory: Memory, clock: Clock) -> Checked:
    """Look and decide; nothing is changed."""
    began = clock.monotonic()
    looked = await edges.look(scope, salt=memory.salt)
    now = clock.now()
    found = assess(looked.observations, policies, memory, now, layers=scope.layers)
    report = Report(now, clock.monotonic() - began, scope.layers, found, looked.stacks, looked.errors)
    return Checked(report, found.memory, looked.observations)


async def check_and_correct(
    edges: Edges, scope: Scope, policies: Policies, memory: Memory, clock: Clock, say: Say
) -> Checked:
    """Look, decide, carry out what is to be corrected or adopted now. Each correction is tried once."""
    checked = await check(edges, scope, policies, memory, clock)
    found = checked.report.assessment
    to_correct, to_adopt = found.with_outcome(Outcome.CORRECT), found.with_outcome(Outcome.ADOPT)
    done = await edges.correct(to_correct, say) if to_correct else []
    adopted = await edges.adopt(to_adopt, say) if to_adopt else []
    now = clock.now()
    failed = {entry.id for entry in done if entry.error}
    after = after_corrections(found.memory, _acted_on(found, done), now, failed=failed)
    after = adopt(after, [d.seen for d in to_adopt if d.seen.id in {a.id for a in adopted if not a.error}])
    report = replace(checked.report, corrected={entry.id: entry for entry in (*done, *adopted)})
    return replace(checked, report=report, memory=after)


def _acted_on(found: Assessment, done: Iterable[Done]) -> list[Observation]:
    """What was really tried: a correction that was refused before it began is no try."""
    ids = {entry.id for entry in done}
    return [d.seen for d in found.decisions if d.seen.id in ids and d.outcome is Outcome.CORRECT]
