"""One report of a check: as JSON, as the status of a DriftReport, as metrics. Pure.

In: an `Assessment` and what could not be looked at. Out: text and dicts. Called by the command line and by `publish`.
What people read is in `page`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from iacorch.drift.decisions.assess import Assessment
from iacorch.drift.decisions.decide import Decision, Outcome
from iacorch.drift.model import Layer, Verdict, shown
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339

EXIT_IN_SYNC: Final = 0
EXIT_ERROR: Final = 1
EXIT_DRIFT: Final = 2

_CAMEL: Final = {
    Verdict.IN_SYNC: "inSync",
    Verdict.DRIFTED: "drifted",
    Verdict.MISSING: "missing",
    Verdict.UNEXPECTED: "unexpected",
    Verdict.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one correction; `error` is empty where it was carried out."""

    id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`errors` name what could not be looked at, by layer; `corrected` what was acted on."""

    at: datetime
    seconds: float
    layers: tuple[Layer, ...]
    assessment: Assessment
    stacks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    corrected: Mapping[str, Done] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[Decision, ...]:
        """What a reader wants to see: all but what is in sync or ignored."""
        return tuple(d for d in self.assessment.decisions if d.outcome not in (Outcome.NOTHING, Outcome.IGNORED))

    @property
    def counts(self) -> dict[Verdict, int]:
        found = Counter(d.seen.verdict for d in self.assessment.decisions if d.outcome is not Outcome.IGNORED)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def is_drift(self) -> bool:
        return any(d.seen.is_drift for d in self.shown)

    @property
    def exit_code(self) -> int:
        """0 in sync, 1 something could not be looked at (or a correction failed), 2 drift. Drift that is known wins."""
        if self.left:
            return EXIT_DRIFT
        failed = any(done.error for done in self.corrected.values())
        return EXIT_ERROR if self.errors or failed or self.counts[Verdict.UNKNOWN] else EXIT_IN_SYNC

    @property
    def found(self) -> int:
        """Drifts that the look showed."""
        return sum(d.seen.is_drift for d in self.shown)

    @property
    def left(self) -> int:
        """Those of them that were not set right since."""
        return sum(d.seen.is_drift and not self.is_corrected(d) for d in self.shown)

    def is_corrected(self, decision: Decision) -> bool:
        done = self.corrected.get(decision.seen.id)
        return done is not None and not done.error

    def words(self, decision: Decision) -> str:
        """What is done about it, in a word or a sentence."""
        if (done := self.corrected.get(decision.seen.id)) is not None:
            return f"not corrected: {done.error}" if done.error else "corrected"
        return decision.outcome if decision.outcome is not Outcome.CORRECT else "to be corrected"


def summary(report: Report) -> str:
    """One line for machines' logs and conditions; people get `page.summary`."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items() if count)
    corrected = f"; corrected {report.found - report.left}, left {report.left}" if report.corrected else ""
    return f"{counts or 'nothing to look at'}{corrected} ({report.seconds:.1f} s)"


def to_json(report: Report) -> dict[str, Any]:
    return {
        "checkedTime": rfc3339(report.at),
        "durationSeconds": round(report.seconds, 3),
        "layers": list(report.layers),
        "stacks": list(report.stacks),
        "inSync": not report.is_drift,
        "counts": {_CAMEL[verdict]: count for verdict, count in report.counts.items()},
        "found": report.found,
        "corrected": report.found - report.left,
        "left": report.left,
        "errors": list(report.errors),
        "findings": [finding(report, decision) for decision in report.shown],
        "fights": _fights(report),
    }


def finding(report: Report, decision: Decision) -> dict[str, Any]:
    """One line of a report; secrets are hidden by what made the fields."""
    seen, place = decision.seen, decision.seen.place
    found = {
        "id": seen.id,
        "layer": str(seen.key.layer),
        "stack": place.stack,
        "node": place.node,
        "kind": seen.key.kind,
        "namespace": place.namespace,
        "name": seen.key.name,
        "verdict": str(seen.verdict),
        "action": str(decision.chosen.action),
        "decision": report.words(decision),
        "reason": decision.why or seen.reason,
        "since": rfc3339(report.at - timedelta(seconds=decision.age_seconds)),
        "ageSeconds": int(decision.age_seconds),
        "fields": [
            {"path": f.path, "wanted": shown(f.wanted), "seen": shown(f.seen)}
            | {name: value for name, value in _extra(f.secret, f.replaces, f.writer) if value}
            for f in seen.fields[: limits.DRIFT_FIELDS]
        ],
    }
    return {name: value for name, value in found.items() if value != "" and value != []}


def _extra(secret: bool, replaces: bool, writer: str) -> Iterable[tuple[str, Any]]:
    return (("secret", secret), ("replaces", replaces), ("writer", writer))


def _fights(report: Report) -> list[dict[str, Any]]:
    return [
        {"resource": fight.resource, "path": fight.path, "writers": list(fight.writers), "flips": fight.flips}
        for fight in report.assessment.fights
    ]


def status(report: Report, before: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The status of a DriftReport; `before` are its conditions so far, whose times stay where nothing changed."""
    findings = [finding(report, decision) for decision in report.shown]
    fights = _fights(report)
    unknown = report.counts[Verdict.UNKNOWN]
    drifting = sum(d.seen.is_drift for d in report.shown)
    waiting = [d for d in report.shown if d.outcome is Outcome.PROPOSED]
    whole = not report.errors and not unknown
    conditions = [
        ("InSync", not drifting, "InSync" if not drifting else "Drift", summary(report)),
        ("Complete", whole, "Complete" if whole else "NotAllSeen", "; ".join(report.errors)[:1024]),
        ("ApprovalNeeded", bool(waiting), "Proposed" if waiting else "None", f"{len(waiting)} wait for approval"),
        ("Fighting", bool(fights), "TwoWriters" if fights else "None", "; ".join(map(str, report.assessment.fights))),
    ]
    return {
        "checkedTime": rfc3339(report.at),
        "durationSeconds": round(report.seconds, 3),
        "counts": {_CAMEL[verdict]: count for verdict, count in report.counts.items()},
        "left": max(0, len(findings) - limits.DRIFT_FINDINGS),
        "findings": findings[: limits.DRIFT_FINDINGS],
        "fights": fights,
        "conditions": [_condition(*given, report.at, before) for given in conditions],
    }


def _condition(
    type_: str, holds: bool, reason: str, message: str, now: datetime, before: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    value = "True" if holds else "False"
    was = next((entry for entry in before if entry.get("type") == type_), {})
    since = was.get("lastTransitionTime") if was.get("status") == value else None
    return {
        "type": type_,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or rfc3339(now),
    }


def metrics(report: Report) -> str:
    """For Prometheus, in its text format: how many of what, how old each drift is, how fresh the answer is."""
    lines = [
        "# HELP iacorch_drift_resources Resources by layer and verdict at the last check.",
        "# TYPE iacorch_drift_resources gauge",
    ]
    counted = Counter((d.seen.key.layer, d.seen.verdict) for d in report.assessment.decisions)
    for layer in report.layers:
        for verdict in Verdict:
            labels = f'layer="{layer}",verdict="{_CAMEL[verdict]}"'
            lines.append(f"iacorch_drift_resources{{{labels}}} {counted[layer, verdict]}")
    lines += [
        "# HELP iacorch_drift_age_seconds How long a resource has been drifting.",
        "# TYPE iacorch_drift_age_seconds gauge",
    ]
    for d in report.shown:
        if d.seen.is_drift:
            key = d.seen.key
            labels = ",".join(
                f'{name}="{_escaped(value)}"'
                for name, value in (("layer", key.layer), ("scope", key.scope), ("kind", key.kind), ("name", key.name))
            )
            lines.append(f"iacorch_drift_age_seconds{{{labels}}} {d.age_seconds:.0f}")
    lines += [
        "# HELP iacorch_drift_checked_timestamp_seconds When drift was last looked for.",
        "# TYPE iacorch_drift_checked_timestamp_seconds gauge",
        f"iacorch_drift_checked_timestamp_seconds {report.at.timestamp():.0f}",
        "# HELP iacorch_drift_check_duration_seconds How long that took.",
        "# TYPE iacorch_drift_check_duration_seconds gauge",
        f"iacorch_drift_check_duration_seconds {report.seconds:.3f}",
        "# HELP iacorch_drift_fights Fields that two writers fight over.",
        "# TYPE iacorch_drift_fights gauge",
        f"iacorch_drift_fights {len(report.assessment.fights)}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
