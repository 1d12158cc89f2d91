from __future__ import annotations

from dataclasses import replace
from typing import Any

from iacorch.api import catalogue
from iacorch.api.wire import discovery, openapi

KINDS = catalogue.builtin()


def test_both_forms_of_discovery_name_the_same_kinds() -> None:
    plain = {
        (group, version, entry["name"])
        for group, version in KINDS.group_versions()
        for entry in (discovery.api_resource_list(KINDS, group, version) or {})["resources"]
        if "/" not in entry["name"]
    }
    aggregated = {
        (item["metadata"].get("name", ""), version["version"], entry["resource"])
        for core in (True, False)
        for item in discovery.aggregated(KINDS, core=core)["items"]
        for version in item["versions"]
        for entry in version["resources"]
    }
    assert plain == aggregated == {tuple(kind.gvr) for kind in KINDS}


def test_groups() -> None:
    names = [group["name"] for group in discovery.api_group_list(KINDS)["groups"]]
    assert "apps" in names
    assert "" not in names
    assert discovery.api_group(KINDS, "nope") is None
    assert (discovery.api_group(KINDS, "apps") or {})["preferredVersion"]["groupVersion"] == "apps/v1"
    assert discovery.api_resource_list(KINDS, "apps", "v9") is None
    scale = next(
        entry
        for entry in (discovery.api_resource_list(KINDS, "apps", "v1") or {})["resources"]
        if entry["name"] == "deployments/scale"
    )
    assert (scale["group"], scale["kind"]) == ("autoscaling", "Scale")


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_documents_are_closed_and_say_how_lists_merge() -> None:
    for group, version in KINDS.group_versions():
        document = openapi.document(KINDS, group, version)
        assert references(document) <= document["components"]["schemas"].keys()
    core = openapi.document(KINDS, "", "v1")
    containers = core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    limits = core["components"]["schemas"]["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]
    quantity = "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"
    assert limits["additionalProperties"] == {"allOf": [{"$ref": quantity}]}
    post = core["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"]
    assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in post["parameters"]}
    assert post["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}


def test_a_custom_kind_shows_its_own_schema() -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object"}}}
    widget = replace(catalogue.CONFIG_MAP, group="example.com", kind="Widget", plural="widgets", schema_json=schema)
    document = openapi.document(KINDS.with_kinds([widget]), "example.com", "v1")
    assert document["components"]["schemas"]["com.example.v1.Widget"]["properties"] == schema["properties"]


def test_the_index_carries_hashes() -> None:
    hashes = {openapi.path_of(*entry): "h" for entry in KINDS.group_versions()}
    paths = openapi.index(KINDS, hashes)["paths"]
    assert paths["apis/apps/v1"] == {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=h"}
    assert "api/v1" in paths
