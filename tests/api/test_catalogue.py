from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from iacorch.api import catalogue
from iacorch.errors import NotFound


def test_the_lookups_agree_for_every_kind() -> None:
    kinds = catalogue.builtin()
    for row in kinds:
        assert kinds.by_resource(*row.gvr) is row
        assert kinds.by_kind(row.api_version, row.kind) is row
        assert row.singular == row.kind.lower()


def test_paths() -> None:
    assert catalogue.POD.path("default", "web", "log") == "/api/v1/namespaces/default/pods/web/log"
    assert catalogue.DEPLOYMENT.path() == "/apis/apps/v1/deployments"
    assert catalogue.NODE.path("ignored", "n1") == "/api/v1/nodes/n1"


def test_both_events_are_kept_in_one_place() -> None:
    newer = catalogue.kind("Event", "events.k8s.io/v1")
    assert newer.stored_as == catalogue.EVENT.stored_as
    assert newer not in catalogue.builtin().stored()
    assert catalogue.EVENT in catalogue.builtin().stored()


def test_scale_and_eviction_have_bodies_of_another_kind() -> None:
    scale = catalogue.DEPLOYMENT.subresource("scale")
    eviction = catalogue.POD.subresource("eviction")
    assert scale is not None
    assert (scale.group, scale.version, scale.kind) == ("autoscaling", "v1", "Scale")
    assert eviction is not None
    assert (eviction.group, eviction.kind) == ("policy", "Eviction")


def test_kinds_can_be_added_replaced_and_removed_at_run_time() -> None:
    widget = replace(catalogue.CONFIG_MAP, group="example.com", kind="Widget", plural="widgets", singular="widget")
    more = catalogue.builtin().with_kinds([widget])
    assert more.get("Widget", "example.com/v1").qualified == "Widget.example.com"
    assert ("example.com", "v1") in more.group_versions()
    assert list(more.without([widget.gvr])) == list(catalogue.builtin())


def test_an_unknown_kind_is_not_found() -> None:
    with pytest.raises(NotFound, match='no matches for kind "Nope"'):
        catalogue.kind("Nope")


@pytest.mark.skipif(
    "IACORCH_API_MODELS" not in os.environ, reason="needs the development inputs of scripts/generate_api.py"
)
def test_generating_the_data_again_changes_nothing() -> None:
    root = Path(catalogue.__file__).parents[2]
    command = [sys.executable, str(root / "scripts" / "generate_api.py"), "--check"]
    command += ["--models", os.environ["IACORCH_API_MODELS"]]
    command += ["--field-numbers", os.environ["IACORCH_API_FIELD_NUMBERS"]]
    subprocess.run(command, check=True)
