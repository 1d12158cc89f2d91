from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iacorch.kit.clock import parse_rfc3339


def test_a_moment_is_read_in_any_zone() -> None:
    assert parse_rfc3339("2026-01-02T03:04:05+01:00") == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-01-02T03:04:05", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
)
def test_what_is_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)
