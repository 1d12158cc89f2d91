"""What every `PodNetwork` does. The real one's part runs in network namespaces (see `netns.py`)."""

from __future__ import annotations

import pytest

from iacorch.agent.network.contract import NetworkNotReady, PodNetwork, SandboxGone
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.kit.clock import SystemClock


@pytest.fixture
def network() -> PodNetwork:
    return FakePodNetwork(SystemClock(), processes={11, 12})


async def test_two_pods_get_two_addresses(network: PodNetwork) -> None:
    one = await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
    two = await network.attach(pod_uid="b", namespace="default", name="two", sandbox_pid=12)
    assert one != two


async def test_attach_again_answers_the_same_address(network: PodNetwork) -> None:
    first = await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
    assert await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11) == first


async def test_a_new_sandbox_keeps_the_pods_address(network: PodNetwork) -> None:
    first = await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
    assert await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=12) == first


async def test_detach_twice_is_fine(network: PodNetwork) -> None:
    await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
    await network.detach("a")
    await network.detach("a")
    assert await network.sync(["a"]) == {}


async def test_sync_detaches_what_is_not_named(network: PodNetwork) -> None:
    one = await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
    await network.attach(pod_uid="b", namespace="default", name="two", sandbox_pid=12)
    assert await network.sync(["a", "unknown"]) == {"a": one}
    assert await network.sync(["a", "b"]) == {"a": one}


async def test_a_sandbox_that_does_not_exist_is_refused(network: PodNetwork) -> None:
    with pytest.raises(SandboxGone):
        await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=2**22 - 1)


async def test_a_node_without_a_range_is_not_ready() -> None:
    network = FakePodNetwork(SystemClock(), "")
    assert not network.state().ready
    with pytest.raises(NetworkNotReady):
        await network.attach(pod_uid="a", namespace="default", name="one", sandbox_pid=11)
