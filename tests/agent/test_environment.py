from __future__ import annotations

import base64
from typing import Any

import pytest

from iacorch.agent.containers.environment import ConfigMissing, Facts, Sources, environment, expand

POD = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web"}, "annotations": {"a": 'x"y'}},
    "spec": {"nodeName": "n1", "containers": [{"name": "app", "resources": {"limits": {"memory": "64Mi"}}}]},
}
SOURCES = Sources(
    config_maps={"settings": {"data": {"COLOR": "blue", "not a name": "x"}}},
    secrets={"key": {"data": {"TOKEN": base64.b64encode(b"s3cret").decode()}}},
)
FACTS = Facts("n1", "192.0.2.1", "10.244.0.2", 4000, 8 << 30)


def values(container: dict[str, Any]) -> dict[str, str]:
    return environment(POD, {"name": "app", **container}, SOURCES, FACTS)


def of(**source: Any) -> dict[str, Any]:
    return {"env": [{"name": "X", "valueFrom": source}]}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({"env": [{"name": "X", "value": "1"}]}, {"X": "1"}, id="a value"),
        pytest.param({"env": [{"name": "X"}]}, {"X": ""}, id="no value is empty"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "settings"}}]}, {"COLOR": "blue"}, id="all of a map"),
        pytest.param(
            {"envFrom": [{"prefix": "P_", "secretRef": {"name": "key"}}]}, {"P_TOKEN": "s3cret"}, id="with a prefix"
        ),
        pytest.param({"envFrom": [{"secretRef": {"name": "none", "optional": True}}]}, {}, id="optional and missing"),
        pytest.param(
            {"envFrom": [{"configMapRef": {"name": "settings"}}], "env": [{"name": "COLOR", "value": "red"}]},
            {"COLOR": "red"},
            id="env wins over envFrom",
        ),
        pytest.param(of(configMapKeyRef={"name": "settings", "key": "COLOR"}), {"X": "blue"}, id="one key"),
        pytest.param(
            of(configMapKeyRef={"name": "settings", "key": "SIZE", "optional": True}), {}, id="an optional key"
        ),
        pytest.param(of(secretKeyRef={"name": "key", "key": "TOKEN"}), {"X": "s3cret"}, id="a secret's key"),
        pytest.param(of(fieldRef={"fieldPath": "metadata.name"}), {"X": "web"}, id="the pod's name"),
        pytest.param(of(fieldRef={"fieldPath": "metadata.labels['app']"}), {"X": "web"}, id="a label"),
        pytest.param(of(fieldRef={"fieldPath": "metadata.annotations"}), {"X": 'a="x\\"y"'}, id="all annotations"),
        pytest.param(of(fieldRef={"fieldPath": "status.podIP"}), {"X": "10.244.0.2"}, id="the pod's address"),
        pytest.param(of(resourceFieldRef={"resource": "limits.cpu"}), {"X": "4"}, id="no limit: the node's"),
        pytest.param(
            of(resourceFieldRef={"resource": "limits.memory", "containerName": "app", "divisor": "1Mi"}),
            {"X": "64"},
            id="divided",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$$(A)"}]},
            {"A": "1", "B": "1-$(C)-$(A)"},
            id="expansion",
        ),
    ],
)
def test_an_environment(container: dict[str, Any], expected: dict[str, str]) -> None:
    assert values(container) == expected


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (of(configMapKeyRef={"name": "none", "key": "K"}), 'configmap "none" not found'),
        (
            of(configMapKeyRef={"name": "settings", "key": "K"}),
            "couldn't find key K in ConfigMap shop/settings; it has COLOR, not a name",
        ),
        (of(secretKeyRef={"name": "key", "key": "K"}), "couldn't find key K in Secret shop/key; it has TOKEN"),
        (of(fieldRef={"fieldPath": "spec.nothing"}), "fieldPath 'spec.nothing' is not supported"),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigMissing) as raised:
        values(container)
    assert raised.value.message == message


def test_a_dollar_alone_stays() -> None:
    assert expand("$ $x $$ $()", {}) == "$ $x $ $()"
