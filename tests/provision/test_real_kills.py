"""Kill -9 of the real provisioner while machines are made and given back: count machines.

IACORCH_KILLS=N kills after N numbers of calls of EC2, half of them in growing and half in shrinking, instead of the
few that are enough to notice a mistake. IACORCH_KILL_POINTS=N kills at N points of what the process does: files, calls
of the API and of plugins (`killable`). The instances are words (nobody answers at their addresses): it costs seconds.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import boto3
import pytest

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, MACHINE_CLASS, NODE_CLAIM, NODE_POOL
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.infra.machines.aws.shapes import as_mapping
from iacorch.infra.machines.contract import TAG_CLAIM
from tests.infra.engine.killable import Kill
from tests.infra.machines.ec2_machines import debian, tell_address
from tests.infra.machines.ec2_server import Ec2Server, ec2_server
from tests.provision.processes import REGION, Running, Site, cloud_environment, deployment, offering, until

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


class Story:
    """A pool that grows to `MACHINES` and gives them back, again and again, with a provisioner that is killed."""

    def __init__(self, site: Site, server: Ec2Server, client: HttpClient) -> None:
        self.site, self.server, self.client = site, server, client
        self.account = Account(server)
        self.killed_at: list[str] = []

    async def begin(self) -> None:
        template = {"settings": {"region": REGION, "endpoint_url": self.server.url}}
        offered = [offering("on-demand", "0.02")]
        await self.client.create(MACHINE_CLASS, self.site.machine_class("aws", template, offered))
        await self.client.create(DEPLOYMENT, deployment(replicas=MACHINES, cpu="1500m"))

    async def want(self, *, machines: bool) -> None:
        if machines:
            await self.client.create(NODE_POOL, self.site.pool(limits={"machines": MACHINES}))
        else:
            await self.client.delete(NODE_POOL, "", "burst")

    async def has_no_claims(self) -> bool:
        return not (await self.client.list(NODE_CLAIM)).items

    async def is_made(self) -> bool:
        return self.server.living == MACHINES

    async def is_grown(self) -> bool:
        return sum(self.account.machines().values()) == MACHINES

    async def is_over(self) -> bool:
        return not self.account.machines() and await self.has_no_claims()

    async def kill_after(self, calls: int, done: Callable[[], Awaitable[bool]]) -> None:
        """Once EC2 was asked so often by a new provisioner, or once it is done."""
        asked = len(self.server.calls) + calls
        process = self.site.provisioner()

        async def is_time() -> bool:
            return len(self.server.calls) >= asked or await done()

        await until(is_time, f"{calls} calls", process)
        await self._end(process)

    async def kill_at(self, point: int, done: Callable[[], Awaitable[bool]]) -> list[str]:
        """At this point of a new provisioner, or once it is done; the points that it passed."""
        kill = Kill(self.site.root / f"points-{len(self.killed_at)}", self.site.state, point)
        process = self.site.provisioner(kill)

        async def is_time() -> bool:
            return process.poll() is not None or await done()

        await until(is_time, f"point {point}")
        await self._end(process)
        found = kill.points()
        self.killed_at.append(found[-1] if found else "nothing: it was done before")
        return found

    async def finish(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        process = self.site.provisioner()
        await until(done, what, process)
        process.kill()
        process.wait()

    async def _end(self, process: Running) -> None:
        process.kill()
        process.wait()
        await self.is_as_it_should()

    async def is_as_it_should(self, most: int = MACHINES) -> None:
        found = self.account.machines()
        claims = {objects.uid(claim) for claim in (await self.client.list(NODE_CLAIM)).items}
        assert set(found) <= claims, "a machine outlived its claim"
        assert all(count == 1 for count in found.values()), f"two machines of one claim: {found}"
        assert sum(found.values()) <= most, "more than the pool may have"


@asynccontextmanager
async def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    cloud_environment(monkeypatch)
    with ec2_server() as server, Site(tmp_path).serving() as site:
        server.machines_behind = Nobody()
        debian(server, REGION)
        async with HttpClient(read_kubeconfig(site.kubeconfig)) as client:
            told = Story(site, server, client)
            await told.begin()
            yield told
            told.account.close()


async def test_no_machine_is_doubled_or_left_however_often_the_provisioner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = max(1, int(os.environ.get("IACORCH_KILLS", "2")) // 2)
    async with story(tmp_path, monkeypatch) as told:
        for number in range(1, rounds + 1):
            await told.want(machines=True)
            await told.kill_after(number * GROWING_CALLS // (rounds + 1), told.is_made)
            await told.finish(told.is_grown, "all are made")
            await told.want(machines=False)
            await told.kill_after(number * SHRINKING_CALLS // (rounds + 1), told.has_no_claims)
            await told.finish(told.is_over, "everything is given back")


async def test_a_standby_goes_on_with_the_same_state_when_the_other_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud_environment(monkeypatch)
    with Site(tmp_path).serving() as site:
        first = site.provisioner()
        await until(lambda: "this provisioner decides" in site.said(), "the first one decides", first)
        third = site.provisioner()
        assert await asyncio.to_thread(third.wait) == 1
        assert f"is in use by another iacorch provisioner (process {first.pid})" in site.said()
        second = site.provisioner(None, "--standby")
        await until(lambda: "standing by" in site.said(), "the second one waits", second)
        first.kill()
        first.wait()
        await until(lambda: site.said().count("this provisioner decides") == 2, "the second one decides", second)
        idle = site.provisioner(None, "--standby")
        await until(lambda: site.said().count("standing by") == 2, "another one waits", idle)
        for process in (idle, second):
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0


@pytest.mark.skipif("IACORCH_FLEET" not in os.environ, reason="IACORCH_FLEET=1 takes a minute for it")
async def test_of_two_provisioners_one_decides_and_when_it_is_killed_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a state of its own. What the killed one had begun is its own to end; nothing is made twice."""
    async with story(tmp_path, monkeypatch) as told:
        first = told.site.provisioner()
        await until(lambda: "this provisioner decides" in told.site.said(), "the first one decides", first)
        second = told.site.provisioner(state=tmp_path / "other")
        await until(lambda: told.site.said().count("event=provisioning") == 2, "both run", second)
        await told.want(machines=True)
        await until(told.is_made, "its machines are being made", first)
        first.kill()
        first.wait()
        await told.client.patch(NODE_POOL, "", "burst", {"spec": {"limits": {"machines": MACHINES + 1}}})
        await told.client.patch(DEPLOYMENT, "default", "x", {"spec": {"replicas": MACHINES + 1}})
        await until(lambda: told.site.said().count("this provisioner decides") == 2, "the second one decides", second)
        await until(lambda: told.server.living == MACHINES + 1, "what is wanted by now is made", second)
        again = told.site.provisioner()
        await told.is_as_it_should(most=MACHINES + 1)
        await told.want(machines=False)
        await until(told.is_over, "each gives back what is its own", again)
        assert told.server.calls.count("RunInstances") == MACHINES + 1
        for process in (again, second):
            assert process.poll() is None


@pytest.mark.skipif("IACORCH_KILL_POINTS" not in os.environ, reason="IACORCH_KILL_POINTS=N takes 6 s a point")
async def test_no_machine_is_doubled_or_left_at_any_point_at_which_the_provisioner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one run passes is learned first; then kills are spread over it, two in a row before it may finish."""
    rounds = max(1, int(os.environ["IACORCH_KILL_POINTS"]) // 4)
    async with story(tmp_path, monkeypatch) as told:
        await told.want(machines=True)
        growing = len(await told.kill_at(0, told.is_grown))
        await told.want(machines=False)
        shrinking = len(await told.kill_at(0, told.is_over))
        told.killed_at.clear()
        for number in range(rounds):
            share = (number + 0.5) / rounds
            await told.want(machines=True)
            for part in (share, 1 - share):
                await told.kill_at(1 + int(part * growing), told.is_made)
            await told.finish(told.is_grown, "all are made")
            await told.want(machines=False)
            for part in (share, 1 - share):
                await told.kill_at(1 + int(part * shrinking), told.has_no_claims)
            await told.finish(told.is_over, "everything is given back")
        for words, count in sorted(Counter(told.killed_at).items()):
            print(f"{count:4}  {words}")  # noqa: T201  # the table of points, for who asked for it
        print(f"{len(told.killed_at)} kills; a run passes {growing} points growing and {shrinking} shrinking")  # noqa: T201  # as above
