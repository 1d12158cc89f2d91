"""What a body passes through between the wire and the store: the steps of `iacorch.api`, in their order.

In: a kind and a body. Out: a `Wish`: the body decoded and defaulted, with warnings and the required fields it lacks;
then the object to store. Raises BadRequest and Invalid in Kubernetes' words. Pure; the registry calls it, `iacorch.api`
knows the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iacorch.api import defaults, ignored, objects, patch, schema, structure, subresources, validate
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType
from iacorch.errors import BadRequest, Cause, UnsupportedMedia
from iacorch.server.request import Target, WriteOptions


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants an object to be."""

    obj: Object
    warnings: tuple[str, ...] = ()
    missing: tuple[Cause, ...] = ()


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


def check_patch_type(patch_type: PatchType) -> None:
    """Fields have no owners here, so there is nothing to apply by."""
    if patch_type is PatchType.APPLY:
        raise UnsupportedMedia(
            "server-side apply is not supported by this server: apply from the client "
            "(kubectl apply without --server-side, helm --server-side=false)"
        )


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
