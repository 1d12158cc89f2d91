"""Copies of one template are answered alike, and share nothing that anybody could change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from iacorch.api.catalogue import POD
from iacorch.api.defaults import with_defaults
from iacorch.api.templates import once_a_template
from iacorch.api.validate import create
from iacorch.kit import limits


def pod(image: str) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "default"}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "main", "image": image}]}}


def test_a_function_is_asked_once_for_equal_specs() -> None:
    asked: list[bytes] = []

    @once_a_template
    def size(text: bytes) -> int:
        asked.append(text)
        return len(text)

    spec: Mapping[str, Any] = {"containers": []}
    assert size(spec) == size(dict(spec)) == len(orjson.dumps(spec))
    assert len(asked) == 1


def test_huge_specs_are_not_remembered() -> None:
    asked: list[int] = []

    @once_a_template
    def size(text: bytes) -> int:
        asked.append(len(text))
        return len(text)

    huge = {"hostname": "x" * limits.TEMPLATE_BYTES}
    assert size(huge) == size(huge)
    assert len(asked) == 2


def test_a_copy_may_be_changed_without_changing_the_next_one() -> None:
    first = with_defaults(POD, pod("app:1"))
    first["spec"]["containers"][0]["image"] = "changed"
    assert with_defaults(POD, pod("app:1"))["spec"]["containers"][0]["image"] == "app:1"


def test_what_is_wrong_is_said_each_time() -> None:
    wrong = with_defaults(POD, pod(""))
    assert [cause.field for cause in create(POD, wrong)] == ["spec.containers[0].image"]
    assert create(POD, wrong) == create(POD, wrong)


def test_a_right_copy_does_not_hide_what_is_wrong_with_the_next_ones_metadata() -> None:
    right = with_defaults(POD, pod("app:2"))
    assert not create(POD, right)
    badly_named = {**right, "metadata": {"name": "Bad_Name", "namespace": "default"}}
    assert [cause.field for cause in create(POD, badly_named)] == ["metadata.name"]
