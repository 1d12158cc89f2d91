"""NodePool against a real control plane: made, changed, and gone only when its machines are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM, NODE_POOL
from iacorch.daemons.controlplane import Settings, running
from iacorch.errors import EngineError, Invalid
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.resource import HalfMade, Request
from iacorch.infra.provider.resources.cluster import opened
from iacorch.infra.provider.resources.manifest import Manifests
from iacorch.infra.provider.resources.node_pool import POOL_LABEL, NodePools, manifest
from iacorch.kit.clock import SystemClock
from iacorch.provision.pools import words

POOLS = NodePools(Manifests(SystemClock()), SystemClock())
URN = "urn:pulumi:dev::shop::iacorch:index:NodePool::Burst_1"
PATIENCE_SECONDS = 60.0


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(tmp_path / "d", "127.0.0.1", 0, "", tmp_path / "kubeconfig", (), "", controllers=False)
    async with running(settings):
        yield (tmp_path / "kubeconfig").read_text()


def test_it_is_labelled_as_the_provisioner_does() -> None:
    assert POOL_LABEL == words.POOL_LABEL


def test_what_is_given_stands_in_the_object_s_words() -> None:
    given = {
        "kubeconfig": "k",
        "className": "c",
        "poolName": "p",
        "weight": 3,
        "taints": ["a=b:NoSchedule", "x:NoExecute"],
    }
    (made,) = manifest(given)["objects"]
    assert made["spec"] == {
        "classRef": {"name": "c"},
        "weight": 3,
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "x", "effect": "NoExecute"}],
    }


@pytest.mark.parametrize(("taints", "paths"), [([], []), ([UNKNOWN], []), (["a=b:NoSchedule", "bad"], ["taints[1]"])])
def test_taints_are_checked(taints: list[str], paths: list[str]) -> None:
    assert [failure.path for failure in POOLS.check({"taints": taints})] == paths


async def test_a_pool_is_gone_when_its_machines_are(kubeconfig: str) -> None:
    said: list[str] = []
    request = Request(URN, PATIENCE_SECONDS, said.append)
    given = POOLS.complete({"kubeconfig": kubeconfig, "className": "c", "limits": {"machines": 1}}, urn=URN)
    with pytest.raises(Invalid):
        await POOLS.create(request, {**given, "limits": {"machines": -1}})
    made = await POOLS.create(request, given)
    with pytest.raises(HalfMade) as cut_short:
        await POOLS.find(request, given)
    assert cut_short.value.made.outputs == {"inSync": False}, "in the words of a pool, not of a Manifest"
    more = {**given, "limits": {"machines": 2}}
    await POOLS.update(request, made.id, more, given, made.outputs)
    async with opened(kubeconfig) as client:
        pool = await client.get(NODE_POOL, "", "burst-1")
        assert objects.spec(pool) == {"classRef": {"name": "c"}, "limits": {"machines": 2}}
        await client.create(NODE_CLAIM, claim())
        with pytest.raises(EngineError, match="still has 1 machines"):
            await POOLS.delete(Request(URN, 0.0, said.append), made.id, more, made.outputs)
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            waits = asyncio.Event()
            patient = Request(URN, PATIENCE_SECONDS, lambda line: waits.set())
            deleting = group.create_task(POOLS.delete(patient, made.id, more, made.outputs))
            await waits.wait()
            assert not deleting.done()
            await client.delete(NODE_CLAIM, "", "burst-1")
        assert await POOLS.read(request, made.id, more, made.outputs) is None


def claim() -> dict[str, Any]:
    offering = {"machineType": "m", "capacity": {"cpu": "1", "memory": "1Gi"}, "moneyPerHour": "0.01"}
    return {
        "apiVersion": NODE_CLAIM.api_version,
        "kind": NODE_CLAIM.kind,
        "metadata": {"name": "burst-1", "labels": {POOL_LABEL: "burst-1"}},
        "spec": {"classRef": {"name": "c"}, "offering": offering},
    }
