"""Table output: what `kubectl get` prints.

In: a kind, objects, `now`. Out: a meta.k8s.io/v1 Table as a dict. The server answers with it when a client asks for
`as=Table`. Columns and cells of each kind stand in `iacorch.api.columns`; a CRD's come from its
additionalPrinterColumns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from iacorch.api import columns, objects
from iacorch.api.catalogue import Column, Kind
from iacorch.api.objects import Object

IncludeObject = Literal["None", "Metadata", "Object"]


def table(
    kind: Kind,
    items: Iterable[Object],
    *,
    now: datetime,
    list_metadata: Mapping[str, Any] | None = None,
    include_object: IncludeObject = "Metadata",
    columns_too: bool = True,
    subresource: str = "",
) -> Object:
    """The whole document. Later events of a watch leave the column definitions out (`columns_too=False`)."""
    definitions, cells = columns.of(kind, subresource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": [_definition(column) for column in definitions] if columns_too else [],
        "rows": [_row(obj, cells(obj, now), include_object) for obj in items],
    }


def _row(obj: Object, cells: list[Any], include_object: IncludeObject) -> Object:
    row: Object = {"cells": cells}
    if include_object == "Object":
        row["object"] = obj
    elif include_object == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": objects.metadata(obj),
        }
    return row


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
