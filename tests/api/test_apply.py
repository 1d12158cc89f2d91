"""Server-side apply: who owns what, what goes, what is in the way. Given, when, then; and properties."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iacorch.api import apply, objects
from iacorch.api.apply import fields, owners
from iacorch.api.apply.owners import Manager, Owners
from iacorch.api.catalogue import CONFIG_MAP, DEPLOYMENT, Kind
from iacorch.api.defaults import with_defaults
from iacorch.api.objects import Object
from iacorch.api.wire.structure import Type, type_of
from iacorch.errors import BadRequest, Conflict

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def structure(kind: Kind) -> Type:
    found = type_of(kind)
    assert found is not None
    return found


def by(name: str, kind: Kind = DEPLOYMENT, *, operation: Any = "Apply", subresource: str = "") -> Manager:
    return Manager(name, operation, kind.api_version, subresource)


def config_map(data: dict[str, str], **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", **metadata}, "data": data}


def deployment(*containers: Object, **spec: Any) -> Object:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def container(name: str = "web", **more: Any) -> Object:
    return {"name": name, "image": f"{name}:1", **more}


class Stored:
    """An object as a server would keep it, without the server."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.obj, self.now = kind, {}, NOW  # type: Kind, Object, datetime

    def apply(self, name: str, wanted: Object, *, force: bool = False, subresource: str = "") -> Stored:
        manager = by(name, self.kind, subresource=subresource)
        if not self.obj:
            self._keep(wanted, apply.begin(self.kind, structure(self.kind), wanted, manager, now=self.now))
        else:
            found = apply.apply(self.kind, structure(self.kind), self.obj, wanted, manager, force=force, now=self.now)
            self._keep(found.obj, found.owners)
        return self

    def update(self, name: str, wanted: Object) -> Stored:
        known = owners.read(objects.metadata(self.obj).get("managedFields"))
        new = with_defaults(self.kind, wanted)
        manager = by(name, self.kind, operation="Update")
        found = apply.written(self.kind, structure(self.kind), self.obj, new, known, manager, now=self.now)
        self._keep(new, found)
        return self

    def _keep(self, obj: Object, found: Owners) -> None:
        self.obj = objects.with_metadata(with_defaults(self.kind, obj), managedFields=owners.write(found) or None)

    def owned(self, name: str) -> set[str]:
        """What the manager owns, in words; operations and subresources together."""
        found = owners.read(objects.metadata(self.obj).get("managedFields"))
        return {fields.words(path) for owner in found if owner.manager.name == name for path in owner.paths}

    def containers(self) -> list[Object]:
        found: list[Object] = self.obj["spec"]["template"]["spec"]["containers"]
        return found


def test_an_applier_owns_what_it_applied_and_no_default() -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container(ports=[{"containerPort": 80}]), replicas=2))
    entry = '.spec.template.spec.containers[name="web"]'
    assert stored.owned("a") == {
        ".spec.replicas",
        ".spec.selector",
        ".spec.template.metadata.labels.app",
        entry,
        f"{entry}.name",
        f"{entry}.image",
        f'{entry}.ports[containerPort=80,protocol="TCP"]',
        f'{entry}.ports[containerPort=80,protocol="TCP"].containerPort',
    }


def test_fields_v1_is_spelled_as_kubernetes_spells_it() -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container(), replicas=2))
    (entry,) = stored.obj["metadata"]["managedFields"]
    assert entry == {
        "manager": "a",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}},
                },
            }
        },
    }


def test_what_is_applied_no_more_goes_with_its_defaults() -> None:
    probe = {"httpGet": {"port": 80}}
    stored = Stored(DEPLOYMENT).apply("a", deployment(container(livenessProbe=probe)))
    assert stored.containers()[0]["livenessProbe"]["periodSeconds"] == 10
    stored.apply("a", deployment(container()))
    assert "livenessProbe" not in stored.containers()[0]


def test_what_somebody_else_owns_stays() -> None:
    stored = (
        Stored(CONFIG_MAP).apply("a", config_map({"x": "1", "y": "1"})).apply("b", config_map({"y": "1", "z": "1"}))
    )
    stored.apply("a", config_map({}))
    assert stored.obj["data"] == {"y": "1", "z": "1"}
    stored.apply("b", config_map({"z": "1"}))
    assert stored.obj["data"] == {"z": "1"}


def test_an_entry_of_a_keyed_list_goes_and_others_keep_their_place() -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container("one"), container("two")))
    stored.apply("b", deployment(container("side")))
    assert [entry["name"] for entry in stored.containers()] == ["one", "two", "side"]
    stored.apply("a", deployment(container("two"), container("three")))
    assert [entry["name"] for entry in stored.containers()] == ["two", "side", "three"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param(
            deployment(container(), replicas=3),
            'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
            id="one",
        ),
        pytest.param(
            deployment(container(image="web:2"), replicas=3),
            'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.replicas\n'
            '- .spec.template.spec.containers[name="web"].image',
            id="two",
        ),
    ],
)
def test_a_conflict_names_owners_and_fields(wanted: Object, words: str) -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container(), replicas=2))
    with pytest.raises(Conflict) as caught:
        stored.apply("b", wanted)
    assert caught.value.message == words
    assert {cause.reason for cause in caught.value.causes} == {"FieldManagerConflict"}


def test_force_takes_the_field_over_and_the_same_value_is_shared() -> None:
    stored = Stored(CONFIG_MAP).apply("a", config_map({"x": "1", "y": "1"}))
    stored.apply("b", config_map({"x": "2", "y": "1"}), force=True)
    assert stored.obj["data"] == {"x": "2", "y": "1"}
    assert (stored.owned("a"), stored.owned("b")) == ({".data.y"}, {".data.x", ".data.y"})


def test_an_update_takes_what_it_changes_and_conflicts_say_when() -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container(), replicas=2))
    scaled = objects.deep_copy(stored.obj)
    scaled["spec"]["replicas"] = 5
    stored.update("kubectl-scale", scaled)
    assert ".spec.replicas" not in stored.owned("a")
    with pytest.raises(Conflict) as caught:
        stored.apply("a", deployment(container(), replicas=2))
    words = 'conflict with "kubectl-scale" using apps/v1 at 2026-01-01T00:00:00Z: .spec.replicas'
    assert caught.value.message == f"Apply failed with 1 conflict: {words}"
    stored.apply("a", deployment(container()))
    assert stored.obj["spec"]["replicas"] == 5, "who does not say it does not mind"


def test_the_first_apply_finds_an_owner_for_what_was_there() -> None:
    stored = Stored(CONFIG_MAP)
    stored.obj = config_map({"x": "1", "y": "1"})
    with pytest.raises(Conflict, match="before-first-apply"):
        stored.apply("a", config_map({"x": "2"}))
    stored.apply("a", config_map({"x": "2"}), force=True)
    assert stored.obj["data"] == {"x": "2", "y": "1"}


def test_what_kubectl_applied_by_itself_has_the_name_that_kubectl_takes_over() -> None:
    stored = Stored(CONFIG_MAP)
    stored.obj = config_map({"x": "1"}, annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"})
    stored.apply("kubectl", config_map({"x": "1"}))
    assert ".data.x" in stored.owned("kubectl-client-side-apply")


def test_status_has_owners_of_its_own() -> None:
    stored = Stored(DEPLOYMENT).apply("a", deployment(container()))
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 1}}
    stored.apply("c", wanted, subresource="status")
    assert stored.owned("c") == {".status.replicas"}
    stored.apply("b", deployment(container()) | {"status": {"replicas": 9}}, force=True)
    assert stored.owned("c") == {".status.replicas"}
    assert ".status.replicas" not in stored.owned("b")


def test_sets_are_owned_by_value() -> None:
    stored = Stored(CONFIG_MAP).apply("a", config_map({}, finalizers=["x/a"]))
    stored.apply("b", config_map({}, finalizers=["x/b"]))
    assert stored.obj["metadata"]["finalizers"] == ["x/a", "x/b"]
    stored.apply("a", config_map({}))
    assert stored.obj["metadata"]["finalizers"] == ["x/b"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param(
            deployment(container(), container()),
            '.spec.template.spec.containers: duplicate entries for key [name="web"]',
            id="twice",
        ),
        pytest.param(
            deployment({"image": "x"}),
            'containers: element 0: associative list with keys has an element that omits key field "name"',
            id="no key",
        ),
    ],
)
def test_entries_that_cannot_be_told_apart_are_refused(wanted: Object, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Stored(DEPLOYMENT).apply("a", wanted)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "entry",
    [
        "x",
        {"operation": "Guess"},
        {"operation": "Apply", "fieldsType": "FieldsV2"},
        {"operation": "Apply", "fieldsV1": {"f:a": 1}},
        {"operation": "Apply", "fieldsV1": {"a": {}}},
    ],
)
def test_entries_that_are_none_are_refused(entry: Any) -> None:
    with pytest.raises(BadRequest):
        owners.read([entry])


keys = st.sampled_from(["a", "b", "c", "d"])
values = st.sampled_from(["1", "2"])
env = st.dictionaries(keys, values, max_size=3).map(lambda found: [{"name": k, "value": v} for k, v in found.items()])
pods = st.dictionaries(keys, env, min_size=1, max_size=3)
deployments = st.builds(
    lambda found, labels, replicas: (
        deployment(
            *(container(name, env=entries) for name, entries in found.items()),
            **({"replicas": replicas} if replicas else {}),
        )
        | {"metadata": {"name": "web", "labels": labels}}
    ),
    pods,
    st.dictionaries(keys, values, max_size=3),
    st.integers(0, 3),
)


def holds(wanted: Object, obj: Object) -> bool:
    """Everything that is wanted stands in the object."""
    there, asked = fields.leaves(structure(DEPLOYMENT), obj), fields.leaves(structure(DEPLOYMENT), wanted)
    return all(there.get(path) == value for path, value in asked.items() if value not in ({}, []))


@settings(deadline=None, max_examples=60)
@given(deployments)
def test_applying_the_same_again_changes_nothing_not_even_a_time(wanted: Object) -> None:
    stored = Stored(DEPLOYMENT).apply("a", wanted)
    before = objects.deep_copy(stored.obj)
    stored.now += timedelta(hours=1)
    assert stored.apply("a", wanted).obj == before


@settings(deadline=None, max_examples=60)
@given(deployments, deployments)
def test_one_applier_alone_gets_what_it_asks_for_and_nothing_of_before(first: Object, second: Object) -> None:
    twice = Stored(DEPLOYMENT).apply("a", first).apply("a", second)
    once = Stored(DEPLOYMENT).apply("a", second)
    assert fields.leaves(structure(DEPLOYMENT), twice.obj) == fields.leaves(structure(DEPLOYMENT), once.obj)
    assert twice.owned("a") == once.owned("a")


@settings(deadline=None, max_examples=60)
@given(deployments, deployments, deployments)
def test_forced_appliers_get_what_they_ask_for_and_every_owned_field_is_there(
    first: Object, second: Object, third: Object
) -> None:
    stored = Stored(DEPLOYMENT).apply("a", first)
    for name, wanted in (("b", second), ("a", third)):
        stored.apply(name, wanted, force=True)
        assert holds(wanted, stored.obj)
        found = fields.leaves(structure(DEPLOYMENT), stored.obj)
        there = {fields.words(path[:length]) for path in found for length in range(1, len(path) + 1)}
        assert stored.owned("a") | stored.owned("b") <= there


@settings(deadline=None, max_examples=60)
@given(deployments, deployments)
def test_an_apply_without_force_never_changes_what_another_one_owns(first: Object, second: Object) -> None:
    stored = Stored(DEPLOYMENT).apply("a", first)
    with suppress(Conflict):
        stored.apply("b", second)
    assert holds(first, stored.obj)


@settings(deadline=None, max_examples=60)
@given(deployments)
def test_owners_go_to_json_and_back(wanted: Object) -> None:
    paths = frozenset(fields.leaves(structure(DEPLOYMENT), wanted))
    assert fields.from_v1(fields.to_v1(paths)) == paths
