from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.api.wire import protobuf
from iacorch.api.wire.structure import Field, Type, kinds, type_named
from iacorch.errors import BadRequest
from tests.api import build
from tests.api.protobuf_encoder import encode

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(min_size=1, max_size=4),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "byte": st.just("YQ=="),
    "time": st.sampled_from(["2026-01-02T03:04:05Z", "1960-01-01T00:00:00Z"]),
    "microtime": st.sampled_from(["2026-01-02T03:04:05.000006Z", "1960-01-01T00:00:00.500000Z"]),
    "quantity": st.sampled_from(["1", "100m", "2Gi"]),
    "intstr": st.sampled_from(["50%", "", 3, 0, -1]),
    "any": st.sampled_from([{}, {"f:a": {}}]),
}


def objects(type_: Type, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    inlined = {name for inner in type_.inline.values() for name in type_named(inner).fields}
    fields = [field for field in type_.fields.values() if field.number or field.name in inlined]
    return (
        st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda field: field.name).flatmap(
            lambda chosen: st.fixed_dictionaries({field.name: values(field, depth) for field in chosen})
        )
        if fields
        else st.just({})
    )


def values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.is_scalar:
        one = SCALARS[field.type]
        if field.zero_is_absent and not field.shape:
            one = one.filter(bool)
    else:
        one = st.just({}) if depth > 3 else objects(type_named(field.type), depth + 1)
    match field.shape:
        case "[]":
            return st.lists(one, min_size=1, max_size=2)
        case "{}":
            return st.dictionaries(st.text(max_size=2), one, min_size=1, max_size=2)
        case "{}[]":
            return st.dictionaries(
                st.text(max_size=2), st.lists(st.text(max_size=2), max_size=2), min_size=1, max_size=2
            )
        case _:
            return one


@given(
    st.sampled_from(sorted(kinds().items())).flatmap(
        lambda entry: st.tuples(st.just(entry[0]), objects(type_named(entry[1])))
    )
)
def test_what_was_written_is_read(entry: tuple[str, dict[str, Any]]) -> None:
    version, _, kind = entry[0].rpartition("/")
    obj = entry[1] | {"apiVersion": version, "kind": kind}
    assert protobuf.decode(encode(obj)) == obj


def test_an_int_or_string_with_nothing_in_it_is_told_as_it_is() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": ""}]}}
    assert protobuf.decode(encode(service)) == service


def test_zeros_that_go_always_writes_are_left_out_and_meant_zeros_are_kept() -> None:
    obj = build.deployment(replicas=0, minReadySeconds=0, paused=False)
    spec = protobuf.decode(encode(obj))["spec"]
    assert spec["replicas"] == 0
    assert "minReadySeconds" not in spec
    assert "paused" not in spec
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Foreground"}
    assert protobuf.decode(encode(options)) == options


def test_a_flattened_message_lands_in_its_parent() -> None:
    obj = build.pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x"}}])
    obj["spec"]["containers"][0]["livenessProbe"] = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5}
    assert protobuf.decode(encode(obj)) == obj


WHOLE = encode(build.deployment())


@given(st.integers(0, len(WHOLE)), st.binary(max_size=6))
def test_damaged_bytes_are_read_or_refused(at: int, noise: bytes) -> None:
    for body in (WHOLE[:at], WHOLE[:at] + noise + WHOLE[at:], WHOLE[:at] + noise + WHOLE[at + len(noise) :]):
        try:
            protobuf.decode(body)
        except BadRequest:
            continue


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for body in (noise, protobuf.MAGIC + noise, WHOLE[:-9] + noise):
        try:
            protobuf.decode(body)
        except BadRequest:
            continue


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00",
        b"k8s\x00\x0a\xff\xff\xff\xff\x0f",
        b"k8s\x00" + b"\xff" * 12,
        b"k8s\x00\x0b",
    ],
)
def test_what_is_no_body_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(body)


def test_the_number_of_values_is_bounded() -> None:
    many = b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + b"\x80\x89\x7a" + b"\x0a\x00" * 1_000_000
    with pytest.raises(BadRequest, match="too many values"):
        protobuf.decode(many)
