"""Manifests as documents, patches that change only what must, rollouts that are done or not."""

from typing import Any

import pytest

from iacorch.api.catalogue import POD
from iacorch.api.defaults import with_defaults
from iacorch.errors import ConfigError
from iacorch.infra.provider.resources.manifest_plan import (
    documents,
    hopeless,
    is_settled,
    missing,
    owned,
    patch,
    reference,
)

NAMED = (("Service", "web"), ("Namespace", "shop"))
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
}


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_yaml_and_objects_become_one_list_with_namespaces_first() -> None:
    service, namespace = (f"apiVersion: v1\nkind: {k}\nmetadata: {{name: {n}}}\n" for k, n in NAMED)
    text = f"{service}---\n---\n{namespace}"
    found = documents(text, [config_map()], namespace="shop")
    assert [str(reference(obj)) for obj in found] == [
        "v1 Namespace shop",
        "v1 ConfigMap shop/settings",
        "v1 Service shop/web",
    ]


def test_a_list_is_its_items() -> None:
    assert len(documents("", [{"apiVersion": "v1", "kind": "List", "items": [config_map("a"), config_map("b")]}])) == 2


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("a: [", [], "is not YAML"),
        ("just words", [], "object 1: expected an object, found str"),
        ("", [{"kind": "ConfigMap"}], "object 1: expected apiVersion, kind and metadata.name"),
        ("", [config_map(), {**config_map("x"), "kind": "ConfigMop"}], "object 2, x"),
        ("", [config_map(), config_map()], "is there twice"),
    ],
)
def test_bad_manifests_are_named(text: str, given: list[Any], words: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        documents(text, given)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("before", "wanted", "live", "expected"),
    [
        pytest.param(None, {"a": 1}, {"a": 1, "b": 2}, {}, id="what nobody names stays"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}, {"b": None}, id="what left the manifest goes"),
        pytest.param({"b": 2}, {}, {}, {}, id="gone already"),
        pytest.param(None, {"a": {"b": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"b": 2}}, id="in depth"),
        pytest.param(None, {"a": {}}, {}, {}, id="empty and absent are the same"),
        pytest.param(None, {"l": [1, 2]}, {"l": [1]}, {"l": [1, 2]}, id="lists are replaced"),
        pytest.param(
            {"p": [{"name": "http", "port": 80}]},
            {"p": [{"name": "http", "port": 81}]},
            {"p": [{"name": "http", "port": 80, "nodePort": 30001}]},
            {"p": [{"name": "http", "port": 81, "nodePort": 30001}]},
            id="entries keep what the server set",
        ),
        pytest.param(
            {"p": [{"name": "a", "x": 1, "y": 2}, {"name": "b"}]},
            {"p": [{"name": "a", "x": 1}]},
            {"p": [{"name": "a", "x": 1, "y": 2, "z": 3}, {"name": "b"}]},
            {"p": [{"name": "a", "x": 1, "z": 3}]},
            id="entries and their fields go when they left the manifest",
        ),
    ],
)
def test_a_patch_changes_only_what_must(
    before: dict[str, Any] | None, wanted: dict[str, Any], live: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert patch(before, wanted, live) == expected


def test_an_object_that_was_applied_needs_no_patch() -> None:
    (wanted,) = documents("", [SERVICE])
    wanted = owned(wanted, "token")
    live = {**wanted, "spec": {**wanted["spec"], "clusterIP": "10.96.0.7"}, "status": {}}
    assert patch(wanted, wanted, live) == {}


def deployment(*, generation: int = 1, seen: int = 1, **status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": seen, **status},
    }


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=2), ""),
        (deployment(generation=2), "not been seen"),
        (deployment(replicas=3, updatedReplicas=2, availableReplicas=2), "1 old ones left"),
        (deployment(replicas=2, updatedReplicas=1, availableReplicas=2), "1 of 2 updated"),
        (deployment(), "0 of 2 updated"),
        ({"kind": "Pod", "status": {"phase": "Succeeded"}}, ""),
        ({"kind": "Pod", "status": {"phase": "Pending"}}, "is Pending"),
        ({"kind": "ConfigMap"}, ""),
    ],
)
def test_a_rollout_says_what_it_waits_for(obj: dict[str, Any], words: str) -> None:
    found = missing(obj)
    assert words in found if words else found == ""


def test_a_rollout_that_gave_up_says_so() -> None:
    gave_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
    assert hopeless({"status": {"conditions": [gave_up]}}) == "too slow"
    assert hopeless({"status": {}}) == ""


def secret(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "type": "Opaque", **fields}


def claim_of(cpu: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "a:1", "resources": {"limits": {"cpu": cpu}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("wanted", "live", "settled"),
    [
        pytest.param(secret(stringData={"a": "x"}), secret(data={"a": "eA=="}), True, id="text lands in data"),
        pytest.param(secret(stringData={"a": "x"}), secret(data={"a": "eQ=="}), False, id="another text"),
        pytest.param(secret(stringData={"a": 1}), secret(data={"a": "eQ=="}), False, id="no text at all"),
        pytest.param(claim_of("1000m"), with_defaults(POD, claim_of("1")), True, id="another spelling"),
        pytest.param(claim_of("1100m"), with_defaults(POD, claim_of("1")), False, id="another amount"),
    ],
)
def test_an_object_is_settled_when_the_server_would_write_nothing(wanted: Any, live: Any, settled: bool) -> None:
    assert is_settled(wanted, live) is settled
