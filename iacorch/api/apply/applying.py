"""One apply, and what every other write does to the owners.

| write                  | the writer owns                     | the others                                        |
|------------------------|-------------------------------------|---------------------------------------------------|
| apply                  | exactly what it applied             | conflict over what changes, unless it is forced   |
| anything else (Update) | besides what it owned, what changed | lose what changed                                 |
| both                   |                                     | lose what is not there any more                   |

A field that an applier owned and applies no more goes, unless somebody else owns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from iacorch.api import objects
from iacorch.api.apply import fields, merge, owners
from iacorch.api.apply.fields import Path
from iacorch.api.apply.owners import Manager, Owners
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.wire.structure import Type

BEFORE_FIRST_APPLY: Final = "before-first-apply"
CLIENT_SIDE: Final = {
    "kubectl.kubernetes.io/last-applied-configuration": "kubectl-client-side-apply",
    "meta.helm.sh/release-name": "helm",
}
"""By an annotation that its program leaves: the name under which it looks for what it used to write by itself."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The object to default, validate and store, and who owns its fields then."""

    obj: Object
    owners: Owners


def begin(kind: Kind, type_: Type, applied: Object, manager: Manager, *, now: datetime) -> Owners:
    """The owners of an object that an apply makes. Raises BadRequest for lists with an entry twice."""
    fields.check(type_, applied)
    return _first(kind, manager, frozenset(fields.leaves(type_, applied)), now)


def apply(
    kind: Kind, type_: Type, live: Object, applied: Object, manager: Manager, *, force: bool, now: datetime
) -> Applied:
    """Lay `applied` over `live`. Raises Conflict, BadRequest."""
    fields.check(type_, applied)
    before = fields.leaves(type_, live)
    wanted = _owned(kind, manager, frozenset(fields.leaves(type_, applied)))
    known = owners.read(objects.metadata(live).get("managedFields"))
    if not known:
        writer = _writer_before(live)  # who goes on under the same name is in nobody's way
        theirs = frozenset(before) - wanted if writer == manager.name else frozenset(before)
        known = _first(kind, Manager(writer, "Update", kind.api_version), theirs, now)
    merged = merge.merge(type_, live, applied)
    changed = fields.changed(before, fields.leaves(type_, merged)) & wanted
    others = owners.others(known, manager)
    contested = [(owner, path) for owner in others for path in sorted(owner.paths & changed)]
    if contested and not force:
        raise owners.conflict(contested)
    known = owners.without_paths(known, frozenset(path for _, path in contested))
    given_up = _given_up(type_, owners.paths_of(known, manager), wanted, owners.others(known, manager))
    result = merge.merge(type_, merge.without(type_, merged, given_up), applied)  # again, for what is wanted empty
    kept = owners.with_paths(known, manager, wanted, now=now)
    return Applied(result, _without_gone(kept, fields.leaves(type_, result)))


def written(
    kind: Kind, type_: Type, before: Object, after: Object, known: Owners, manager: Manager, *, now: datetime
) -> Owners:
    """The owners after a write that was no apply."""
    old, new = fields.leaves(type_, before), fields.leaves(type_, after)
    changed = _owned(kind, manager, fields.changed(old, new))
    kept = _without_gone(known, new)
    if not changed:
        return kept
    others = owners.without_paths(owners.others(kept, manager), changed)
    mine = tuple(owner for owner in kept if owner.manager == manager)
    return owners.with_paths((*others, *mine), manager, owners.paths_of(kept, manager) | changed, now=now)


def _writer_before(live: Object) -> str:
    """Whose the fields are of an object that is applied to for the first time."""
    notes = objects.annotations(live)
    return next((name for note, name in CLIENT_SIDE.items() if note in notes), BEFORE_FIRST_APPLY)


def _first(kind: Kind, manager: Manager, paths: frozenset[Path], now: datetime) -> Owners:
    return owners.with_paths((), manager, _owned(kind, manager, paths), now=now)


def _owned(kind: Kind, manager: Manager, paths: frozenset[Path]) -> frozenset[Path]:
    """Status has its own way in, where a kind has that way, and nothing else comes in through it."""
    if not kind.has_status:
        return paths
    if manager.subresource == "status":
        return frozenset(path for path in paths if path[0] == "f:status")
    return frozenset(path for path in paths if path[0] != "f:status")


def _given_up(type_: Type, last: frozenset[Path], wanted: frozenset[Path], others: Owners) -> frozenset[Path]:
    """What this applier owned and does not apply any more, and nobody else owns: it, or anything inside it."""
    gone = fields.named(type_, last) - fields.named(type_, wanted)
    held = _with_prefixes(path for paths in (wanted, *(owner.paths for owner in others)) for path in paths)
    return frozenset(path for path in gone if path not in held and path != ("f:metadata",))


def _without_gone(known: Owners, after: fields.Leaves) -> Owners:
    """Nobody owns what is not there."""
    there = _with_prefixes(after)
    return owners.without_paths(known, frozenset(path for owner in known for path in owner.paths if path not in there))


def _with_prefixes(paths: Iterable[Path]) -> set[Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}
