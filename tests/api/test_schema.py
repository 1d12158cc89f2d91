from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from iacorch.api import catalogue
from iacorch.api.wire import schema, structure
from iacorch.api.wire.structure import type_named
from iacorch.errors import BadRequest
from tests.api import build
from tests.api.generated import values

PREFIX = 'Deployment in version "v1" cannot be handled as a Deployment: '


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ["spec", "replicas"],
            "x",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            ["spec", "replicas"],
            1.0,
            "json: cannot unmarshal number 1.0 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            ["spec", "template", "spec", "containers"],
            {},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers"
            " of type []v1.Container",
        ),
        (
            ["spec", "template", "spec", "containers", 0, "args"],
            [1],
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.args"
            " of type string",
        ),
        (
            ["metadata", "labels"],
            "x",
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            ["spec", "template", "spec", "containers", 0, "resources"],
            {"limits": {"cpu": "1x"}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            ["metadata", "creationTimestamp"],
            "now",
            'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"',
        ),
        (["spec", "foo"], 1, 'strict decoding error: unknown field "spec.foo"'),
        (
            ["spec", "template", "spec", "containers", 0, "imag"],
            1,
            'strict decoding error: unknown field "spec.template.spec.containers[0].imag"',
        ),
    ],
)
def test_the_decoder_complains_like_kubernetes(path: list[Any], value: Any, words: str) -> None:
    obj = build.deployment()
    target: Any = obj
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    with pytest.raises(BadRequest) as caught:
        schema.decode(catalogue.DEPLOYMENT, obj, "Strict")
    assert caught.value.message == PREFIX + words


def test_unknown_fields_are_dropped_with_a_warning_or_in_silence() -> None:
    obj = build.deployment(foo=1)
    warned = schema.decode(catalogue.DEPLOYMENT, obj, "Warn")
    assert warned.warnings == ('unknown field "spec.foo"',)
    assert "foo" not in warned.obj["spec"]
    assert schema.decode(catalogue.DEPLOYMENT, obj, "Ignore").warnings == ()
    assert "foo" in obj["spec"]


def test_null_is_absent() -> None:
    obj = build.deployment(replicas=None)
    obj["metadata"]["creationTimestamp"] = None
    decoded = schema.decode(catalogue.DEPLOYMENT, obj, "Strict")
    assert "replicas" not in decoded.obj["spec"]
    assert "creationTimestamp" not in decoded.obj["metadata"]


def test_missing_fields_are_reported_with_their_paths_but_not_in_status() -> None:
    obj = build.deployment()
    del obj["spec"]["template"]["spec"]["containers"][0]["name"]
    del obj["spec"]["selector"]
    missing = schema.decode(catalogue.DEPLOYMENT, obj).missing
    assert [cause.field for cause in missing] == ["spec.template.spec.containers[0].name", "spec.selector"]
    pod = build.pod() | {"status": {"containerStatuses": [{"name": "c"}]}}
    assert schema.decode(catalogue.POD, pod).missing == ()


def test_what_is_no_object_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="cannot unmarshal array into Go value"):
        schema.decode(catalogue.POD, [])


def test_free_form_content_is_bounded_in_depth() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    pod = build.pod()
    pod["metadata"]["managedFields"] = [{"fieldsV1": deep}]
    with pytest.raises(BadRequest):
        schema.decode(catalogue.POD, pod)
    pod["metadata"]["managedFields"] = [{"fieldsV1": {"f:spec": {"f:x": {}}}}]
    assert schema.decode(catalogue.POD, pod, "Strict").obj == pod


def test_bodies_of_subresources_are_checked_too() -> None:
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": "x"}}
    with pytest.raises(BadRequest, match=r"ScaleSpec\.spec\.replicas of type int32"):
        schema.decode_as("autoscaling/v1", "Scale", scale)
    assert schema.decode_as("v1", "DeleteOptions", {"gracePeriodSeconds": 0}).obj == {"gracePeriodSeconds": 0}


@given(values(type_named("core.v1.Service")) | values(type_named("meta.v1.ObjectMeta")).map(lambda m: {"metadata": m}))
def test_the_compiled_check_and_the_walk_agree(obj: dict[str, Any]) -> None:
    service = type_named("core.v1.Service")
    walk = schema._Walk()
    clean = walk.message(service, obj, "", "")
    fine = not (walk.mistyped or walk.unknown or walk.missing) and clean == obj
    if schema._gate(service.name).is_valid(obj):
        assert fine
    elif not walk.mistyped:
        again = schema._Walk()
        assert again.message(service, clean, "", "") == clean
        assert not again.unknown


def test_every_kind_of_the_catalogue_has_a_structure() -> None:
    for kind in catalogue.builtin():
        assert structure.type_of(kind) is not None, kind
        for sub in kind.subresources:
            if sub.kind not in ("PodAttachOptions", "PodExecOptions", "PodPortForwardOptions"):
                version = f"{sub.group}/{sub.version}" if sub.group else sub.version
                assert structure.type_for(version, sub.kind) is not None, sub
