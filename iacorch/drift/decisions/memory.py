"""What is remembered between checks. Pure.

In: the memory before, the observations of a check, what was corrected. Out: the memory after. It holds since when each
drift is there (age), the history of each field that ever drifted (fights), tries at correcting (patience), a person's
approvals, and values that were adopted. `to_json` and `from_json` are its form on disk and between machines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from iacorch.drift.decisions import fights
from iacorch.drift.decisions.fights import US, Fight, Flip
from iacorch.drift.model import Layer, Observation, Verdict
from iacorch.errors import ConfigError
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339, rfc3339_micro

RIGHT: Final = "="
"""The mark of a field that is as it is wanted."""
_GONE: Final = ""
"""The path that stands for the resource itself: whether it is there."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often in a row a drift was corrected without becoming right, and when last."""

    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """See the module docstring. Keys of `since`, `tries` and `history` are texts of `Key`s (and a path)."""

    since: Mapping[str, datetime] = field(default_factory=dict)
    history: Mapping[str, tuple[Flip, ...]] = field(default_factory=dict)
    tries: Mapping[str, Tries] = field(default_factory=dict)
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    adopted: Mapping[str, str] = field(default_factory=dict)
    checked: Mapping[str, datetime] = field(default_factory=dict)
    """Policy name -> when it was last checked by its schedule."""
    salt: str = ""

    def fights(self, now: datetime) -> tuple[Fight, ...]:
        found = (fights.find(*_split(key), history, now) for key, history in sorted(self.history.items()))
        return tuple(fight for fight in found if fight is not None)

    def age_seconds(self, seen: Observation, now: datetime) -> float:
        since = self.since.get(str(seen.key))
        return 0.0 if since is None else max(0.0, (now - since).total_seconds())

    def without_adopted(self, seen: Observation) -> Observation:
        """A field whose value was adopted is as it is wanted, as long as it keeps that value."""
        if seen.verdict is not Verdict.DRIFTED or not self.adopted:
            return seen
        kept = tuple(f for f in seen.fields if self.adopted.get(_join(str(seen.key), f.path)) != f.mark)
        return replace(seen, fields=kept, verdict=Verdict.DRIFTED if kept or not seen.fields else Verdict.IN_SYNC)


def after_check(
    memory: Memory, observations: Iterable[Observation], now: datetime, *, layers: Iterable[Layer] = tuple(Layer)
) -> Memory:
    """The memory once a check of `layers` is done. What was not looked at, or is unknown, is remembered as it was."""
    looked_at = tuple(f"{layer}/" for layer in layers)
    seen = {str(o.key): o for o in observations}
    drifting = {key: o for key, o in seen.items() if o.is_drift}
    hidden = {key for key, o in seen.items() if o.verdict is Verdict.UNKNOWN}

    def stays(key: str) -> bool:
        return key in drifting or key in hidden or not key.startswith(looked_at)

    since = {key: at for key, at in memory.since.items() if stays(key)}
    since |= {key: now for key in drifting if key not in since}
    history = {key: kept for key, flips in memory.history.items() if (kept := fights.recent(flips, now))}
    for key, o in drifting.items():
        for path, mark, by in _seen_fields(o):
            at = _join(key, path)
            history[at] = fights.seen_as(history.get(at, ()), mark, by, now)
    for at, flips in list(history.items()):
        key, path = _split(at)
        if (found := seen.get(key)) is None or found.verdict is Verdict.UNKNOWN:
            continue
        if path not in {p for p, _, _ in _seen_fields(found)}:
            history[at] = fights.seen_as(flips, RIGHT, fights.SOMEBODY, now)
    ids = {o.id for o in drifting.values()}
    fresh = {
        id_: approval
        for id_, approval in memory.approvals.items()
        if id_ in ids or (now - approval.at).total_seconds() < limits.DRIFT_APPROVAL_SECONDS
    }
    tries = {
        key: tries
        for key, tries in memory.tries.items()
        if stays(key) or (now - tries.last).total_seconds() < limits.DRIFT_FIGHT_SECONDS
    }
    return replace(memory, since=since, history=history, tries=tries, approvals=fresh)


def after_corrections(
    memory: Memory, tried: Iterable[Observation], now: datetime, *, failed: Collection[str] = ()
) -> Memory:
    """The memory once these were set right by us, but for the IDs in `failed`: those were not changed by anybody."""
    history, tries = dict(memory.history), dict(memory.tries)
    approvals = dict(memory.approvals)
    for o in tried:
        key = str(o.key)
        before = tries.get(key)
        tries[key] = Tries(1 if before is None else before.count + 1, now)
        approvals.pop(o.id, None)
        for path, _, _ in _seen_fields(o) if o.id not in failed else ():
            at = _join(key, path)
            history[at] = (*history.get(at, ()), Flip(now, RIGHT, US))[-limits.DRIFT_FLIPS_KEPT :]
    return replace(memory, history=history, tries=tries, approvals=approvals)


def approve(memory: Memory, ids: Iterable[str], by: str, now: datetime) -> Memory:
    """A person agrees to exactly these drifts being corrected, once."""
    return replace(memory, approvals={**memory.approvals, **{id_: Approval(by, now) for id_ in ids}})


def adopt(memory: Memory, adopted: Iterable[Observation]) -> Memory:
    """What is seen now is what is wanted from now on."""
    values = {_join(str(o.key), f.path): f.mark for o in adopted for f in o.fields}
    return replace(memory, adopted={**memory.adopted, **values})


def _seen_fields(o: Observation) -> list[tuple[str, str, str]]:
    """(path, mark, writer) of what is wrong; a resource that is not there, or too much, is one such thing."""
    if o.verdict in (Verdict.MISSING, Verdict.UNEXPECTED):
        return [(_GONE, str(o.verdict), next((f.writer for f in o.fields if f.writer), ""))]
    return [(f.path, f.mark, f.writer) for f in o.fields] if o.is_drift else []


def _join(key: str, path: str) -> str:
    return f"{key} {path}"


def _split(at: str) -> tuple[str, str]:
    key, _, path = at.rpartition(" ")
    return key, path


def to_json(memory: Memory) -> dict[str, Any]:
    return {
        "version": 1,
        "since": {key: rfc3339_micro(at) for key, at in memory.since.items()},
        "history": {
            key: [[rfc3339_micro(flip.at), flip.mark, flip.by] for flip in flips]
            for key, flips in memory.history.items()
        },
        "tries": {key: [tries.count, rfc3339_micro(tries.last)] for key, tries in memory.tries.items()},
        "approvals": {id_: [entry.by, rfc3339_micro(entry.at)] for id_, entry in memory.approvals.items()},
        "adopted": dict(memory.adopted),
        "checked": {name: rfc3339_micro(at) for name, at in memory.checked.items()},
        "salt": memory.salt,
    }


def from_json(document: Any, *, where: str) -> Memory:
    """Raises ConfigError on a document that is none."""
    try:
        if document["version"] != 1:
            raise ConfigError(f"has version {document['version']}, expected 1", where=where)
        return Memory(
            since={key: parse_rfc3339(at) for key, at in document["since"].items()},
            history={
                key: tuple(Flip(parse_rfc3339(at), mark, by) for at, mark, by in flips)
                for key, flips in document["history"].items()
            },
            tries={key: Tries(int(count), parse_rfc3339(at)) for key, (count, at) in document["tries"].items()},
            approvals={id_: Approval(by, parse_rfc3339(at)) for id_, (by, at) in document["approvals"].items()},
            adopted=dict(document["adopted"]),
            checked={name: parse_rfc3339(at) for name, at in document["checked"].items()},
            salt=str(document["salt"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"cannot be read: {error!r}", where=where, hint="remove it: ages begin anew") from error
