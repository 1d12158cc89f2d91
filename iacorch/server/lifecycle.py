"""What happens to metadata when an object is made, changed and deleted: pure decisions.

In: the object before and after, a moment, a fresh UID. Out: the object to store, or a verdict. The registry calls these
between validation and the store. Fields that only the server writes (uid, creationTimestamp, generation,
deletionTimestamp) are written here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.errors import BadRequest, Invalid
from iacorch.kit.clock import rfc3339
from iacorch.server.request import DeleteOptions

NAME_CHARACTERS: Final = 253
GENERATED_SUFFIX: Final = 5
DEFAULT_GRACE_SECONDS: Final = 30
ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
SERVER_FIELDS: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def born(kind: Kind, obj: Object, *, namespace: str, name: str, now: datetime, uid: str) -> Object:
    """A copy of `obj` with the metadata of something new."""
    metadata: dict[str, Any] = {"name": name}
    if kind.namespaced:
        metadata["namespace"] = namespace
    metadata |= {"uid": uid, "creationTimestamp": rfc3339(now)}
    given = {
        field: value
        for field, value in objects.metadata(obj).items()
        if field not in metadata
        and field not in (*SERVER_FIELDS, "resourceVersion", "selfLink", "generation", "namespace")
    }
    metadata |= given
    if _has_generation(kind):
        metadata["generation"] = 1
    return {**obj, "metadata": metadata}


def changed(kind: Kind, old: Object, new: Object, *, subresource: str) -> Object:
    """`new` with what a change may not touch taken from `old`, and the generation counted up for a new wish."""
    before, after = objects.metadata(old), objects.metadata(new)
    if subresource == "status":
        kept = {field: value for field, value in old.items() if field != "status"}
        return {**kept, "status": new["status"]} if "status" in new else kept
    metadata = {field: value for field, value in after.items() if field not in SERVER_FIELDS and field != "selfLink"}
    metadata |= {
        field: before[field] for field in ("name", "namespace", *SERVER_FIELDS, "generation") if field in before
    }
    result = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata}
    if kind.has_status:
        result.pop("status", None)
        if "status" in old:
            result["status"] = old["status"]
    if _has_generation(kind) and _wish(result) != _wish(old):
        metadata["generation"] = objects.generation(old) + 1
    return result


def _wish(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}


def _has_generation(kind: Kind) -> bool:
    """Kinds whose controllers report `observedGeneration`, and pods."""
    return kind.group == "apps" or kind.kind in ("Pod", "EndpointSlice") or bool(kind.schema_json)


@dataclass(frozen=True, slots=True)
class Removal:
    """What a delete does: remove now (`keep` is None), or store `keep`, which waits for grace or finalizers."""

    keep: Object | None


def removal(kind: Kind, obj: Object, options: DeleteOptions, *, now: datetime) -> Removal:
    """Decides one delete."""
    if options.propagation not in ("", "Background", "Foreground", "Orphan"):
        raise Invalid(
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{options.propagation}": '
            'supported values: "Foreground", "Background", "Orphan", "nil"'
        )
    if options.grace_seconds is not None and options.grace_seconds < 0:
        raise BadRequest(f"gracePeriodSeconds must not be negative, got {options.grace_seconds}")
    finalizers = _with_propagation(objects.finalizers(obj), options.propagation)
    grace = _grace(kind, obj, options)
    waits = bool(finalizers) or grace > 0 or _is_finalised_by_spec(kind, obj)
    if not waits:
        return Removal(None)
    metadata = dict(objects.metadata(obj))
    if finalizers != objects.finalizers(obj):
        metadata["finalizers"] = finalizers
    already = metadata.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" not in metadata or (already is not None and grace < already):
        metadata["deletionTimestamp"] = rfc3339(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata and "deletionTimestamp" not in objects.metadata(obj):
            metadata["generation"] += 1
    kept = {**obj, "metadata": metadata}
    if kind.kind == "Namespace" and not kind.group:
        kept["status"] = {**objects.status(obj), "phase": "Terminating"}
    return Removal(kept)


def is_finished(kind: Kind, obj: Object) -> bool:
    """Deleted, and nothing holds it any more: the write that gets here removes it instead."""
    metadata = objects.metadata(obj)
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not _is_finalised_by_spec(kind, obj)


def _with_propagation(finalizers: list[str], propagation: str) -> list[str]:
    kept = list(finalizers)
    if propagation:
        kept = [entry for entry in kept if entry not in (ORPHAN, FOREGROUND)]
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(propagation)
    return [*kept, wanted] if wanted else kept


def _grace(kind: Kind, obj: Object, options: DeleteOptions) -> int:
    """Only pods that a node runs are ended gracefully."""
    if kind.kind != "Pod" or kind.group:
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
    return kind.kind == "Namespace" and not kind.group and bool(objects.spec(obj).get("finalizers"))
