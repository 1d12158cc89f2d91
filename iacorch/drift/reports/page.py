"""A report of drift for people: by layer and machine, each difference, what will be done, what to do next. Pure.

In: a `Report`, a width. Out: lines that fit. Called by the command line; what programs read is in `report`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.model import Field, Layer, Verdict
from iacorch.drift.reports import diff
from iacorch.drift.reports.report import Report
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.kit.text import listed, plural, shortened

_SIGNS: Final = {Verdict.DRIFTED: "~", Verdict.MISSING: "-", Verdict.UNEXPECTED: "+", Verdict.UNKNOWN: "?"}
_PLACES: Final = {Layer.MACHINE: "Machines", Layer.NODE: "Node", Layer.WORKLOAD: "Workloads"}
_SCOPES: Final = {Layer.MACHINE: "of stack ", Layer.NODE: "", Layer.WORKLOAD: "in namespace "}
_FIELDS: Final = 3


def lines(report: Report, *, width: int = limits.PAGE_COLUMNS, wide: bool = False) -> Iterator[str]:
    """`wide`: every difference, whole, with its writer and its ID."""
    for (layer, scope), decisions in groupby(report.shown, key=lambda d: (d.seen.key.layer, d.seen.key.scope)):
        of_it = list(decisions)
        # the scope of a container is the node that it runs on
        where = "on node " if of_it[0].seen.key.kind == "Container" and layer is Layer.WORKLOAD else _SCOPES[layer]
        yield f"{_PLACES[layer]} {where + scope if scope else 'of the cluster'}"
        for decision in of_it:
            yield from _one(report, decision, width=width, wide=wide)
        yield ""
    for fight in report.assessment.fights:
        yield f"fight: {fight}"
    for error in report.errors:
        yield f"not looked at: {error}"
    yield summary(report)
    yield from _next(report)


def summary(report: Report) -> str:
    """One line: what was found, what became of it, what is left."""
    seconds = f"({report.seconds:.1f} s)"
    fine, unknown = report.counts[Verdict.IN_SYNC], report.counts[Verdict.UNKNOWN]
    parts = [f"{report.counts[v]} {v}" for v in _SIGNS if v is not Verdict.UNKNOWN and report.counts[v]]
    told = [f"{fine} in sync"] if fine else []
    if unknown:
        told.append(f"{unknown} unknown")
    if not parts:
        return f"{', '.join(told) or 'nothing to look at'} {seconds}"
    found = f"found {report.found} ({', '.join(parts)})"
    if report.corrected:
        found += f", corrected {report.found - report.left}, left {report.left}"
    return f"{'; '.join(filter(None, [found, ', '.join(told)]))} {seconds}"


def _one(report: Report, decision: Decision, *, width: int, wide: bool) -> Iterator[str]:
    seen = decision.seen
    kind = seen.key.kind.rpartition("$")[2].rpartition(":")[2]
    id_ = f"  [{seen.id}]" if wide or decision.outcome is Outcome.PROPOSED else ""
    head = f"  {_SIGNS.get(seen.verdict, ' ')} {kind} {seen.key.name}: {seen.verdict}{id_}"
    is_new = decision.age_seconds < 1
    yield head if is_new or seen.verdict is Verdict.UNKNOWN else f"{head}, for {age(decision.age_seconds)}"
    fields = seen.fields if wide else seen.fields[:_FIELDS]
    for field in fields:
        yield from (f"      {line}" for line in _field(field, width=width - 6, wide=wide))
    if len(fields) < len(seen.fields):
        yield f"      and {len(seen.fields) - len(fields)} more: {listed(f.path for f in seen.fields[len(fields) :])}"
    if seen.reason and (not seen.fields or seen.verdict is Verdict.UNEXPECTED):
        yield f"      {seen.reason if wide else shortened(seen.reason, width - 6)}"
    if words := _done_about_it(report, decision):
        yield f"      => {words}"


def _field(field: Field, *, width: int, wide: bool) -> Iterator[str]:
    notes = [f"by {field.writer}" if field.writer and wide else "", "to be replaced" if field.replaces else ""]
    note = ", ".join(filter(None, notes))
    if field.wanted is None and field.seen is not None and field.seen == field.mark:
        return  # what is there and should not be is the resource itself
    if field.secret:
        yield f"{field.path}: changed, a secret{f' ({note})' if note else ''}"
    else:
        yield from diff.lines(field.path, field.wanted, field.seen, width=width, whole=wide, note=note)


def _done_about_it(report: Report, decision: Decision) -> str:
    """Nothing where the end of the page says it for all of them."""
    done = report.corrected.get(decision.seen.id)
    if done is not None:
        if done.error:
            return f"not corrected: {done.error}"
        return "adopted: it is what is wanted from now on" if decision.outcome is Outcome.ADOPT else "corrected"
    if decision.seen.verdict is Verdict.UNKNOWN:
        return ""  # never acted on; its reason is shown
    match decision.outcome:
        case Outcome.CORRECT:
            return "would be corrected now" if not report.corrected else "to be corrected"
        case Outcome.ADOPT:
            return "what is found would become what is wanted"
        case Outcome.OBSERVED if decision.chosen.by:
            return f"only shown, says {decision.why}"
        case Outcome.OBSERVED:
            return ""
        case outcome:
            return f"{outcome}: {decision.why}"


def _next(report: Report) -> Iterator[str]:
    """What a person would type now."""
    left = [d for d in report.shown if d.seen.is_drift and not report.is_corrected(d)]
    tried = bool(report.corrected)
    now = [d for d in left if d.outcome in (Outcome.CORRECT, Outcome.ADOPT)]
    unasked = [d for d in left if d.outcome is Outcome.OBSERVED and not d.chosen.by]
    waiting = [d for d in left if d.outcome is Outcome.PROPOSED]
    held = [d for d in left if d.outcome in (Outcome.HELD, Outcome.WAITING)]
    if unasked and not tried:
        yield f"no DriftPolicy covers {len(unasked)} of them, so nothing sets them right by itself (docs/drift.md)"
    if (now or unasked) and not tried:
        yield f"next: iacorch drift --correct          sets right {len(now) + len(unasked)}, after another look"
    elif now:
        yield f"next: iacorch drift --correct          tries {len(now)} again"
    if waiting:
        ids = " ".join(d.seen.id for d in waiting[:3]) + (" ..." if len(waiting) > 3 else "")
        yield f"next: iacorch drift approve {ids} && iacorch drift --correct"
        yield f"      {plural(len(waiting), 'waits', 'wait')} for a person's approval: read what is said above first"
    if held:
        due = min((d.again for d in held if d.again is not None), default=None)
        when = f"; `iacorch drift --correct` can go on at {rfc3339(due)}" if due is not None else ""
        yield f"{len(held)} held or waiting, for the reasons above{when}"
    if tried and len(left) < report.found:
        yield "next: iacorch drift                    looks again whether it holds"
    if report.errors or report.counts[Verdict.UNKNOWN]:
        yield "What could not be looked at may have drifted too; `-o wide` has the whole reasons."


def age(seconds: float) -> str:
    """In the largest unit of which there are two."""
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
