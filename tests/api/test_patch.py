from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.api import catalogue, patch
from iacorch.api.patch.json_patch import json_patch
from iacorch.api.patch.merge import merge_patch
from iacorch.api.wire import structure
from iacorch.errors import ApiError, BadRequest, Invalid, UnsupportedMedia
from tests.api import build

POD = structure.type_of(catalogue.POD)
JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
        ({"a": {"x": 1}}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": {"x": 1}, "b": {"x": 1}}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}], {}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patch(document: Any, operations: list[dict[str, Any]], result: Any) -> None:
    before = repr(document)
    assert json_patch(document, operations) == result
    assert repr(document) == before


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ({}, BadRequest),
        ([1], BadRequest),
        ([{"op": "shout", "path": "/a"}], Invalid),
        ([{"op": "add", "path": "a", "value": 1}], BadRequest),
        ([{"op": "add", "path": "/b"}], BadRequest),
        ([{"op": "remove", "path": "/b"}], Invalid),
        ([{"op": "replace", "path": "/b", "value": 1}], Invalid),
        ([{"op": "add", "path": "/a/b", "value": 1}], Invalid),
        ([{"op": "test", "path": "/a", "value": 2}], Invalid),
        ([{"op": "add", "path": "/l/01", "value": 2}], Invalid),
        ([{"op": "add", "path": "/l/9", "value": 2}], Invalid),
        ([{"op": "copy", "from": "", "path": "/l/-"}] * 60, BadRequest),
        ([{"op": "remove", "path": "/a"}] * 10_001, BadRequest),
    ],
)
def test_a_json_patch_that_does_not_apply_changes_nothing(operations: Any, error: type[ApiError]) -> None:
    document = {"a": 1, "l": [1]}
    with pytest.raises(error):
        json_patch(document, operations)
    assert document == {"a": 1, "l": [1]}


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([{"op": "remove", "path": "/b"}], "error in remove for path: '/b': Unable to remove nonexistent key: b"),
        ([{"op": "test", "path": "/a", "value": 2}], "testing value /a failed: test failed"),
        ([{"op": "shout", "path": "/a"}], "Unexpected kind: shout"),
        ({"a": 1}, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
    ],
)
def test_a_bad_json_patch_is_told_in_kubernetes_words(operations: Any, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": 1}, operations)
    assert words in caught.value.message


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(target: dict[str, Any], change: dict[str, Any]) -> None:
    once = merge_patch(target, change)
    assert merge_patch(once, change) == once
    assert merge_patch(target, {}) == target


def test_a_merge_patch_removes_with_null_and_replaces_lists() -> None:
    assert merge_patch({"a": 1, "b": {"c": 1, "d": 2}, "l": [1, 2]}, {"a": None, "b": {"c": None}, "l": [3]}) == {
        "b": {"d": 2},
        "l": [3],
    }


def containers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "image": f"{name}:1"} for name in names]


def strategic(target: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return patch.apply(patch.STRATEGIC_PATCH, target, change, type_=POD)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        pytest.param(["a", "b"], [{"name": "b", "image": "b:2"}], ["a:1", "b:2"], id="merges by name"),
        pytest.param(["a"], [{"name": "b", "image": "b:2"}], ["a:1", "b:2"], id="adds at the end"),
        pytest.param(["a", "b"], [{"name": "a", "$patch": "delete"}], ["b:1"], id="deletes one"),
        pytest.param(["a", "b"], [{"$patch": "replace"}, {"name": "c", "image": "c:1"}], ["c:1"], id="replaces all"),
    ],
)
def test_strategic_lists(before: list[str], change: list[dict[str, Any]], after: list[str]) -> None:
    result = strategic({"spec": {"containers": containers(*before)}}, {"spec": {"containers": change}})
    assert [entry["image"] for entry in result["spec"]["containers"]] == after


def test_strategic_order_is_set_and_the_servers_own_stay_where_they_were() -> None:
    target = {"spec": {"containers": containers("sidecar", "a", "b")}}
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": containers("c"),
        }
    }
    names = [entry["name"] for entry in strategic(target, change)["spec"]["containers"]]
    assert names == ["c", "sidecar", "b", "a"]


def test_strategic_values_merge_as_a_set() -> None:
    target = {"metadata": {"finalizers": ["a", "b"]}}
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b", "c"]}}
    assert strategic(target, change) == {"metadata": {"finalizers": ["b", "c"]}}


def test_strategic_keeps_only_what_it_is_told_to() -> None:
    target = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    change = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}
    assert strategic(target, change)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_strategic_maps_merge_and_null_removes() -> None:
    target = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeName": "n"}}
    change = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"$patch": "replace", "hostname": "h"}}
    assert strategic(target, change) == {"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {"hostname": "h"}}


def test_strategic_lists_without_a_merge_key_are_replaced() -> None:
    target = {"spec": {"containers": [{"name": "a", "args": ["1", "2"]}]}}
    change = {"spec": {"containers": [{"name": "a", "args": ["3"]}]}}
    assert strategic(target, change) == {"spec": {"containers": [{"name": "a", "args": ["3"]}]}}


@pytest.mark.parametrize(
    "change",
    [
        {"$patch": "shout"},
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": ["x"]}},
        {"spec": {"$retainKeys": ["a"], "b": 1}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
    ],
)
def test_strategic_patches_that_break_the_rules(change: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        strategic(build.pod(), change)


@given(OBJECTS)
def test_a_strategic_patch_of_nothing_leaves_no_directive_behind(change: dict[str, Any]) -> None:
    assert strategic({}, {"spec": {"x": change}}) == {"spec": {"x": change}} or any(k.startswith("$") for k in change)


def test_content_types() -> None:
    assert patch.supported(catalogue.POD)[-2:] == (patch.STRATEGIC_PATCH, patch.APPLY_PATCH)
    with pytest.raises(UnsupportedMedia):
        patch.apply("application/apply-patch+yaml", {}, {}, type_=POD)
    with pytest.raises(UnsupportedMedia):
        patch.apply(patch.STRATEGIC_PATCH, {}, {}, type_=None)
    with pytest.raises(BadRequest):
        patch.apply(patch.MERGE_PATCH, {}, [], type_=POD)
