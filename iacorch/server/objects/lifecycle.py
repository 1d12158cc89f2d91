"""How objects end: at once, after a grace period, or when their finalizers are done. Pure decisions.

In: the object, the delete's options, a moment. Out: the object to keep, marked as being deleted, or nothing to keep.
How objects begin and change is `iacorch.api.strategy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from iacorch.api import objects, strategy
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.errors import BadRequest, Invalid
from iacorch.server.request import DeleteOptions

DEFAULT_GRACE_SECONDS: Final = 30
ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Removal:
    """What a delete does: remove now (`keep` is None), or store `keep`, which waits for grace or finalizers."""

    keep: Object | None


def removal(kind: Kind, obj: Object, options: DeleteOptions, *, now: datetime) -> Removal:
    """Decides one delete. Raises Invalid, BadRequest for options that make no sense."""
    _check(options)
    finalizers = _with_propagation(objects.finalizers(obj), options.propagation)
    grace = _grace(kind, obj, options)
    if not finalizers and grace == 0 and not _is_finalised_by_spec(kind, obj):
        return Removal(None)
    kept = obj if finalizers == objects.finalizers(obj) else objects.with_metadata(obj, finalizers=finalizers or None)
    already = objects.metadata(obj).get("deletionGracePeriodSeconds")
    if not objects.is_deleting(obj):
        kept = strategy.with_deletion(kept, now=now, grace_seconds=grace)
    elif already is not None and grace < already:
        sooner = strategy.with_deletion(kept, now=now, grace_seconds=grace)
        kept = objects.with_metadata(sooner, generation=objects.generation(obj) or None)
    if _is_namespace(kind):
        kept = objects.with_status(kept, {**objects.status(obj), "phase": "Terminating"})
    return Removal(kept)


def is_finished(kind: Kind, obj: Object) -> bool:
    """Deleted, and nothing holds it any more: the write that gets here removes it instead."""
    metadata = objects.metadata(obj)
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not _is_finalised_by_spec(kind, obj)


def _check(options: DeleteOptions) -> None:
    if options.propagation not in ("", "Background", "Foreground", "Orphan"):
        raise Invalid(
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{options.propagation}": '
            'supported values: "Foreground", "Background", "Orphan", "nil"'
        )
    if options.grace_seconds is not None and options.grace_seconds < 0:
        raise BadRequest(f"gracePeriodSeconds must not be negative, got {options.grace_seconds}")


def _with_propagation(finalizers: list[str], propagation: str) -> list[str]:
    if not propagation:
        return finalizers
    kept = [entry for entry in finalizers if entry not in (ORPHAN, FOREGROUND)]
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(propagation)
    return [*kept, wanted] if wanted else kept


def _grace(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Only pods that a node runs are ended gracefully."""
    if (kind.group, kind.kind) != ("", "Pod"):
        return 0
    if not objects.spec(obj).get("nodeName") or objects.status(obj).get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace_seconds is not None:
        return options.grace_seconds
    already = objects.metadata(obj).get("deletionGracePeriodSeconds")
    if already is not None:
        return int(already)
    return int(objects.spec(obj).get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))


def _is_finalised_by_spec(kind: Kind, obj: Object) -> bool:
    return _is_namespace(kind) and bool(objects.spec(obj).get("finalizers"))


def _is_namespace(kind: Kind) -> bool:
    return (kind.group, kind.kind) == ("", "Namespace")
