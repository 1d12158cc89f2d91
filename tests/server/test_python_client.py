"""The official Python client, which is made from Kubernetes' OpenAPI, in its own process: typed, dynamic, watching."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from kubernetes.watch import Watch

from tests.server import daemon

pytestmark = pytest.mark.client

LABELS = {"app": "web"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("python")
    with daemon.running(folder / "data") as server:
        made = new_client_from_config(str(server.kubeconfig))
        yield made
        made.close()


def web(name: str, **spec: Any) -> Any:
    container = client.V1Container(name="web", image="none:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=LABELS), spec=client.V1PodSpec(containers=[container])
    )
    selector = client.V1LabelSelector(match_labels=LABELS)
    whole = client.V1DeploymentSpec(replicas=2, selector=selector, template=template, **spec)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=whole)


def test_it_asks_for_the_version_at_the_path_of_openapi(api: Any) -> None:
    assert "iacorch" in client.VersionApi(api).get_code().git_version
    assert [group.name for group in client.ApisApi(api).get_api_versions().groups]


def test_a_deployment_is_made_watched_scaled_and_deleted(api: Any) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    made = apps.create_namespaced_deployment("default", web("typed"))
    assert made.status is not None, "there from the beginning, with nothing in it"
    apps.patch_namespaced_deployment_scale("typed", "default", {"spec": {"replicas": 3}})
    seen: set[str] = set()
    watching = Watch()
    selector = "app=web"
    for event in watching.stream(
        core.list_namespaced_pod, "default", label_selector=selector, timeout_seconds=60, _request_timeout=60
    ):
        seen.add(event["object"].metadata.name)
        if len(seen) == 3:
            watching.stop()
    assert len(seen) == 3
    scale = apps.read_namespaced_deployment_scale("typed", "default")
    assert scale.spec is not None
    assert scale.spec.replicas == 3
    apps.delete_namespaced_deployment("typed", "default", propagation_policy="Background")
    with pytest.raises(client.ApiException) as gone:
        apps.read_namespaced_deployment("typed", "default")
    assert gone.value.status == 404


def test_the_dynamic_client_discovers_and_applies_from_the_servers_side(api: Any) -> None:
    maps = DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    maps.create(body={"metadata": {"name": "c"}, "data": {"a": "1"}}, namespace="default")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"b": "2"}}
    maps.server_side_apply(body=body, namespace="default", name="c", field_manager="me")
    assert maps.get(name="c", namespace="default").data.to_dict() == {"a": "1", "b": "2"}


def test_what_is_refused_is_an_exception_with_a_status(api: Any) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(client.ApiException) as invalid:
        core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="Bad_Name")))
    assert (invalid.value.status, "metadata.name" in str(invalid.value.body)) == (422, True)
