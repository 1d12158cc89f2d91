"""The step generator: tables of what was, what is wanted, what the provider says, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iacorch.infra.engine.builtin.decisions import paths, steps
from iacorch.infra.engine.builtin.decisions.steps import Create, Diff, Refuse, Registration, Replace, Same, Step, Update
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Change

OLD = Resource(urn="u", type="t", custom=True, id="1")
WANTED = Registration(urn="u", type="t", custom=True, inputs={})
NONE = Diff(False)
SOME = Diff(True, keys=("size",))
REPLACES = Diff(True, replaces=("size",))


@pytest.mark.parametrize(
    ("old", "wanted", "diff", "step"),
    [
        pytest.param(None, WANTED, None, Create(), id="new"),
        pytest.param(OLD, WANTED, NONE, Same(), id="no difference"),
        pytest.param(OLD, WANTED, SOME, Update(), id="a difference"),
        pytest.param(replace(OLD, init_errors=("slow",)), WANTED, NONE, Update(), id="half made is resumed"),
        pytest.param(OLD, WANTED, REPLACES, Replace(False), id="replaces"),
        pytest.param(OLD, WANTED, replace(REPLACES, delete_first=True), Replace(True), id="provider: delete first"),
        pytest.param(
            OLD, replace(WANTED, delete_before_replace=True), REPLACES, Replace(True), id="program: delete first"
        ),
        pytest.param(
            OLD, replace(WANTED, delete_before_replace=False), replace(REPLACES, delete_first=True), Replace(False),
            id="program over provider",
        ),
        pytest.param(
            replace(OLD, pending_replacement=True), WANTED, NONE, Replace(True), id="deleted by a run that was cut off"
        ),
        pytest.param(
            replace(OLD, protect=True), replace(WANTED, protect=True), REPLACES,
            Refuse("it must be replaced, and it is protected"), id="protected",
        ),
        pytest.param(replace(OLD, protect=True), WANTED, REPLACES, Replace(False), id="unprotected at once"),
        pytest.param(replace(OLD, protect=True), replace(WANTED, protect=True), SOME, Update(), id="updated"),
        pytest.param(
            OLD, replace(WANTED, replace_on_changes=("size",)), SOME, Replace(False), id="replace_on_changes covers it"
        ),
        pytest.param(OLD, replace(WANTED, replace_on_changes=("other",)), SOME, Update(), id="not covered"),
        pytest.param(replace(OLD, custom=False), WANTED, None, Replace(False), id="a component became a resource"),
        pytest.param(replace(OLD, custom=False), replace(WANTED, custom=False), None, Same(), id="a component"),
    ],
)  # fmt: skip
def test_next_step(old: Resource | None, wanted: Registration, diff: Diff | None, step: Step) -> None:
    assert steps.next_step(old, wanted, {}, diff) == step


SECRET_A = wire.secret("a")


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param({"a": 1}, {"a": 1}, (), id="equal"),
        pytest.param({"a": 1}, {"a": 2}, (Change("a", 1, 2),), id="a value"),
        pytest.param({}, {"a": 2}, (Change("a", None, 2),), id="added"),
        pytest.param({"a": {"b.c": 1}}, {"a": {"b.c": 2}}, (Change('a["b.c"]', 1, 2),), id="a key with a dot"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, (Change("a[1]", 2, 3),), id="in a list"),
        pytest.param({"a": [1]}, {"a": [1, 3]}, (Change("a", [1], [1, 3]),), id="a longer list"),
        pytest.param({"a": SECRET_A}, {"a": SECRET_A}, (), id="the same secret"),
        pytest.param({"a": SECRET_A}, {"a": wire.secret("b")}, (Change("a", "[secret]", "[secret]"),), id="a secret"),
        pytest.param({"a": 1}, {"a": wire.UNKNOWN}, (Change("a", 1, "[unknown]"),), id="not known yet"),
    ],
)
def test_compare(old: wire.Props, new: wire.Props, changes: tuple[Change, ...]) -> None:
    assert steps.compare(old, new) == changes


@pytest.mark.parametrize(
    ("ignored", "kept"),
    [
        pytest.param("a", {"a": "old", "n": {"x": "new"}, "l": [{"k": "new"}]}, id="a key"),
        pytest.param("n.x", {"a": "new", "n": {"x": "old"}, "l": [{"k": "new"}]}, id="a nested key"),
        pytest.param("l[0].k", {"a": "new", "n": {"x": "new"}, "l": [{"k": "old"}]}, id="in a list"),
        pytest.param("l[*].k", {"a": "new", "n": {"x": "new"}, "l": [{"k": "old"}]}, id="in every element"),
        pytest.param("l[7].k", {"a": "new", "n": {"x": "new"}, "l": [{"k": "new"}]}, id="beyond the end"),
        pytest.param("absent", {"a": "new", "n": {"x": "new"}, "l": [{"k": "new"}]}, id="absent in both"),
    ],
)
def test_ignored_paths_are_put_back(ignored: str, kept: wire.Props) -> None:
    new = {"a": "new", "n": {"x": "new"}, "l": [{"k": "new"}]}
    old = {"a": "old", "n": {"x": "old"}, "l": [{"k": "old"}]}
    assert steps.keep_ignored(new, old, [ignored]) == kept
    assert new["a"] == "new"


def test_an_ignored_path_that_was_absent_is_removed() -> None:
    assert steps.keep_ignored({"a": 1}, {}, ["a"]) == {}


@pytest.mark.parametrize("path", ["a b", 'x["c.d"].e', "a[0][*]", "a.b.c"])
def test_paths_are_understood(path: str) -> None:
    assert paths.parse(path)


@pytest.mark.parametrize("path", ["a[", "a[x]", 'a["b'])
def test_malformed_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        paths.parse(path)


def _resource(name: str, *needs: str, parent: str = "") -> Resource:
    return Resource(urn=name, type="t", custom=True, dependencies=needs, parent=parent)


def test_whatever_needs_a_resource_is_deleted_before_it() -> None:
    order = steps.deletion_order([_resource("a"), _resource("b", "a"), _resource("c"), _resource("d", "b", parent="c")])
    names = [resource.urn for resource, _ in order]
    assert names == ["d", "c", "b", "a"]
    assert {r.urn: sorted(names[i] for i in before) for r, before in order} == {
        "d": [],
        "c": ["d"],
        "b": ["d"],
        "a": ["b"],
    }


def test_resources_are_put_after_what_they_need_and_else_stay_in_order() -> None:
    def named(name: str, *needs: str, delete: bool = False) -> Resource:
        return Resource(name, "t", custom=True, dependencies=needs, delete=delete)

    given = [named("c", "b"), named("x"), named("b", "a"), named("a", delete=True), named("a")]
    found = [(r.urn, r.delete) for r in steps.in_dependency_order(given)]
    assert found == [("a", True), ("a", False), ("b", False), ("c", False), ("x", False)]


def test_dependents_are_transitive_and_in_order() -> None:
    all_ = [_resource("a"), _resource("b", "a"), _resource("c"), _resource("d", "b")]
    assert [r.urn for r in steps.dependents(all_, ["a"])] == ["b", "d"]
