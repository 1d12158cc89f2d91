"""Kill -9 of the real provisioner while machines are made and given back: count machines.

IACORCH_KILLS=N kills at N points, half of them in growing and half in shrinking, instead of the few that are enough to
notice a mistake. The instances are words (nobody answers at their addresses), so a kill costs a few seconds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import boto3
import pytest

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, MACHINE_CLASS, NODE_CLAIM, NODE_POOL
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.infra.machines.aws.shapes import as_mapping
from iacorch.infra.machines.contract import TAG_CLAIM
from tests.infra.machines.ec2_machines import debian, tell_address
from tests.infra.machines.ec2_server import Ec2Server, ec2_server
from tests.provision.processes import REGION, Site, cloud_environment, deployment, offering, until

MACHINES = 2
GROWING_CALLS, SHRINKING_CALLS = 32, 16
"""What growing to two machines and giving them back ask of EC2, about; kills are spread over so many calls."""


class Nobody:
    """Implements `Behind`: at every address connections are refused."""

    def __call__(self, action: str, asked: Mapping[str, str], ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        if action == "RunInstances":
            for id in ids:
                found |= tell_address(id, "127.0.0.2")
        return found


class Account:
    """What EC2 has, by claim."""

    def __init__(self, server: Ec2Server) -> None:
        self._client = boto3.client("ec2", region_name=REGION, endpoint_url=server.url)

    def machines(self) -> Counter[str]:
        alive = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}]
        reservations = self._client.describe_instances(Filters=alive)["Reservations"]
        instances = [instance for reservation in reservations for instance in reservation["Instances"]]
        return Counter(as_mapping(instance.get("Tags"))[TAG_CLAIM] for instance in instances)

    def close(self) -> None:
        self._client.close()


async def test_no_machine_is_doubled_or_left_however_often_the_provisioner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = max(1, int(os.environ.get("IACORCH_KILLS", "2")) // 2)
    cloud_environment(monkeypatch)
    with ec2_server() as server, Site(tmp_path).serving() as site:
        server.machines_behind = Nobody()
        debian(server, REGION)
        account = Account(server)
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            template = {"settings": {"region": REGION, "endpoint_url": server.url}}
            offered = [offering("on-demand", "0.02")]
            await client.create(MACHINE_CLASS, site.machine_class("aws", template, offered))
            await client.create(DEPLOYMENT, deployment(replicas=MACHINES, cpu="1500m"))

            async def has_no_claims() -> bool:
                return not (await client.list(NODE_CLAIM)).items

            async def is_grown() -> bool:
                return sum(account.machines().values()) == MACHINES

            async def is_over() -> bool:
                return not account.machines() and await has_no_claims()

            async def kill_after(calls: int, done: Callable[[], Awaitable[bool]]) -> None:
                """Once EC2 was asked so often by a new provisioner, or once it is done."""
                asked = len(server.calls) + calls
                process = site.provisioner()

                async def is_time() -> bool:
                    return len(server.calls) >= asked or await done()

                await until(is_time, f"{calls} calls", process)
                process.kill()
                process.wait()
                found = account.machines()
                claims = {objects.uid(claim) for claim in (await client.list(NODE_CLAIM)).items}
                assert set(found) <= claims, "a machine outlived its claim"
                assert all(count == 1 for count in found.values()), f"two machines of one claim: {found}"
                assert sum(found.values()) <= MACHINES, "more than the pool may have"

            async def finish(done: Callable[[], Awaitable[bool]], what: str) -> None:
                process = site.provisioner()
                await until(done, what, process)
                process.kill()
                process.wait()

            async def is_made() -> bool:
                return server.living == MACHINES

            for number in range(1, rounds + 1):
                await client.create(NODE_POOL, site.pool(limits={"machines": MACHINES}))
                await kill_after(number * GROWING_CALLS // (rounds + 1), is_made)
                await finish(is_grown, "all are made")
                await client.delete(NODE_POOL, "", "burst")
                await kill_after(number * SHRINKING_CALLS // (rounds + 1), has_no_claims)
                await finish(is_over, "everything is given back")
        account.close()
