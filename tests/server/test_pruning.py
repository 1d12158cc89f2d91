"""Which Events go, and when; and that one that goes or changes meanwhile stops nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iacorch.api.objects import Object
from iacorch.server.pruning import expired

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(name: str, minutes_ago: float, *, field: str = "lastTimestamp") -> Object:
    moment = (NOW - timedelta(minutes=minutes_ago)).isoformat().replace("+00:00", "Z")
    return {"metadata": {"namespace": "default", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}} | (
        {"series": {"lastObservedTime": moment}} if field == "series" else {field: moment}
    )


@pytest.mark.parametrize("field", ["lastTimestamp", "eventTime", "firstTimestamp", "series"])
def test_an_event_that_nobody_repeats_goes_after_an_hour(field: str) -> None:
    events = [event("new", 59, field=field), event("at the limit", 60, field=field), event("old", 61, field=field)]
    assert [e["metadata"]["name"] for e in expired(events, now=NOW)] == ["old"]


def test_of_too_many_the_oldest_go() -> None:
    events = [event(f"e{minutes}", minutes) for minutes in (3, 1, 2)]
    assert [e["metadata"]["name"] for e in expired(events, now=NOW, most=2)] == ["e3"]
    assert expired(events, now=NOW, most=3) == []


def test_an_event_without_a_moment_is_as_old_as_it_is_stored() -> None:
    bare = {"metadata": {"namespace": "default", "name": "e", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert expired([bare], now=NOW) == [bare]
