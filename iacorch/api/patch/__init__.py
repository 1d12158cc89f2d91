"""Patches: JSON patch, JSON merge patch, strategic merge patch; a pure function for each.

In: the current object and the decoded patch body. Out: the patched object, not yet checked: the server runs it
through `schema.decode`, defaults and validation like any update. `apply` chooses by content type. Server-side apply is
`iacorch.api.apply`: it also reads and writes the owners of fields.
"""

from __future__ import annotations

from typing import Any, Final

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object, too_deep
from iacorch.api.patch import strategic
from iacorch.api.patch.json_patch import json_patch
from iacorch.api.patch.merge import merge_patch
from iacorch.api.wire.structure import Type, type_of
from iacorch.errors import BadRequest, UnsupportedMedia

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"


def supported(kind: Kind) -> tuple[str, ...]:
    """Content types that PATCH takes for this kind; custom resources have no merge keys, so no strategic patch."""
    both = (JSON_PATCH, MERGE_PATCH)
    return both if type_of(kind) is None else (*both, STRATEGIC_PATCH, APPLY_PATCH)


def apply(content_type: str, obj: Object, patch: Any, *, type_: Type | None) -> Object:
    """Patch `obj`, which is left alone. `type_` gives strategic merge its keys: `structure.type_of(kind)`.

    Raises BadRequest for a patch that is none, Invalid for one that does not fit the object, UnsupportedMedia.
    """
    if too_deep(patch):
        raise BadRequest("error decoding patch: json: exceeded max depth")
    if content_type == JSON_PATCH:
        result = json_patch(obj, patch)
        if not isinstance(result, dict):
            raise BadRequest("the patched document must be an object")
        return result
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    if content_type == MERGE_PATCH:
        merged = merge_patch(obj, patch)
        assert isinstance(merged, dict), "a merge patch that is an object gives an object"
        return merged
    if content_type == STRATEGIC_PATCH and type_ is not None:
        return strategic.merge(obj, patch, type_)
    types = ", ".join((JSON_PATCH, MERGE_PATCH) if type_ is None else (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH))
    raise UnsupportedMedia("the body of the request was in an unknown format - accepted media types include: " + types)


__all__ = ["JSON_PATCH", "MERGE_PATCH", "STRATEGIC_PATCH", "apply", "supported"]
