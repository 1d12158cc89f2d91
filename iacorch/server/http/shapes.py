"""Objects and lists in the shape that was asked for: whole, as a Table, or metadata only. Pure.

In: stored objects and an `Answer`. Out: JSON values, or the bytes of a whole list put together from stored bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.server.http.negotiation import PARTIAL, PARTIAL_LIST, TABLE, Answer
from iacorch.server.listing import Listing


def list_bytes(listing: Listing) -> bytes:
    """A list of whole objects, without decoding any."""
    head = orjson.dumps(
        {"kind": listing.kind.list_kind, "apiVersion": listing.kind.api_version, "metadata": _list_metadata(listing)}
    )
    return b'%b,"items":[%b]}\n' % (head[:-1], b",".join(item.wire() for item in listing.items))


def shaped_list(listing: Listing, answer: Answer, query: Mapping[str, str]) -> Object:
    kind = listing.kind
    decoded = [item.decode() for item in listing.items]
    if answer.shape == TABLE:
        return table(kind, decoded, _list_metadata(listing), query)
    if answer.shape in (PARTIAL, PARTIAL_LIST):
        kind_name, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        decoded = [partial(obj) for obj in decoded]
    else:
        kind_name, api_version = kind.list_kind, kind.api_version
    return {"kind": kind_name, "apiVersion": api_version, "metadata": _list_metadata(listing), "items": decoded}


def shaped(kind: Kind, obj: Object, answer: Answer, query: Mapping[str, str]) -> Object:
    if answer.shape == TABLE:
        return table(kind, [obj], {"resourceVersion": objects.resource_version(obj)}, query)
    if answer.shape == PARTIAL:
        return partial(obj)
    return obj


def partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": objects.metadata(obj)}


def table(kind: Kind, rows: Iterable[Object], metadata: Mapping[str, Any], query: Mapping[str, str]) -> Object:
    """`query` may say includeObject=None|Metadata|Object."""
    include = query.get("includeObject", "Metadata")
    columns = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    made = []
    for obj in rows:
        row: dict[str, Any] = {"cells": [objects.name(obj)]}
        if include != "None":
            row["object"] = obj if include == "Object" else partial(obj)
        made.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": columns,
        "rows": made,
    }


def _list_metadata(listing: Listing) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
    return metadata
