"""Objects and lists in the shape that was asked for: whole, as a Table, or metadata only. Pure.

In: stored objects and a `View`. Out: JSON values, or the bytes of a whole list put together from stored bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.columns import table
from iacorch.api.objects import Object
from iacorch.errors import BadRequest
from iacorch.server.http.negotiation import PARTIAL, PARTIAL_LIST, TABLE, Answer
from iacorch.server.objects.listing import Listing


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is to look. `now` is what a Table's ages are counted from."""

    answer: Answer
    now: datetime
    include_object: table.IncludeObject = "Metadata"

    @property
    def is_plain(self) -> bool:
        return self.answer.is_plain


def view(answer: Answer, query: Mapping[str, str], now: datetime) -> View:
    """Raises BadRequest for an `includeObject` that nobody knows."""
    match query.get("includeObject", "") or "Metadata":
        case "None":
            return View(answer, now, "None")
        case "Metadata":
            return View(answer, now, "Metadata")
        case "Object":
            return View(answer, now, "Object")
        case other:
            raise BadRequest(
                f'includeObject: Unsupported value: "{other}": supported values: "Metadata", "None", "Object"'
            )


def list_bytes(listing: Listing) -> bytes:
    """A list of whole objects, without decoding any."""
    head = orjson.dumps(
        {"kind": listing.kind.list_kind, "apiVersion": listing.kind.api_version, "metadata": _list_metadata(listing)}
    )
    return b'%b,"items":[%b]}\n' % (head[:-1], b",".join(item.wire() for item in listing.items))


def shaped_list(listing: Listing, view: View) -> Object:
    kind = listing.kind
    decoded = [item.decode() for item in listing.items]
    metadata = _list_metadata(listing)
    if view.answer.shape == TABLE:
        return table.table(kind, decoded, now=view.now, list_metadata=metadata, include_object=view.include_object)
    if view.answer.shape in (PARTIAL, PARTIAL_LIST):
        items = [partial(obj) for obj in decoded]
        return {"kind": PARTIAL_LIST, "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}
    return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata, "items": decoded}


def shaped(kind: Kind, obj: Object, view: View, *, columns_too: bool = True, subresource: str = "") -> Object:
    if view.answer.shape == TABLE:
        return table.table(
            kind,
            [obj],
            now=view.now,
            list_metadata={"resourceVersion": objects.resource_version(obj)},
            include_object=view.include_object,
            columns_too=columns_too,
            subresource=subresource,
        )
    if view.answer.shape == PARTIAL:
        return partial(obj)
    return obj


def partial(obj: Object) -> Object:
    return {"kind": PARTIAL, "apiVersion": "meta.k8s.io/v1", "metadata": objects.metadata(obj)}


def _list_metadata(listing: Listing) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
    return metadata
