from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from iacorch.api import catalogue, defaults, strategy, validate
from iacorch.api.catalogue import CONFIG_MAP, DEPLOYMENT, ENDPOINT_SLICE, NODE, POD, SECRET, SERVICE, Kind
from iacorch.api.wire import schema
from iacorch.errors import Invalid
from tests.api import build

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Change = Callable[[dict[str, Any]], None]


def stored(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    decoded = schema.decode(kind, obj, "Strict")
    return strategy.prepare_create(kind, defaults.with_defaults(kind, decoded.obj), uid="u1", now=NOW)


def complaints(kind: Kind, obj: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate.create(kind, stored(kind, obj))]


def update_complaints(kind: Kind, obj: dict[str, Any], change: Change) -> list[str]:
    old = stored(kind, obj)
    new = stored(kind, obj)
    change(new)
    prepared = strategy.prepare_update(kind, old, defaults.with_defaults(kind, new))
    return [f"{cause.field}: {cause.message}" for cause in validate.update(kind, prepared, old)]


def container(**more: Any) -> dict[str, Any]:
    return build.pod(containers=[{"name": "c", "image": "nginx:1", **more}])


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        (POD, build.pod()),
        (DEPLOYMENT, build.deployment()),
        (SERVICE, build.service()),
        (SERVICE, build.service(clusterIP="None", ports=[])),
        (SERVICE, build.service(type="ExternalName", externalName="example.com", ports=[])),
        (NODE, {"metadata": {"name": "n1"}}),
        (catalogue.NAMESPACE, {"metadata": {"name": "n1"}}),
        (CONFIG_MAP, {"metadata": {"name": "c", "namespace": "d"}, "data": {"a.conf": "x"}}),
        (catalogue.LEASE, {"metadata": {"name": "l", "namespace": "d"}, "spec": {"leaseDurationSeconds": 9}}),
    ],
)
def test_what_is_right_has_no_complaint(kind: Kind, obj: dict[str, Any]) -> None:
    assert complaints(kind, obj) == []


TERM = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
CPU = {"resource": "limits.cpu"}
SELECTOR_WORDS = "`selector` does not match template `labels`"


@pytest.mark.parametrize(
    ("kind", "obj", "complaint"),
    [
        pytest.param(
            DEPLOYMENT,
            build.deployment(replicas=-1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            id="negative replicas",
        ),
        pytest.param(
            DEPLOYMENT,
            build.deployment(selector={"matchLabels": {"app": "other"}}),
            f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {SELECTOR_WORDS}',
            id="selector of others",
        ),
        pytest.param(
            DEPLOYMENT,
            build.deployment(selector=None),
            f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {SELECTOR_WORDS}',
            id="no selector",
        ),
        pytest.param(
            CONFIG_MAP,
            {"metadata": {"name": "c", "namespace": "d"}, "data": {"a": "x" * (2**20 + 1)}},
            "[]: Too long: may not be more than 1048576 bytes",
            id="too much data",
        ),
        pytest.param(
            DEPLOYMENT,
            build.deployment(strategy={"type": "Recreate", "rollingUpdate": {}}),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            id="rolling recreate",
        ),
        pytest.param(
            DEPLOYMENT,
            build.deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
            id="no room to roll",
        ),
        pytest.param(POD, build.pod(containers=[]), "spec.containers: Required value", id="no containers"),
        pytest.param(
            POD,
            build.pod(terminationGracePeriodSeconds=2**31),
            "spec.terminationGracePeriodSeconds: Invalid value: 2147483648: must be less than or equal to 2147483647",
            id="grace without end",
        ),
        pytest.param(
            POD,
            build.pod(dnsConfig={"options": [{"value": "x"}]}),
            "spec.dnsConfig.options[0]: Required value: must not be empty",
            id="resolver option without a name",
        ),
        pytest.param(
            POD,
            build.pod(dnsConfig={"options": [{"name": "a", "value": "1\nnameserver 192.0.2.1"}]}),
            'spec.dnsConfig.options[0].value: Invalid value: "1\\nnameserver 192.0.2.1": must not contain white space',
            id="resolver option that is two lines",
        ),
        pytest.param(
            POD,
            build.pod(hostAliases=[{"ip": "10.0.0.300", "hostnames": ["a"]}]),
            'spec.hostAliases[0].ip: Invalid value: "10.0.0.300": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)",
            id="alias of no address",
        ),
        pytest.param(
            POD,
            build.pod(volumes=[{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]),
            "spec.volumes[0].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
            id="downward item of nothing",
        ),
        pytest.param(
            POD,
            build.pod(
                volumes=[
                    {
                        "name": "v",
                        "downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]},
                    }
                ]
            ),
            "spec.volumes[0].downwardAPI.items[0].resourceFieldRef.containerName: Required value",
            id="downward amount of no container",
        ),
        pytest.param(
            POD,
            build.pod(initContainers=[{"name": "i", "image": "a:1", "restartPolicy": "Foo"}]),
            'spec.initContainers[0].restartPolicy: Unsupported value: "Foo": supported values: "Always"',
            id="init container that restarts as nobody knows",
        ),
        pytest.param(
            POD,
            container(securityContext={"runAsUser": -5}),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -5: must be between 0 and 2147483647, "
            "inclusive",
            id="negative user",
        ),
        pytest.param(
            POD,
            container(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "foo"}}}]),
            'spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "foo": supported '
            'values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", '
            '"requests.ephemeral-storage", "requests.memory"',
            id="amount of what is none",
        ),
        pytest.param(
            POD,
            build.pod(affinity=build.node_affinity({"matchFields": [{"key": "metadata.name", "operator": "Foo"}]})),
            f'{TERM}.matchFields[0].operator: Invalid value: "Foo": not a valid selector operator',
            id="node field with an operator that is none",
        ),
        pytest.param(
            POD,
            build.pod(
                affinity=build.node_affinity({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]})
            ),
            f'{TERM}.matchExpressions[0].values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
            id="greater than a word",
        ),
        pytest.param(
            ENDPOINT_SLICE,
            build.endpoint_slice("::1"),
            'endpoints[0].addresses[0]: Invalid value: "::1": must be a valid IPv4 address',
            id="endpoint of another family",
        ),
        pytest.param(
            ENDPOINT_SLICE,
            build.endpoint_slice("127.0.0.1"),
            'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
            "(127.0.0.0/8, ::1/128)",
            id="endpoint that is everybody's own",
        ),
        pytest.param(
            POD,
            build.pod(restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
            id="restart policy",
        ),
        pytest.param(
            POD,
            build.pod(containers=[{"name": "c", "image": "a:1"}, {"name": "c", "image": "b:1"}]),
            'spec.containers[1].name: Duplicate value: "c"',
            id="twice the same name",
        ),
        pytest.param(
            POD, build.pod(containers=[{"name": "c"}]), "spec.containers[0].image: Required value", id="no image"
        ),
        pytest.param(
            POD,
            container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
            id="mount of nothing",
        ),
        pytest.param(
            POD,
            container(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="port out of range",
        ),
        pytest.param(
            POD,
            container(ports=[{"containerPort": 80, "hostPort": 80, "hostIP": "::1"}]),
            'spec.containers[0].ports[0].hostIP: Invalid value: "::1": must be a valid IPv4 address, (e.g. 10.9.8.7): '
            "pods have IPv4 only here",
            id="host port at what is no address",
        ),
        pytest.param(
            POD,
            container(ports=[{"containerPort": 80, "hostPort": 80, "protocol": "SCTP"}]),
            "spec.containers[0].ports[0].hostPort: Invalid value: 80: SCTP is not led from a node to a pod here",
            id="host port of a protocol that is not led",
        ),
        pytest.param(
            POD,
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="asks for more than its limit",
        ),
        pytest.param(
            POD,
            container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
            id="two sources of a variable",
        ),
        pytest.param(
            POD,
            container(livenessProbe={}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            id="probe of nothing",
        ),
        pytest.param(
            POD,
            build.pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            id="two sources of a volume",
        ),
        pytest.param(
            POD,
            build.pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
            "spec.tolerations[0].operator: Invalid value: \"Exists\": value must be empty when `operator` is 'Exists'",
            id="toleration",
        ),
        pytest.param(
            SERVICE,
            build.service(ports=[{"port": 80}, {"port": 81}]),
            "spec.ports[0].name: Required value",
            id="several ports want names",
        ),
        pytest.param(SERVICE, build.service(ports=[]), "spec.ports: Required value", id="no ports"),
        pytest.param(
            SERVICE,
            build.service(externalTrafficPolicy="Local"),
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
            id="traffic policy without a way in",
        ),
        pytest.param(
            SERVICE,
            build.service(type="LoadBalancer", loadBalancerSourceRanges=["ten"]),
            'spec.loadBalancerSourceRanges[0]: Invalid value: "ten": must be a valid CIDR value, '
            "(e.g. 10.9.8.0/24 or 2001:db8::/64)",
            id="source range",
        ),
        pytest.param(
            SERVICE,
            build.service(ports=[{"port": 80, "nodePort": 30000}]),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            id="node port of a cluster IP",
        ),
        pytest.param(
            ENDPOINT_SLICE,
            {"metadata": {"name": "e", "namespace": "d"}, "addressType": "IPv4", "endpoints": [{"addresses": ["x"]}]},
            'endpoints[0].addresses[0]: Invalid value: "x": must be a valid IPv4 address',
            id="no address",
        ),
        pytest.param(
            SECRET,
            {"metadata": {"name": "s", "namespace": "d"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            "data[tls.key]: Required value",
            id="half a certificate",
        ),
        pytest.param(
            NODE,
            {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Never"}]}},
            'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule",'
            ' "PreferNoSchedule"',
            id="taint",
        ),
    ],
)
def test_what_is_wrong_is_said_as_kubernetes_says_it(kind: Kind, obj: dict[str, Any], complaint: str) -> None:
    assert complaint in complaints(kind, obj)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"name": "Upper"}, "metadata.name"),
        ({"name": "a" * 254}, "metadata.name"),
        ({"name": ""}, "metadata.name"),
        ({"name": "a", "generateName": "-a"}, "metadata.generateName"),
        ({"name": "a", "labels": {"a": "b c"}}, "metadata.labels"),
        ({"name": "a", "labels": {"/a": "b"}}, "metadata.labels"),
        ({"name": "a", "annotations": {"a": "x" * 300_000}}, "metadata.annotations"),
        ({"name": "a", "finalizers": ["mine"]}, "metadata.finalizers[0]"),
        (
            {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "", "uid": "u"}]},
            "metadata.ownerReferences[0].name",
        ),
    ],
)
def test_metadata(metadata: dict[str, Any], field: str) -> None:
    obj = {"metadata": {"namespace": "default", **metadata}}
    assert field in [cause.field for cause in validate.create(CONFIG_MAP, obj)]


def set_image(obj: dict[str, Any]) -> None:
    obj["spec"]["containers"][0]["image"] = "nginx:2"


def set_args(obj: dict[str, Any]) -> None:
    obj["spec"]["containers"][0]["args"] = ["x"]


def set_selector(obj: dict[str, Any]) -> None:
    obj["spec"]["selector"] = {"matchLabels": {"app": "x"}}


def set_data(obj: dict[str, Any]) -> None:
    obj["data"] = {"a": "c"}


def set_type(obj: dict[str, Any]) -> None:
    obj["type"] = "other"


def set_label(obj: dict[str, Any]) -> None:
    obj["metadata"]["labels"] = {"a": "b"}


def set_cluster_ip(obj: dict[str, Any]) -> None:
    obj["spec"]["clusterIP"] = "10.96.0.9"


FIXED = {"metadata": {"name": "c", "namespace": "d"}, "data": {"a": "b"}, "immutable": True}
OPAQUE = {"metadata": {"name": "s", "namespace": "d"}}


@pytest.mark.parametrize(
    ("kind", "obj", "change", "fields"),
    [
        (POD, build.pod(), set_image, []),
        (POD, build.pod(), set_args, ["spec"]),
        (POD, build.pod(), set_label, []),
        (DEPLOYMENT, build.deployment(), set_selector, ["spec.template.metadata.labels", "spec.selector"]),
        (CONFIG_MAP, FIXED, set_data, ["data"]),
        (SECRET, OPAQUE, set_type, ["type"]),
        (SERVICE, build.service(clusterIP="10.96.0.1"), set_cluster_ip, ["spec.clusterIP"]),
    ],
)
def test_what_may_change(kind: Kind, obj: dict[str, Any], change: Change, fields: list[str]) -> None:
    assert [complaint.split(":")[0] for complaint in update_complaints(kind, obj, change)] == fields


def test_an_ended_pod_does_not_begin_again() -> None:
    old = build.pod() | {"status": {"phase": "Failed"}}
    new = build.pod() | {"status": {"phase": "Running"}}
    assert [cause.field for cause in validate.update(POD, new, old, subresource="status")] == ["status.phase"]


def test_a_dying_object_gains_no_finalizer() -> None:
    old = stored(CONFIG_MAP, OPAQUE)
    old["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    new = {**old, "metadata": {**old["metadata"], "finalizers": ["a/b"]}}
    assert [cause.field for cause in validate.update(CONFIG_MAP, new, old)] == ["metadata.finalizers"]


def test_one_error_carries_every_cause() -> None:
    obj = build.deployment(replicas=-1, minReadySeconds=-2)
    with pytest.raises(Invalid) as caught:
        validate.raise_for(DEPLOYMENT, "web", validate.create(DEPLOYMENT, stored(DEPLOYMENT, obj)))
    status = caught.value.status()
    assert status["message"] == (
        'Deployment.apps "web" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, '
        "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0]"
    )
    assert [cause["field"] for cause in status["details"]["causes"]] == ["spec.replicas", "spec.minReadySeconds"]
    validate.raise_for(DEPLOYMENT, "web", [])
