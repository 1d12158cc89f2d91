"""What a body passes through between the wire and the store: the steps of `iacorch.api`, in their order.

In: a kind and a body. Out: the body defaulted and validated, with warnings; or Invalid and BadRequest. Pure; the
registry calls it, `iacorch.api` knows the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType
from iacorch.errors import BadRequest
from iacorch.server.request import WriteOptions


class Pipeline:
    """See the module docstring."""

    def prepare_create(self, kind: Kind, body: Object, options: WriteOptions) -> tuple[Object, list[str]]:
        return {**body, "apiVersion": kind.api_version, "kind": kind.kind}, []

    def prepare_update(self, kind: Kind, body: Object, options: WriteOptions) -> tuple[Object, list[str]]:
        return {**body, "apiVersion": kind.api_version, "kind": kind.kind}, []

    def validate_create(self, kind: Kind, obj: Object) -> None:
        pass

    def validate_update(self, kind: Kind, old: Object, new: Object, subresource: str) -> None:
        pass

    def patched(
        self, kind: Kind, base: Object, patch: Mapping[str, Any] | Sequence[Any], patch_type: PatchType
    ) -> Object:
        if patch_type in (PatchType.MERGE, PatchType.STRATEGIC) and isinstance(patch, Mapping):
            merged: Object = _merge(base, patch)
            return merged
        raise BadRequest(f"patches of type {patch_type} are not supported yet")


def _merge(base: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(base) if isinstance(base, Mapping) else {}
    for field, value in patch.items():
        if value is None:
            result.pop(field, None)
        else:
            result[field] = _merge(result.get(field), value)
    return result
