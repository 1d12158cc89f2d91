"""The pure decisions of each resource."""

import asyncio
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.errors import ConfigError, EngineError
from iacorch.infra.bootstrap.ansible.runner import Progress
from iacorch.infra.bootstrap.facts import Facts, Installation
from iacorch.infra.bootstrap.plan import AGENT_UNIT, CONTROL_PLANE_UNIT
from iacorch.infra.bootstrap.ssh import SshTarget
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import differences
from iacorch.infra.provider.resource import HalfMade, Request, Resource, token_of
from iacorch.infra.provider.resources.control_plane import ControlPlanes, reached_at
from iacorch.infra.provider.resources.machine import Look, Machines, telling
from iacorch.infra.provider.resources.node import Nodes
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.virtual import run_virtual

URN = "urn:pulumi:dev::shop::iacorch:index:Node::Worker-1"
NODES = Nodes(Machines(SystemClock()))
SERVERS = ControlPlanes(Machines(SystemClock()), SeededIds(1))


def test_a_token_is_the_same_for_every_try() -> None:
    assert token_of(URN) == token_of(URN) != token_of(URN + "x")


def test_what_is_told_of_a_playbook_is_what_was_done_and_what_takes_long() -> None:
    said: list[str] = []

    async def play() -> None:
        tell = telling(said.append)
        tell(Progress("a", "Bring the packages of the air-gapped bundle", "started"))
        await asyncio.sleep(0.5)
        tell(Progress("a", "Bring the packages of the air-gapped bundle", "skipped"))
        tell(Progress("a", "Install the Docker Engine", "started"))
        await asyncio.sleep(60)
        tell(Progress("a", "Install the Docker Engine", "changed", 60.0))

    run_virtual(play())
    assert said == ["a: Install the Docker Engine", "a: Install the Docker Engine: changed (60.0 s)"]


@pytest.mark.parametrize(
    ("whole", "wait"),
    [
        pytest.param(limits.CREATE_SECONDS, 120.0, id="the usual time"),
        pytest.param(limits.CREATE_SECONDS * 6, 720.0, id="six times the time is six times the patience"),
        pytest.param(limits.CREATE_SECONDS / 2, 120.0, id="half of it is enough for one wait"),
        pytest.param(60.0, 60.0, id="never longer than the whole"),
    ],
)
def test_a_slow_machine_is_waited_for_as_long_as_its_program_says(whole: float, wait: float) -> None:
    assert Request("urn", whole, lambda line: None).patience(120.0) == wait


def test_a_node_is_named_after_its_resource() -> None:
    assert NODES.complete({}, urn=URN)["nodeName"] == "worker-1"
    assert NODES.complete({"nodeName": "a"}, urn=URN)["nodeName"] == "a"


def test_another_build_of_iacorch_is_an_update_of_what_runs_it() -> None:
    newer = Nodes(Machines(SystemClock(), release="0.2.0+abc"))
    inputs = {**newer.complete({}, urn=URN), "connection": {}}
    (difference,) = differences(NODES.spec, old_inputs={**inputs, "release": "0.1.0+def"}, state={}, inputs=inputs)
    assert (difference.path, difference.replaces) == ("release", False)


@pytest.mark.parametrize(
    ("inputs", "paths"),
    [
        ({"nodeName": "a"}, []),
        ({"nodeName": UNKNOWN}, []),
        ({"nodeName": "A_b"}, ["nodeName"]),
        ({"nodeName": "a" * 254}, ["nodeName"]),
        ({"nodeName": "a", "taints": ["gpu=yes:NoSchedule", "x:NoExecute", "bad"]}, ["taints[2]"]),
    ],
)
def test_nodes_check_names_and_taints(inputs: dict[str, Any], paths: list[str]) -> None:
    assert [failure.path for failure in NODES.check(inputs)] == paths


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ({"nodeName": "a", "connection": 1}, {"nodeName": "a", "connection": 2}, True),
        ({"nodeName": "a", "connection": 1}, {"nodeName": "b", "connection": 1}, True),
        ({"nodeName": "a", "connection": 1}, {"nodeName": "b", "connection": 2}, False),
    ],
)
def test_a_node_goes_first_when_name_or_machine_is_used_again(
    old: dict[str, Any], new: dict[str, Any], first: bool
) -> None:
    assert NODES.delete_first(old, new, ()) is first


class Seen(Machines):
    """Machines of which one thing is known: what is installed on them, or that they do not answer."""

    def __init__(self, owners: dict[str, str] | None) -> None:
        super().__init__(SystemClock())
        self._owners = owners

    async def look(self, target: SshTarget, script: str = "") -> Look:
        if self._owners is None:
            return Look(None, "no route to h")
        return Look(Facts(installation=Installation(owners=self._owners)))


def finders(owners: dict[str, str] | None) -> list[Resource]:
    return [Nodes(Seen(owners)), ControlPlanes(Seen(owners), SeededIds(1))]


CONNECTED = {"nodeName": "a", "connection": {"host": "h", "privateKey": ""}, "advertise": "h:1", "endpoint": "h:1"}
REQUEST = Request(URN, 30.0, lambda line: None)


async def test_what_a_create_left_on_a_machine_is_found_half_made_and_keeps_its_id() -> None:
    ours = {AGENT_UNIT: token_of(URN), CONTROL_PLANE_UNIT: token_of(URN)}
    for resource in finders(ours):
        with pytest.raises(HalfMade, match="cut short") as caught:
            await resource.find(REQUEST, CONNECTED)
        assert caught.value.made.id == _id_of(resource)


def _id_of(resource: Resource) -> str:
    return f"a.{token_of(URN)}" if isinstance(resource, Nodes) else token_of(URN)


@pytest.mark.parametrize("owners", [{}, {AGENT_UNIT: "other", CONTROL_PLANE_UNIT: "other"}])
async def test_a_machine_without_anything_of_ours_has_nothing_to_find(owners: dict[str, str]) -> None:
    for resource in finders(owners):
        assert await resource.find(REQUEST, CONNECTED) is None


async def test_a_machine_that_does_not_answer_is_no_proof_that_nothing_was_begun() -> None:
    for resource in finders(None):
        with pytest.raises(EngineError, match="cannot be seen: no route"):
            await resource.find(REQUEST, CONNECTED)


async def test_a_machine_that_is_another_resources_by_now_is_left_alone() -> None:
    said: list[str] = []
    node = Nodes(Seen({AGENT_UNIT: "other"}))
    # The kubeconfig names no server: a drain would say that it failed.
    await node.delete(Request(URN, 30.0, said.append), "a.mine", {**CONNECTED, "kubeconfig": ""}, {})
    assert said == ["a: its machine is another resource's by now and is left alone"]


def test_a_control_plane_is_reached_where_its_machine_is() -> None:
    inputs = SERVERS.complete({"connection": {"host": "10.0.0.1"}, "port": 7443}, urn=URN)
    assert (inputs["advertise"], inputs["endpoint"]) == ("10.0.0.1:7443", "10.0.0.1:7443")
    unknown = SERVERS.complete({"connection": {"host": UNKNOWN}}, urn=URN)
    assert unknown["advertise"] == UNKNOWN
    published = SERVERS.complete({"connection": {"host": "h"}, "endpoint": "127.0.0.1:1"}, urn=URN)
    assert (published["advertise"], published["endpoint"]) == ("h:6443", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("value", "good"), [("h:1", True), ("h", False), ("h:0", False), (":1", False), (UNKNOWN, True)]
)
def test_addresses_are_host_and_port(value: str, good: bool) -> None:
    assert (SERVERS.check({"advertise": value, "port": 1}) == []) is good


def test_a_kubeconfig_is_pointed_at_the_endpoint() -> None:
    text = yaml.safe_dump({"clusters": [{"name": "a", "cluster": {"server": "https://a:1"}}], "users": []})
    assert yaml.safe_load(reached_at(text, "https://b:2"))["clusters"][0]["cluster"]["server"] == "https://b:2"
    with pytest.raises(ConfigError, match="not a kubeconfig"):
        reached_at("no", "https://b:2")


def test_a_key_pair_is_openssh_s() -> None:
    pair = key_pair(Ed25519PrivateKey.from_private_bytes(bytes(32)), "fleet")
    assert pair["privateKey"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert pair["publicKey"].startswith("ssh-ed25519 AAAA")
    assert pair["publicKey"].endswith(" fleet")
    assert pair["fingerprint"].startswith("SHA256:")
