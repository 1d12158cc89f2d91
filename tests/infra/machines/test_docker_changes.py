"""What differs, and what that means, for the docker provider's resources: no engine needed."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.infra.machines.docker_provider import container_spec
from iacorch.infra.machines.docker_provider.changes import delete_first, differences
from iacorch.infra.machines.docker_provider.container_schema import CONTAINER
from iacorch.infra.machines.docker_provider.schema import DEFAULTS_KEY, NETWORK, failures
from iacorch.infra.machines.docker_provider.wire import UNKNOWN

BASE: dict[str, Any] = {"image": "i:1", "name": "box", "envs": ["A=1", "B=2"]}


def row(id: str, *, was: dict[str, Any], wanted: dict[str, Any], state: dict[str, Any], expect: dict[str, bool]) -> Any:
    return pytest.param({**BASE, **was}, {**BASE, **wanted}, {**BASE, **was, **state}, expect, id=id)


@pytest.mark.parametrize(
    ("was", "wanted", "state", "expect"),
    [
        row("nothing", was={}, wanted={}, state={}, expect={}),
        row("order of a set means nothing", was={}, wanted={"envs": ["B=2", "A=1"]}, state={}, expect={}),
        row("order of a command means much", was={"command": ["a", "b"]}, wanted={"command": ["b", "a"]}, state={},
            expect={"command": True}),
        row("a default spelled out", was={}, wanted={"restart": "no", "mustRun": True}, state={}, expect={}),
        row("empty and absent are one", was={}, wanted={"ports": [], "tmpfs": {}}, state={}, expect={}),
        row("image replaces", was={}, wanted={"image": "i:2"}, state={}, expect={"image": True}),
        row("memory in place", was={}, wanted={"memory": 64}, state={}, expect={"memory": False}),
        row("memory back to unlimited replaces", was={"memory": 64}, wanted={}, state={}, expect={"memory": True}),
        row("unknown is a change", was={}, wanted={"image": UNKNOWN}, state={}, expect={"image": True}),
        row("stopped behind our back", was={}, wanted={}, state={"mustRun": False}, expect={"mustRun": False}),
        row("renamed behind our back", was={}, wanted={}, state={"name": "other"}, expect={"name": True}),
        row("computed only", was={}, wanted={}, state={"networkDatas": [{"ipAddress": "10.0.0.9"}]}, expect={}),
    ],
)  # fmt: skip
def test_container_differences(
    was: dict[str, Any], wanted: dict[str, Any], state: dict[str, Any], expect: dict[str, bool]
) -> None:
    found = differences(CONTAINER, old_inputs=was, state=state, inputs=wanted)
    assert {difference.name: difference.replaces for difference in found} == expect


def test_ignored_properties_do_not_differ() -> None:
    assert not differences(CONTAINER, old_inputs=BASE, state=BASE, inputs={**BASE, "image": "i:2"}, ignore=["image"])


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param({DEFAULTS_KEY: []}, True, id="a fixed name cannot exist twice"),
        pytest.param({DEFAULTS_KEY: ["name"]}, False, id="a chosen name is chosen anew"),
        pytest.param({DEFAULTS_KEY: [], "name": "new"}, False, id="a new name is free"),
    ],
)
def test_replacing_deletes_first_only_where_the_name_is_in_the_way(inputs: dict[str, Any], expected: bool) -> None:
    wanted = {**BASE, "image": "i:2", **inputs}
    found = differences(CONTAINER, old_inputs=BASE, state=BASE, inputs=wanted)
    assert delete_first(CONTAINER, wanted, found) is expected


@pytest.mark.parametrize(
    ("inputs", "at"),
    [
        pytest.param({}, "image", id="required"),
        pytest.param({"image": "i", "gpus": "all"}, "gpus", id="unknown property"),
        pytest.param({"image": "i", "ports": [{"internal": 1, "extern": 2}]}, "ports[0].extern", id="unknown inside"),
        pytest.param({"image": "i", "ports": [{"internal": "http"}]}, "ports[0].internal", id="wrong kind"),
        pytest.param({"image": "i", "restart": "often"}, "restart", id="not one of the words"),
        pytest.param({"image": "i", "memory": True}, "memory", id="true is no number"),
        pytest.param({"image": "i", "tmpfs": {"/run": 1}}, "tmpfs", id="map of strings"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(inputs: dict[str, Any], at: str) -> None:
    assert [path for path, _ in failures(CONTAINER, inputs)] == [at]


def test_unknown_values_pass_the_check() -> None:
    assert not list(failures(CONTAINER, {"image": UNKNOWN, "ports": UNKNOWN, "memory": UNKNOWN}))


def test_every_network_input_replaces() -> None:
    assert all(prop.replaces for prop in NETWORK.inputs.values())


def test_sizes_and_durations_are_translated() -> None:
    inputs = {"image": "i", "memory": 64, "healthcheck": {"tests": ["CMD", "true"], "interval": "1m30s"}}
    body = container_spec.create_body(inputs, labels={})
    assert body["HostConfig"]["Memory"] == 64 * 1024 * 1024
    assert body["Healthcheck"]["Interval"] == 90 * 10**9


def test_open_system_paths_become_empty_lists() -> None:
    options = ["seccomp=unconfined", "systempaths=unconfined"]
    host = container_spec.create_body({"image": "i", "securityOpts": options}, labels={})["HostConfig"]
    assert (host["SecurityOpt"], host["MaskedPaths"], host["ReadonlyPaths"]) == (["seccomp=unconfined"], [], [])
