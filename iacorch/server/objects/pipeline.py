"""What a body passes through between the wire and the store: the steps of `iacorch.api`, in their order.

In: a kind and a body. Out: a `Wish`: the body decoded and defaulted, with warnings and the required fields it lacks;
then the object to store. Raises BadRequest and Invalid in Kubernetes' words. Pure; the registry calls it, `iacorch.api`
knows the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from iacorch.api import apply, defaults, ignored, objects, patch, subresources, validate
from iacorch.api.apply import owners
from iacorch.api.apply.owners import Manager, Owners
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.wire import schema, structure
from iacorch.api.wire.structure import Type
from iacorch.client.contract import PatchType
from iacorch.errors import BadRequest, Cause, Invalid, UnsupportedMedia
from iacorch.server.request import Target, WriteOptions


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants an object to be."""

    obj: Object
    warnings: tuple[str, ...] = ()
    missing: tuple[Cause, ...] = ()
    owners: Owners | None = None
    """Of an apply, which knows them. Other writes are looked at once they are complete: `tracked`."""


def read(target: Target, name: str, body: Object, options: WriteOptions) -> Wish:
    """The body as an object of the target's kind, under its final name and namespace."""
    kind = target.kind
    _check_type(kind, body)
    decoded = schema.decode(kind, body, options.field_validation)
    metadata = {**objects.metadata(decoded.obj), "name": name}
    if kind.namespaced:
        metadata["namespace"] = target.namespace
    obj = {**decoded.obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return Wish(defaults.with_defaults(kind, obj), (*decoded.warnings, *ignored.warnings(obj)), decoded.missing)


def read_scale(old: Object, body: Object, options: WriteOptions) -> Wish:
    """A Scale as the object it is a view of."""
    decoded = schema.decode_as("autoscaling/v1", "Scale", body, options.field_validation)
    scaled = subresources.with_scale(old, decoded.obj)
    version = objects.resource_version(decoded.obj)
    return Wish(objects.with_metadata(scaled, resourceVersion=version or None), decoded.warnings, decoded.missing)


def check_patch_options(patch_type: PatchType, options: WriteOptions) -> None:
    """Raises Invalid for options that this type of patch lacks, or does not have."""
    words = ""
    if patch_type is PatchType.APPLY and not options.field_manager:
        words = "fieldManager: Required value: is required for apply patch"
    elif patch_type is not PatchType.APPLY and options.force:
        words = "force: Forbidden: may not be specified for non-apply patch"
    if words:
        field, _, message = words.partition(": ")
        raise Invalid(f'PatchOptions.meta.k8s.io "" is invalid: {words}', causes=[Cause(field, message)])


def applied_type(target: Target) -> Type:
    """The structure by which an apply merges. Raises UnsupportedMedia where there is none."""
    type_ = structure.type_of(target.kind)
    if type_ is None or target.subresource not in ("", "status"):
        raise UnsupportedMedia(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(patch.supported(target.kind))
        )
    return type_


def applied_body(target: Target, body: object) -> Object:
    """An applied configuration: the wanted fields, without defaults. Raises BadRequest, for unknown fields too."""
    if not isinstance(body, dict):
        raise BadRequest("error decoding apply patch: the body must be an object")
    for field in ("apiVersion", "kind"):
        if not body.get(field):
            raise BadRequest(f"error decoding apply patch: Object '{field}' is missing")
    _check_type(target.kind, body)
    if objects.metadata(body).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    if objects.name(body) not in ("", target.name):
        raise BadRequest(
            f"the name of the object ({objects.name(body)}) does not match the name on the URL ({target.name})"
        )
    obj = schema.decode(target.kind, body, "Strict").obj
    return {**obj, "metadata": {**objects.metadata(obj), "name": target.name}}


def applied(target: Target, wanted: Object, options: WriteOptions, now: datetime, old: Object) -> Wish:
    """What an apply makes of the stored object. Raises Conflict where others own what it changes."""
    outcome = apply.apply(
        target.kind,
        applied_type(target),
        old,
        wanted,
        Manager(options.field_manager, "Apply", target.kind.api_version, target.subresource),
        force=options.force,
        now=now,
    )
    return replace(read(target, target.name, outcome.obj, options), owners=outcome.owners)


def begun_by_apply(target: Target, wanted: Object, options: WriteOptions, now: datetime) -> Owners:
    """The owners of what an apply makes."""
    manager = Manager(options.field_manager, "Apply", target.kind.api_version)
    return apply.begin(target.kind, applied_type(target), wanted, manager, now=now)


def tracked(target: Target, old: Object, wish: Wish, new: Object, options: WriteOptions, *, now: datetime) -> Object:
    """`new` with the owners of its fields, if anybody ever applied to the object; else `new` as it is."""
    known, given = objects.metadata(old).get("managedFields"), objects.metadata(wish.obj).get("managedFields")
    if wish.owners is None and not known and not given:
        return new
    kind, type_ = target.kind, structure.type_of(target.kind)
    if wish.owners is not None:
        found = wish.owners
    elif type_ is None or given in ([], [{}]):  # an empty list is how a client asks to forget the owners
        found = ()
    else:
        manager = Manager(options.field_manager or "unknown", "Update", kind.api_version, target.subresource)
        found = apply.written(kind, type_, old, new, owners.read(given or known), manager, now=now)
    return objects.with_metadata(new, managedFields=owners.write(found) or None)


def patched(
    target: Target, old: Object, body: Mapping[str, Any] | Sequence[Any], patch_type: PatchType, options: WriteOptions
) -> Wish:
    """What a patch makes of the stored object."""
    kind = target.kind
    if target.subresource == "scale":
        scale_type = structure.type_for("autoscaling/v1", "Scale")
        scale = patch.apply(patch_type, subresources.to_scale(old), body, type_=scale_type)
        return read_scale(old, scale, options)
    new = patch.apply(patch_type, old, body, type_=structure.type_of(kind))
    if objects.name(new) != target.name:
        raise BadRequest(
            f"the name of the object ({objects.name(new)}) does not match the name on the URL ({target.name})"
        )
    return read(target, target.name, new, options)


def _check_type(kind: Kind, body: Object) -> None:
    """What the body says it is must be what the path says it is; a body may be silent."""
    if not isinstance(body.get("metadata") or {}, dict):
        raise BadRequest("metadata: expected an object")
    version, name = objects.api_version(body), objects.kind_name(body)
    if version and version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if name and name != kind.kind:
        raise BadRequest(
            f'{name} in version "{kind.version}" cannot be handled as a {kind.kind}: converting ({name}) to '
            f"({kind.kind}): unknown conversion"
        )


def check_create(kind: Kind, obj: Object, missing: Sequence[Cause]) -> None:
    """Raises Invalid with everything that is wrong."""
    _raise_for(kind, obj, validate.create(kind, obj), missing)


def check_update(kind: Kind, old: Object, new: Object, subresource: str, missing: Sequence[Cause]) -> None:
    """Raises Invalid with everything that is wrong. A binding and a finalisation were checked as what they are."""
    if subresource in ("binding", "finalize"):
        return
    inner = subresource if subresource == "status" else ""
    _raise_for(kind, new, validate.update(kind, new, old, subresource=inner), missing)


def finalised(old: Object, body: Object) -> Object:
    """`namespaces/finalize`: the only way to change a namespace's finalizers."""
    spec = {**objects.spec(old), "finalizers": objects.spec(body).get("finalizers") or []}
    return {**old, "spec": spec}


def _raise_for(kind: Kind, obj: Object, found: Sequence[Cause], missing: Sequence[Cause]) -> None:
    known = {cause.field for cause in found}
    causes = [*(cause for cause in missing if cause.field not in known), *found]
    validate.raise_for(kind, objects.name(obj), causes)
