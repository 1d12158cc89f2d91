"""Whatever a client sends is stored or refused; nothing in between breaks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iacorch.api import catalogue, defaults, patch, strategy, subresources, validate
from iacorch.api.catalogue import Kind
from iacorch.api.columns import table
from iacorch.api.values import selectors
from iacorch.api.wire import schema, structure
from iacorch.errors import ApiError
from tests.api.generated import values

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STORED = [kind for kind in catalogue.builtin() if not kind.is_virtual]


def write(kind: Kind, body: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the server does with a body; None if it refuses. Every function must live with what it refuses, too."""
    try:
        decoded = schema.decode(kind, body)
    except ApiError:
        return None
    filled = defaults.with_defaults(kind, decoded.obj)
    assert defaults.with_defaults(kind, filled) == filled
    if old is None:
        obj = strategy.prepare_create(kind, filled, uid="u", now=NOW)
        causes = [*decoded.missing, *validate.create(kind, obj)]
    else:
        obj = strategy.prepare_update(kind, old, filled)
        causes = [*decoded.missing, *validate.update(kind, obj, old)]
        validate.update(
            kind, strategy.prepare_update(kind, old, filled, subresource="status"), old, subresource="status"
        )
    if causes:
        assert all(cause.message for cause in causes)
        return None
    table.table(kind, [obj], now=NOW)
    if kind.subresource("scale"):
        subresources.to_scale(obj)
    return obj


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.qualified)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_any_body_is_stored_or_refused(kind: Kind, data: st.DataObject) -> None:
    type_ = structure.type_of(kind)
    assert type_ is not None
    body = data.draw(values(type_, wrong=data.draw(st.booleans())))
    metadata = body.get("metadata")
    body["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "name": "a", "namespace": "b"}
    stored = write(kind, body, None)
    other = data.draw(values(type_, wrong=False))
    if stored is not None:
        write(kind, {**stored, **other, "metadata": stored["metadata"]}, stored)
        try:
            merged = patch.apply(patch.STRATEGIC_PATCH, stored, other, type_=type_)
        except ApiError:
            return
        write(kind, merged, stored)
        selectors.field_value(stored, "metadata.name")
