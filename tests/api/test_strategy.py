from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.api import catalogue, defaults, events, qos, strategy, subresources
from iacorch.errors import Conflict, Invalid
from tests.api import build

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def created(kind: catalogue.Kind, obj: dict[str, Any]) -> dict[str, Any]:
    return strategy.prepare_create(kind, defaults.with_defaults(kind, obj), uid="u1", now=NOW)


def test_what_a_client_says_about_identity_and_status_is_ignored_on_create() -> None:
    obj = build.deployment()
    obj["metadata"] |= {"uid": "mine", "resourceVersion": "7", "generation": 9, "deletionTimestamp": "x"}
    obj["status"] = {"replicas": 5}
    result = created(catalogue.DEPLOYMENT, obj)
    assert result["metadata"] == {
        "name": "web",
        "namespace": "default",
        "uid": "u1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "generation": 1,
    }
    assert result["status"] == {}


@pytest.mark.parametrize(
    ("kind", "begins"),
    [(catalogue.DEPLOYMENT, {}), (catalogue.REPLICA_SET, {"replicas": 0}), (catalogue.SERVICE, {"loadBalancer": {}})],
    ids=lambda value: value.kind if isinstance(value, catalogue.Kind) else "",
)
def test_a_status_is_there_from_the_beginning(kind: catalogue.Kind, begins: dict[str, Any]) -> None:
    assert created(kind, {"metadata": {"name": "x"}, "spec": {"template": {}}})["status"] == begins


def test_generation_counts_changes_of_spec_only() -> None:
    old = created(catalogue.DEPLOYMENT, build.deployment())
    labelled = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    assert strategy.prepare_update(catalogue.DEPLOYMENT, old, labelled)["metadata"]["generation"] == 1
    scaled = {**old, "spec": {**old["spec"], "replicas": 5}}
    assert strategy.prepare_update(catalogue.DEPLOYMENT, old, scaled)["metadata"]["generation"] == 2


def test_an_update_keeps_status_and_a_status_update_keeps_spec() -> None:
    old = created(catalogue.DEPLOYMENT, build.deployment()) | {"status": {"replicas": 1}}
    new = {**old, "spec": {**old["spec"], "replicas": 5}, "status": {"replicas": 9}}
    assert strategy.prepare_update(catalogue.DEPLOYMENT, old, new)["status"] == {"replicas": 1}
    status = strategy.prepare_update(catalogue.DEPLOYMENT, old, new, subresource="status")
    assert status["status"] == {"replicas": 9}
    assert status["spec"] == old["spec"]
    assert strategy.prepare_update(catalogue.DEPLOYMENT, old, old) == old


def test_nobody_deletes_by_writing_a_timestamp() -> None:
    old = created(catalogue.POD, build.pod())
    new = {**old, "metadata": {**old["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "uid": "x"}}
    assert strategy.prepare_update(catalogue.POD, old, new) == old
    gone = strategy.with_deletion(old, now=NOW, grace_seconds=30)
    assert gone["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:35Z"
    assert gone["metadata"]["generation"] == 2


def test_a_pod_begins_pending_with_its_class() -> None:
    assert created(catalogue.POD, build.pod())["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_string_data_lands_in_data() -> None:
    obj = {"metadata": {"name": "s"}, "data": {"a": "YQ=="}, "stringData": {"b": "b"}}
    result = created(catalogue.SECRET, obj)
    assert result["data"] == {"a": "YQ==", "b": "Yg=="}
    assert "stringData" not in result
    assert result["type"] == "Opaque"


def test_a_service_that_is_no_longer_reached_from_outside_drops_what_only_that_needs() -> None:
    spec = {"type": "NodePort", "externalTrafficPolicy": "Cluster", "ports": []}
    old = {"metadata": {"name": "s"}, "spec": spec}
    new = {"metadata": {"name": "s"}, "spec": {**spec, "type": "ClusterIP"}}
    assert "externalTrafficPolicy" not in strategy.prepare_update(catalogue.SERVICE, old, new)["spec"]


def test_a_service_keeps_what_was_allocated() -> None:
    old = created(catalogue.SERVICE, build.service(type="NodePort"))
    old["spec"] |= {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}
    old["spec"]["ports"][0]["nodePort"] = 30001
    new = defaults.with_defaults(catalogue.SERVICE, build.service(type="NodePort"))
    result = strategy.prepare_update(catalogue.SERVICE, old, new)
    assert result["spec"]["clusterIP"] == "10.96.0.7"
    assert result["spec"]["ports"][0]["nodePort"] == 30001


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"limits": {"cpu": "0"}}], "BestEffort"),
    ],
)
def test_qos_class(resources: list[dict[str, Any]], wanted: str) -> None:
    assert qos.qos_class({"containers": [{"resources": entry} for entry in resources]}) == wanted


def test_defaults_are_kubernetes_and_applying_them_twice_changes_nothing() -> None:
    for kind, obj in (
        (catalogue.DEPLOYMENT, build.deployment()),
        (catalogue.POD, build.pod(volumes=[{"name": "v", "configMap": {"name": "c"}}, {"name": "e"}])),
        (catalogue.SERVICE, build.service()),
    ):
        before = repr(obj)
        once = defaults.with_defaults(kind, obj)
        assert defaults.with_defaults(kind, once) == once
        assert repr(obj) == before
    pod = defaults.with_defaults(catalogue.POD, build.pod())["spec"]
    assert pod["restartPolicy"] == "Always"
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    spec = defaults.with_defaults(catalogue.DEPLOYMENT, build.deployment())["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    service = defaults.with_defaults(catalogue.SERVICE, build.service())["spec"]
    assert service["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("r:5000/a", "Always"),
        ("a@sha256:x", "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = build.pod(containers=[{"name": "c", "image": image}])
    assert defaults.with_defaults(catalogue.POD, pod)["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_quantities_are_stored_in_canonical_form() -> None:
    container = {"name": "c", "image": "a:1", "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}
    resources = defaults.with_defaults(catalogue.POD, build.pod(containers=[container]))["spec"]["containers"][0]
    assert resources["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }


def test_scale_reads_and_writes_replicas() -> None:
    obj = created(catalogue.DEPLOYMENT, build.deployment()) | {"status": {"replicas": 2}}
    scale = subresources.to_scale(obj)
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 2, "selector": "app=web"}
    assert subresources.with_scale(obj, {**scale, "spec": {"replicas": 4}})["spec"]["replicas"] == 4
    with pytest.raises(Invalid, match="must be greater than or equal to 0"):
        subresources.with_scale(obj, {"spec": {"replicas": -1}})
    with pytest.raises(Conflict):
        subresources.with_scale(obj, {"metadata": {"uid": "other"}, "spec": {"replicas": 1}})


def test_a_pod_is_bound_once() -> None:
    pod = created(catalogue.POD, build.pod())
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n1"}}
    bound = subresources.bind(pod, binding, now=NOW)
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    with pytest.raises(Conflict, match='already assigned to node "n1"'):
        subresources.bind(bound, binding, now=NOW)


def test_events_convert_both_ways() -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"name": "p"},
        "message": "m",
        "count": 2,
        "source": {"component": "c"},
    }
    newer = events.to_events_v1(event)
    assert newer["note"] == "m"
    assert newer["regarding"] == {"name": "p"}
    assert newer["apiVersion"] == "events.k8s.io/v1"
    assert events.to_core(newer) == event


def test_a_custom_kind_counts_generations_too() -> None:
    widget = replace(catalogue.CONFIG_MAP, group="example.com", kind="Widget", plural="widgets", schema_json={})
    assert created(widget, {"metadata": {"name": "w"}})["metadata"]["generation"] == 1
