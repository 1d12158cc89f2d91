"""What every `PodNetwork` does: the fake in this process, the real one in a network namespace."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import pytest

from iacorch.agent.network import contract
from iacorch.agent.network.contract import HostPort, NetworkNotReady, NetworkState, PodNetwork, SandboxGone
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.kit.clock import SystemClock
from tests.agent.network.netns import POD, Fleet, Remote, needs_netns


class World(Protocol):
    """A network and two sandboxes."""

    network: PodNetwork
    sandboxes: tuple[int, int]


class FakeWorld:
    def __init__(self) -> None:
        self.sandboxes = (11, 12)
        self.network: PodNetwork = FakePodNetwork(SystemClock(), processes={11, 12})


class RemoteNetwork:
    """The real network of an agent process in a namespace of its own."""

    def __init__(self, agent: Remote) -> None:
        self._agent = agent

    async def attach(
        self, *, pod_uid: str, namespace: str, name: str, sandbox_pid: int, host_ports: Collection[HostPort] = ()
    ) -> str:
        who = {"pod_uid": pod_uid, "namespace": namespace, "name": name, "sandbox_pid": sandbox_pid}
        return str(self._answer(self._agent.ask("attach", **who)))

    async def detach(self, pod_uid: str) -> None:
        self._agent.ask("detach", pod_uid=pod_uid)

    async def sync(self, pod_uids: Collection[str]) -> Mapping[str, str]:
        answer: Mapping[str, str] = self._agent.ask("sync", pod_uids=list(pod_uids))
        return answer

    def state(self) -> NetworkState:
        return NetworkState(**self._agent.ask("state"))

    def _answer(self, answer: Any) -> Any:
        if isinstance(answer, dict):
            raise getattr(contract, answer["error"])(answer["message"])
        return answer


class RealWorld:
    def __init__(self, fleet: Fleet) -> None:
        one, two = (Remote(["unshare", "-n"], POD) for _ in range(2))
        fleet.pods |= {f"pod-{one.pid}": one, f"pod-{two.pid}": two}
        for pod in (one, two):
            pod.ask("tcp", address="127.0.0.1", port=1, count=0)
        self.network: PodNetwork = RemoteNetwork(fleet.agent(0))
        self.sandboxes = (one.pid, two.pid)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), how_many=1) as fleet:
        yield fleet


@pytest.fixture(params=["fake", pytest.param("real", marks=needs_netns)])
async def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        return FakeWorld()
    world = RealWorld(request.getfixturevalue("fleet"))
    await world.network.sync([])
    return world


async def attach(world: World, uid: str, sandbox: int = 0) -> str:
    return await world.network.attach(pod_uid=uid, namespace="default", name=uid, sandbox_pid=world.sandboxes[sandbox])


async def test_two_pods_get_two_addresses(world: World) -> None:
    assert await attach(world, "a") != await attach(world, "b", 1)


async def test_attach_again_answers_the_same_address(world: World) -> None:
    assert await attach(world, "a") == await attach(world, "a")


async def test_a_new_sandbox_keeps_the_pods_address(world: World) -> None:
    assert await attach(world, "a") == await attach(world, "a", 1)


async def test_detach_twice_is_fine(world: World) -> None:
    await attach(world, "a")
    await world.network.detach("a")
    await world.network.detach("a")
    assert await world.network.sync(["a"]) == {}


async def test_an_address_is_not_given_to_the_next_pod(world: World) -> None:
    first = await attach(world, "a")
    await world.network.detach("a")
    assert await attach(world, "b", 1) != first


async def test_sync_detaches_what_is_not_named(world: World) -> None:
    one = await attach(world, "a")
    await attach(world, "b", 1)
    assert await world.network.sync(["a", "unknown"]) == {"a": one}
    assert await world.network.sync(["a", "b"]) == {"a": one}


async def test_a_sandbox_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(SandboxGone):
        await world.network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=2**22 - 1)


async def test_a_network_with_a_range_is_ready(world: World) -> None:
    assert world.network.state().ready


async def test_a_node_without_a_range_is_not_ready() -> None:
    network = FakePodNetwork(SystemClock(), "")
    assert not network.state().ready
    with pytest.raises(NetworkNotReady):
        await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
