"""Another build of iacorch reaches machines that a pool made: through the provisioner, one after the other.

Real machines behind a cloud for trying (`fleet`), a provisioner that is started again from the other build, and
`iacorch upgrade` from that build. IACORCH_FLEET=1 lets it; two machines, three minutes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import iacorch
from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD
from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.bootstrap.marks import UPDATE
from tests.agent import busybox
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import ec2_with_machines
from tests.provision.fleet import Cloud, Fleet, fleet
from tests.provision.processes import cloud_environment, offering, until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine"),
    pytest.mark.skipif("IACORCH_FLEET" not in os.environ, reason="IACORCH_FLEET=1 takes three minutes for it"),
]
_CHECKOUT = Path(iacorch.__file__).parents[1]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    cloud_environment(monkeypatch)
    with ec2_with_machines() as found:
        yield found


async def test_machines_of_a_pool_get_another_build_where_they_stand(cloud: Cloud, tmp_path: Path) -> None:
    disruption = {"consolidationPolicy": "Never", "budgets": [{"machines": 1}]}
    offered, pods = [offering("on-demand", "0.02")], {"replicas": 2, "cpu": "1200m"}
    (tmp_path / "site").mkdir()
    async with fleet(cloud, tmp_path / "site", offered, pods, limits={"machines": 2}, disruption=disruption) as told:
        await told.settles("two machines", machines=2)
        await until(partial(_are_ready, told), "their claims hear of it", told.process)
        nodes, running, began = await _nodes(told), await _containers(told), len(told.looks)
        builds = {objects.status(claim)["build"].partition("/")[0] for claim in await told.claims()}
        assert builds == {bundle.release()}

        told.process.terminate()
        assert await asyncio.to_thread(told.process.wait) == 0
        told.site.build = _another(tmp_path / "another")
        wanted = bundle.release(told.site.build / "iacorch")
        assert wanted not in builds
        told.process = told.site.provisioner()
        plan = await asyncio.to_thread(told.site.iacorch, "upgrade", "--plan")
        assert all(f"{name} (node pool)" in plan for name in nodes), plan
        said = await asyncio.to_thread(told.site.iacorch, "upgrade", "--yes", "--no-drain")
        assert "upgraded 2 machines" in said, said

        await told.settles("two machines still", machines=2)
        for claim in await told.claims():
            assert objects.status(claim)["build"].partition("/")[0] == wanted, claim
            assert objects.condition_is(claim, "Updated")
            assert UPDATE not in objects.annotations(claim)
        for machine in told.machines.alive():
            unit = containers.docker("exec", machine, "cat", "/etc/systemd/system/iacorch-agent.service")
            (program,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
            installed = program.split("/opt/iacorch/")[1].partition("/")[0]
            text = containers.docker("exec", machine, "cat", f"/opt/iacorch/{installed}/lib/iacorch/agent/__init__.py")
            assert text.endswith("# another build")
        assert await _nodes(told) == nodes, "the same nodes"
        assert await _containers(told) == running, "no container was started again"
        assert told.calls() == ["RunInstances"] * 2
        during = told.looks[began:]
        assert min(len(look.ready) for look in during) >= 1
        assert not any(look.going for look in during)
        again = await asyncio.to_thread(told.site.iacorch, "upgrade", "--plan")
        assert "(node pool)" not in again, again


def _another(folder: Path) -> Path:
    """A checkout that differs in one comment."""
    for name in ("iacorch", "requirements", "playbooks", "ansible_collections"):
        shutil.copytree(_CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "iacorch" / "agent" / "__init__.py").open("a") as file:
        file.write("# another build\n")
    return folder


async def _are_ready(told: Fleet) -> bool:
    return all(objects.condition_is(claim, "Ready") for claim in await told.claims())


async def _nodes(told: Fleet) -> dict[str, str]:
    return {objects.name(node): objects.uid(node) for node in (await told.client.list(NODE)).items}


async def _containers(told: Fleet) -> dict[str, str]:
    """Pod -> its container."""
    pods = (await told.client.list(POD, "default")).items
    return {objects.name(pod): objects.status(pod)["containerStatuses"][0]["containerID"] for pod in pods}
