"""A plan for people. Pure.

In: a `Plan`. Out: lines: by layer, what is deleted last and loudest, the money, what to do next. Called by the command
line; JSON is in `file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iacorch.drift.changes.model import Plan, Step, Verb, per_month
from iacorch.drift.model import Layer
from iacorch.kit import limits

_SIGNS: Final = {
    Verb.IMPORT: "=", Verb.CREATE: "+", Verb.CHANGE: "~", Verb.MOVE: ">", Verb.REPLACE: "!", Verb.DELETE: "-",
}  # fmt: skip
_TITLES: Final = {Layer.MACHINE: "Machines", Layer.NODE: "Nodes", Layer.WORKLOAD: "Workloads"}
_DETAILS: Final = 12


def lines(plan: Plan, *, wide: bool = False, width: int = limits.PAGE_COLUMNS) -> Iterator[str]:
    """`wide`: every difference, whole; else what fits into `width` columns."""
    for layer in Layer:
        steps = [step for step in plan.steps if step.layer is layer]
        if steps:
            yield f"{_TITLES[layer]}: {_counted(steps)}"
            for step in steps:
                yield from _step(step, wide=wide, width=width)
    for stack, count in plan.refreshed.items():
        if count:
            yield f"stack {stack}: {count} resources were changed by hand and are set right with it"
    yield from plan.notes
    losses = [step for step in plan.steps if step.data]
    if losses:
        yield f"DATA WOULD BE LOST in {len(losses)}:"
        yield from (f"  {step.kind} {step.name}: {step.data}" for step in losses)
    if plan.is_empty:
        yield "nothing to do"
        return
    unknown = f", {plan.without_price} without a known price" if plan.without_price else ""
    yield f"money: {per_month(plan.micros_per_hour)} USD a month{unknown}"
    yield f"based on {len(plan.inputs)} inputs as they were at {plan.made_at}"


def _counted(steps: list[Step]) -> str:
    counts = {verb: sum(step.verb is verb for step in steps) for verb in Verb}
    return ", ".join(f"{count} to {verb}" for verb, count in counts.items() if count)


def _step(step: Step, *, wide: bool, width: int) -> Iterator[str]:
    money = f"  {per_month(step.micros_per_hour)}/month" if step.micros_per_hour else ""
    because = f"  ({step.because})" if step.because else ""
    verb = step.verb.upper() if step.verb is Verb.DELETE else step.verb
    yield f"  {_SIGNS[step.verb]} {verb:<8} {step.kind} {step.name}{money}{because}"
    details = step.details if wide else step.details[:_DETAILS]
    for detail in details:
        every = detail.splitlines()
        kept = every if wide else every[: limits.DIFF_LINES]
        yield from (f"      {line if wide else _cut(line, width - 6)}" for line in kept)
        if len(kept) < len(every):
            yield f"        and {len(every) - len(kept)} more lines; -o wide shows all"
    if len(details) < len(step.details):
        yield f"      and {len(step.details) - len(details)} more"


def _cut(line: str, width: int) -> str:
    """Indentation and signs of a difference stay."""
    return line if len(line) <= width else f"{line[: width - 3]}..."
