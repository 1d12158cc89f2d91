"""What follows from a specification alone: checks, defaults, differences."""

from typing import Any

import pytest

from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import Change, Difference, check, differences, fill
from iacorch.infra.provider.resources.node import SPEC
from iacorch.infra.provider.resources.virtual_machine_spec import SPEC as VIRTUAL_MACHINE

INPUTS: dict[str, Any] = {
    "nodeName": "w1",
    "connection": {"host": "10.0.0.5", "privateKey": "k"},
    "server": "https://10.0.0.1:6443",
    "caCert": "CA",
    "joinToken": "t",
    "kubeconfig": "kc",
}


@pytest.mark.parametrize(
    ("changed", "path", "reason"),
    [
        pytest.param({"sever": "x"}, "sever", "no such property", id="mistyped name"),
        pytest.param({"connection": {"host": "a"}}, "connection.privateKey", "is required", id="missing inside"),
        pytest.param({"connection": "a"}, "connection", "expected an object, found str", id="wrong type"),
        pytest.param(
            {"connection": {"host": "a", "privateKey": "k", "port": "22"}}, "connection.port", "whole", id="n"
        ),
        pytest.param({"labels": {"a": 1}}, "labels", "a map of strings", id="map"),
        pytest.param({"taints": "a"}, "taints", "a list of strings", id="list"),
        pytest.param({"server": ""}, "server", "is required", id="empty is missing"),
    ],
)
def test_bad_inputs_are_named_by_path(changed: dict[str, Any], path: str, reason: str) -> None:
    (failure,) = check(SPEC.inputs, {**INPUTS, **changed})
    assert failure.path == path
    assert reason in failure.reason


@pytest.mark.parametrize(
    ("changed", "path", "reason"),
    [
        pytest.param({"settings": "eu"}, "settings", "expected an object, found str", id="settings"),
        pytest.param({"dataDisksGib": 10}, "dataDisksGib", "a list of whole numbers", id="one disk"),
        pytest.param({"dataDisksGib": ["10"]}, "dataDisksGib", "a list of whole numbers", id="disks as text"),
    ],
)
def test_a_machine_that_is_described_wrongly_is_refused_by_path(
    changed: dict[str, Any], path: str, reason: str
) -> None:
    (failure,) = check(VIRTUAL_MACHINE.inputs, {"driver": "aws", "instanceType": "t3.small", **changed})
    assert (failure.path, reason in failure.reason) == (path, True)


def test_disks_and_settings_that_a_preview_does_not_know_pass() -> None:
    inputs = {"driver": "aws", "instanceType": "t3.small", "settings": UNKNOWN, "dataDisksGib": [10, UNKNOWN]}
    assert not list(check(VIRTUAL_MACHINE.inputs, inputs))


def test_what_a_preview_cannot_know_passes() -> None:
    unknown = {**INPUTS, "server": UNKNOWN, "connection": {"host": UNKNOWN, "privateKey": UNKNOWN}}
    assert list(check(SPEC.inputs, unknown)) == []


def test_defaults_are_filled_in_depth_and_nothing_is_left_out() -> None:
    filled = fill(SPEC.inputs, {**INPUTS, "labels": None})
    assert filled["connection"] == {"host": "10.0.0.5", "privateKey": "k", "port": 22, "user": "root"}
    assert "labels" not in filled


def diff(new: dict[str, Any], state: dict[str, Any] | None = None, ignore: tuple[str, ...] = ()) -> list[Difference]:
    return list(differences(SPEC, old_inputs=INPUTS, state=state or {}, inputs=new, ignore=ignore))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(INPUTS, [], id="nothing"),
        pytest.param(
            {**INPUTS, "connection": {**INPUTS["connection"], "host": "10.0.0.6"}},
            [Difference("connection.host", Change.CHANGED, replaces=True)],
            id="another host replaces",
        ),
        pytest.param(
            {**INPUTS, "connection": {**INPUTS["connection"], "user": "debian"}},
            [Difference("connection.user", Change.CHANGED, replaces=False)],
            id="another user updates",
        ),
        pytest.param(
            {**INPUTS, "connection": {**INPUTS["connection"], "port": 22}}, [], id="a default that is spelled out"
        ),
        pytest.param(
            {**INPUTS, "labels": {"a": "b"}}, [Difference("labels", Change.ADDED, replaces=False)], id="labels update"
        ),
        pytest.param(
            {**INPUTS, "machineId": UNKNOWN}, [Difference("machineId", Change.ADDED, replaces=True)], id="unknown"
        ),
        pytest.param(
            {**INPUTS, "joinToken": "B"}, [Difference("joinToken", Change.CHANGED, replaces=True)], id="another cluster"
        ),
        pytest.param({**INPUTS, "caCert": "B"}, [Difference("caCert", Change.CHANGED, replaces=False)], id="a new CA"),
    ],
)
def test_differences_name_the_input_and_whether_it_replaces(new: dict[str, Any], expected: list[Difference]) -> None:
    assert diff(new) == expected


def test_ignored_changes_are_no_differences() -> None:
    assert diff({**INPUTS, "connection": {**INPUTS["connection"], "host": "b"}}, ignore=("connection",)) == []


def test_a_resource_that_is_not_well_asks_for_an_update() -> None:
    state = {"reachable": True, "serviceActive": False, "ready": True}
    assert diff(INPUTS, state) == [Difference("serviceActive", Change.CHANGED, replaces=False, input=False)]
