"""Which machines images are copied to: from a stack's outputs, before anything is entered."""

from __future__ import annotations

from typing import Any

import pytest

from iacorch.cli.image_load import targets_of, words_of
from iacorch.errors import ConfigError, IacorchError
from iacorch.infra.bootstrap.errors import HostUnreachable, KeyRefused, RemoteFailed

OUTPUTS: dict[str, Any] = {"nodes": {"a": {"address": "10.0.0.1"}, "b": {"address": "10.0.0.2"}}, "ssh_key": "KEY"}


@pytest.mark.parametrize(
    ("only", "hosts"),
    [
        pytest.param([], {"a": "10.0.0.1", "b": "10.0.0.2"}, id="all of them"),
        pytest.param(["b"], {"b": "10.0.0.2"}, id="the named one"),
    ],
)
def test_nodes_come_from_the_outputs(only: list[str], hosts: dict[str, str]) -> None:
    targets = targets_of(OUTPUTS, only)
    assert {name: target.host for name, target in targets.items()} == hosts
    assert {target.private_key for target in targets.values()} == {"KEY"}


def test_a_node_that_is_entered_as_somebody_else_elsewhere_says_so() -> None:
    nodes = {"a": {"address": "10.0.0.1", "user": "admin", "port": 2222.0}, "b": OUTPUTS["nodes"]["b"]}
    target = targets_of({**OUTPUTS, "nodes": nodes}, ["a"])["a"]
    assert target.address == "admin@10.0.0.1:2222"


@pytest.mark.parametrize(
    ("outputs", "only", "said"),
    [
        pytest.param({}, [], "exports no `nodes`", id="a stack before its first up"),
        pytest.param({**OUTPUTS, "ssh_key": None}, [], "exports no `nodes`", id="no key"),
        pytest.param(OUTPUTS, ["c"], "no node c; there are a, b", id="unknown node"),
    ],
)
def test_what_will_not_do_is_said(outputs: dict[str, Any], only: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        targets_of(outputs, only)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            HostUnreachable("10.0.0.1", "ssh: connect: no route"), "does not answer at 10.0.0.1", id="not there"
        ),
        pytest.param(
            RemoteFailed(
                "10.0.0.1", "a command failed: Cannot connect to the Docker daemon at unix:///run/docker.sock"
            ),
            "no Docker Engine that answers",
            id="no engine yet",
        ),
        pytest.param(
            RemoteFailed("10.0.0.1", "a command failed: bash: line 1: docker: command not found"),
            "still being made a node",
            id="not installed yet",
        ),
        pytest.param(KeyRefused("10.0.0.1", "another key"), "another key", id="anything else as it is"),
        pytest.param(RemoteFailed("10.0.0.1", "no space left on device"), "no space left", id="a full disk"),
    ],
)
def test_a_machine_that_is_not_ready_is_said_in_words_of_machines(error: IacorchError, said: str) -> None:
    assert said in words_of(error, "10.0.0.1")
