"""Which machines images are copied to: from a stack's state, before anything is entered."""

from __future__ import annotations

import pytest

from iacorch.cli.image_load import targets_of, words_of
from iacorch.drift.fleet import Fleet, Host
from iacorch.drift.model import Place
from iacorch.errors import ConfigError, IacorchError
from iacorch.infra.bootstrap.errors import HostUnreachable, KeyRefused, RemoteFailed
from iacorch.infra.bootstrap.plan import ControlPlaneConfig, NodeConfig
from iacorch.infra.bootstrap.ssh import SshTarget


def host(name: str, address: str, *, node: bool = True) -> Host:
    config: NodeConfig | ControlPlaneConfig = (
        NodeConfig(name, server="https://10.0.0.9:6443", ca_cert="CA", join_token="t", owner="o")
        if node
        else ControlPlaneConfig("10.0.0.9:6443", join_token="t", owner="o")
    )
    target = SshTarget(address, user="admin", port=2222, private_key="KEY")
    return Host(name, target, config, "bundle", Place("dev", name))


FLEET = Fleet((host("cp", "10.0.0.9", node=False), host("a", "10.0.0.1"), host("b", "10.0.0.2")))


@pytest.mark.parametrize(
    ("only", "hosts"),
    [
        pytest.param(
            [], {"a": "admin@10.0.0.1:2222", "b": "admin@10.0.0.2:2222"}, id="all nodes, not the control plane"
        ),
        pytest.param(["b"], {"b": "admin@10.0.0.2:2222"}, id="the named one"),
    ],
)
def test_nodes_come_from_the_stacks_state(only: list[str], hosts: dict[str, str]) -> None:
    targets = targets_of(FLEET, only)
    assert {name: target.address for name, target in targets.items()} == hosts


@pytest.mark.parametrize(
    ("fleet", "only", "said"),
    [
        pytest.param(Fleet(), [], "has no nodes", id="a stack before its first up"),
        pytest.param(FLEET, ["c"], "no node c; there are a, b", id="unknown node"),
        pytest.param(FLEET, ["cp"], "no node cp", id="the control plane runs no containers"),
    ],
)
def test_what_will_not_do_is_said(fleet: Fleet, only: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        targets_of(fleet, only)


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
