"""Pools of real machines over their life: from zero to zero, consolidated, cheaper, warned, renewed, closed, broken.

Behind the instances of a cloud for trying stand containers of the node image, which `iacorch provisioner`, a process,
makes nodes; pods run on them. IACORCH_FLEET=1 lets it: each of the four stories makes three to seven machines, which
takes three to eight minutes. While a story is told everything is looked at twice a second: no machine may go under a
pod that runs, no more of them than the budget says, and never are there more than the pool may have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import MACHINE_CLASS, NODE
from iacorch.api.objects import Object
from iacorch.kit.clock import rfc3339
from tests.agent import busybox
from tests.infra.machines import containers
from tests.infra.machines.ec2_machines import ec2_with_machines
from tests.provision.fleet import Cloud, Fleet, fleet
from tests.provision.processes import cloud_environment, offering, until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not busybox.engine_answers(), reason="needs a Docker Engine"),
    pytest.mark.skipif("IACORCH_FLEET" not in os.environ, reason="IACORCH_FLEET=1 takes a quarter of an hour"),
]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    cloud_environment(monkeypatch)
    with ec2_with_machines() as found:
        yield found


async def test_from_zero_to_two_half_empty_machines_to_one_to_none(cloud: Cloud, tmp_path: Path) -> None:
    disruption = {"consolidateAfter": "5s", "budgets": [{"machines": 1}]}
    offered, pods = [offering("on-demand", "0.02")], {"replicas": 2, "cpu": "1200m"}
    async with fleet(cloud, tmp_path, offered, pods, limits={"machines": 2}, disruption=disruption) as told:
        assert told.machines.alive() == [], "a pool begins with nothing"
        await told.settles("two pods run on two machines", machines=2)
        began = len(told.looks)
        await told.want(replicas=2, cpu="300m")
        await told.settles("two half-empty machines become one", machines=1)
        during = told.looks[began:]
        assert min(look.running.total() for look in during) >= 1, "not all pods moved at once"
        assert max(len(look.going) for look in during) == 1
        (why,) = await told.said("Removing")
        assert why.startswith(("Underutilized: its 1 pods fit on other machines; saves 0.02", "Empty: ")), why
        await told.want(replicas=0)
        await until(lambda: told.machines.alive() == [], "the last one is given back", told.process)

        async def is_nothing() -> bool:
            return not await told.claims() and not (await told.client.list(NODE)).items

        await until(is_nothing, "nothing is left of it", told.process)
        assert told.calls() == ["RunInstances"] * 2 + ["TerminateInstances"] * 2
        assert max(len(look.machines) for look in told.looks) == 2
        told.no_machine_went_under_a_pod()


async def test_one_machine_is_made_cheaper_replaced_when_warned_renewed_and_closed(
    cloud: Cloud, tmp_path: Path
) -> None:
    server, machines = cloud
    server.then("RunInstances", "InsufficientInstanceCapacity")
    disruption = {"consolidateAfter": "5s", "budgets": [{"machines": 1}]}
    offered, pods = [offering("spot", "0.005"), offering("on-demand", "0.02")], {"replicas": 2, "cpu": "500m"}
    async with fleet(cloud, tmp_path, offered, pods, limits={"machines": 2}, disruption=disruption) as told:
        await told.settles("what is dearer, for spot was refused", machines=1)
        assert await _kinds(told) == ["on-demand"]

        await _let_the_refusal_lapse(told)
        await until(lambda: _are(told, ["spot"]), "spot takes over", told.process)
        await told.settles("what is cheaper, for it can be had again", machines=1)
        assert told.calls() == ["RunInstances"] * 3 + ["TerminateInstances"], "the new one was there first"
        assert any("saves 0.015" in words for words in await told.said("Disrupting"))

        (first,) = await told.claims()
        await told.change_pool(expireAfter="60s")  # the next one's age
        machines.retiring.add(objects.status(first)["machineID"])
        await until(lambda: _is_gone(told, first), "the machine that EC2 will take is given back", told.process)
        assert told.calls()[4:] == ["RunInstances", "TerminateInstances"], "the next was asked for at once"
        assert any(words.startswith("Interrupted: instance-retirement") for words in await told.said("Removing"))
        (second,) = await told.claims()
        await told.change_pool(expireAfter=None)
        await until(lambda: _is_gone(told, second), "what is too old goes", told.process)
        await told.settles("a new one took its place", machines=1)
        assert told.calls()[6:] == ["RunInstances", "TerminateInstances"], "the new one was there first"
        assert any(words.startswith("Expired: ") for words in await told.said("Removing"))

        never = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
        await told.change_pool(officeHours=[{"days": [never], "from": "10:00", "until": "10:01"}])
        await until(lambda: machines.alive() == [], "the pool is closed", told.process)
        assert await told.pool_is("Open", "False")
        await told.change_pool(officeHours=None)
        await told.settles("the pool is open again", machines=1)
        told.no_machine_went_under_a_pod()


async def test_two_machines_come_of_age_one_after_the_other_and_the_pool_keeps_its_hours(
    cloud: Cloud, tmp_path: Path
) -> None:
    """By the clock alone: nothing is changed when the time has come."""
    age = timedelta(seconds=150)
    disruption = {"consolidationPolicy": "Never", "budgets": [{"machines": 1}]}
    offered, pods = [offering("on-demand", "0.02")], {"replicas": 2, "cpu": "1200m"}
    pool = {"limits": {"machines": 3}, "disruption": disruption, "expireAfter": f"{age.seconds}s"}
    async with fleet(cloud, tmp_path, offered, pods, **pool) as told:
        await told.settles("two machines", machines=2)
        old, began = {objects.uid(claim) for claim in await told.claims()}, len(told.looks)
        await told.change_pool(expireAfter=None)  # those that come after them stay

        for left in (1, 0):
            await until(partial(_are_left, told, old, left), f"{left} of the old ones are left", told.process)
        await told.settles("two new machines", machines=2)
        during = told.looks[began:]
        first = next(look.at for look in during if look.going)
        assert first >= min(look.at for look in told.looks if look.machines) + age
        assert max(len(look.going) for look in during) == 1
        assert max(len(look.machines) for look in during) == 3, "a new one was there first"
        assert min(look.running.total() for look in during) >= 1
        assert {words.partition(":")[0] for words in await told.said("Removing")} == {"Expired"}

        zone = "Asia/Kolkata"
        closes = (datetime.now(ZoneInfo(zone)) + timedelta(seconds=75)).replace(second=0, microsecond=0)
        opens = closes + timedelta(minutes=3)
        hours = {"from": f"{opens:%H:%M}", "until": f"{closes:%H:%M}"}
        began = len(told.looks)
        await told.change_pool(timeZone=zone, officeHours=[hours])
        await until(lambda: cloud[1].alive() == [], "the pool is closed", told.process)
        empty = len(told.looks)
        assert await told.pool_is("Open", "False")
        before = [look for look in told.looks[began:empty] if look.at < closes]
        assert before
        assert {len(look.machines) for look in before} == {2}
        await told.settles("the pool is open again", machines=2)
        closed = [look for look in told.looks[empty + 1 :] if look.at < opens]
        assert not any(look.machines or look.claims - look.going for look in closed)
        told.no_machine_went_under_a_pod()


async def test_three_machines_are_renewed_one_by_one_and_two_that_break_stop_repairs(
    cloud: Cloud, tmp_path: Path
) -> None:
    _, machines = cloud
    disruption = {"consolidationPolicy": "Never", "budgets": [{"machines": 1}]}
    repair = {"rungs": ["RestartAgent", "Reboot", "Replace"], "patience": {"Unhealthy": "3s", "RestartAgent": "5s"}}
    offered, pods = [offering("on-demand", "0.02")], {"replicas": 3, "cpu": "1200m"}
    limits = {"machines": 4}
    async with fleet(cloud, tmp_path, offered, pods, limits=limits, disruption=disruption, repair=repair) as told:
        await told.settles("three machines", machines=3)
        old = {objects.uid(claim) for claim in await told.claims()}
        began = len(told.looks)
        await told.change_pool(labels={"generation": "2"})

        for left in (2, 1, 0):
            await until(partial(_are_left, told, old, left), f"{left} of the old ones are left", told.process)
        await told.settles("three new machines", machines=3)
        during = told.looks[began:]
        assert max(len(look.going) for look in during) == 1
        assert max(len(look.machines) for look in during) == 4
        assert min(look.running.total() for look in during) >= 2
        told.no_machine_went_under_a_pod()

        calls = len(told.server.calls)
        broken = machines.alive()[:2]
        for name in broken:
            containers.docker("pause", name)
        await until(lambda: told.pool_is("RepairsStopped", "True"), "the pool says that it stops", told.process)
        await until(lambda: _have_stopped(told), "the claims say that they wait for a person", told.process)
        assert any("2 of 3 machines are unhealthy at once" in words for words in await told.said("RepairsStopped"))
        why = told.site.iacorch("why")
        assert "2 of 3 machines are unhealthy at once" in why, why
        drastic = {"RebootInstances", "StopInstances", "TerminateInstances", "RunInstances"}
        assert not drastic & set(told.server.calls[calls:])
        for name in broken:
            containers.docker("unpause", name)
        await until(lambda: told.pool_is("RepairsStopped", "False"), "the pool goes on", told.process)
        await told.settles("nobody was harmed", machines=3)
        assert not drastic & set(told.server.calls[calls:])


async def _kinds(told: Fleet) -> list[str]:
    return sorted(objects.spec(claim)["offering"]["capacityType"] for claim in await told.claims())


async def _are(told: Fleet, kinds: list[str]) -> bool:
    return await _kinds(told) == kinds


async def _is_gone(told: Fleet, claim: Object) -> bool:
    return objects.uid(claim) not in {objects.uid(other) for other in await told.claims()}


async def _are_left(told: Fleet, old: set[str], most: int) -> bool:
    return len(old & {objects.uid(claim) for claim in await told.claims()}) <= most


async def _have_stopped(told: Fleet) -> bool:
    repairing = [objects.condition(claim, "Repairing") or {} for claim in await told.claims()]
    return [found.get("reason") for found in repairing].count("Stopped") == 2


async def _let_the_refusal_lapse(told: Fleet) -> None:
    """As it would by itself in three minutes."""
    machine_class = await told.client.get(MACHINE_CLASS, "", "rented")
    (refused,) = objects.status(machine_class)["refused"]
    assert (refused["capacityType"], refused["reason"]) == ("spot", "InsufficientCapacity"), json.dumps(refused)
    past = rfc3339(datetime.now(UTC) - timedelta(seconds=1))
    status = {"status": {"refused": [{**refused, "until": past}]}}
    await told.client.patch(MACHINE_CLASS, "", "rented", status, subresource="status")
