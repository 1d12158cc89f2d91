from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iacorch.api import objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def test_readers_answer_with_the_empty_value() -> None:
    for read in (objects.name, objects.namespace, objects.uid, objects.resource_version, objects.key):
        assert read({}) == ""
    assert objects.labels({"metadata": {"labels": None}}) == {}
    assert objects.owner_references({}) == []
    assert objects.deletion_timestamp({}) is None
    assert objects.controller_of({}) is None


def test_keys_split_as_they_join() -> None:
    assert objects.key({"metadata": {"name": "a", "namespace": "b"}}) == "b/a"
    assert objects.split_key("b/a") == ("b", "a")
    assert objects.split_key("a") == ("", "a")


def test_a_child_names_its_controller() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "uid": "u1"}}
    child = {"metadata": {"ownerReferences": [{"kind": "X", "uid": "u0"}, objects.owner_reference(owner)]}}
    assert objects.is_controlled_by(child, owner)
    assert (objects.controller_of(child) or {})["name"] == "rs"
    assert not objects.is_controlled_by(child, {"metadata": {"uid": "u2"}})


def test_a_condition_moves_its_transition_time_only_when_its_status_changes() -> None:
    first = objects.set_condition([], "Ready", "True", reason="Ok", now=NOW)
    later = NOW + timedelta(minutes=1)
    assert objects.set_condition(first, "Ready", "True", reason="Ok", now=later) == first
    reworded = objects.set_condition(first, "Ready", "True", reason="Fine", now=later)
    assert reworded[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    flipped = objects.set_condition(reworded, "Ready", "False", now=later)
    assert flipped == [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:05:05Z"}]
    assert objects.condition_is({"status": {"conditions": flipped}}, "Ready", "False")
    assert objects.without_condition(flipped, "Ready") == []


def test_metadata_is_changed_on_a_copy() -> None:
    obj = {"metadata": {"name": "a", "labels": {"x": "y"}}}
    changed = objects.with_metadata(obj, labels=None, namespace="n")
    assert changed["metadata"] == {"name": "a", "namespace": "n"}
    assert obj["metadata"] == {"name": "a", "labels": {"x": "y"}}


@given(JSON)
def test_a_deep_copy_is_equal_and_shares_nothing(value: Any) -> None:
    copy = objects.deep_copy(value)
    assert copy == value
    if isinstance(value, (list, dict)):
        assert copy is not value
