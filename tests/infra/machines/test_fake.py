"""The fake cloud on virtual time: prices, notices, throttling, lost answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from iacorch.infra.machines.contract import CapacityType, MachineSpec, MachineState, OwnerTags
from iacorch.infra.machines.errors import (
    CloudUnavailable,
    InsufficientCapacity,
    MachineNotFound,
    NeverBooted,
    QuotaExceeded,
    Throttled,
)
from iacorch.infra.machines.fake import FakeCloud, FakeDriver, Fault, Faults, Quotas
from iacorch.infra.machines.retries import wait_running
from iacorch.kit import limits
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.virtual import run_virtual

SPEC = MachineSpec("a", "general.small", OwnerTags("test", "token-a", "claim-a"))


def world(
    story: Callable[[FakeCloud, FakeDriver, LoopClock], Awaitable[None]],
    *,
    faults: Faults | None = None,
    quotas: Quotas | None = None,
) -> None:
    async def main() -> None:
        clock, ids = LoopClock(datetime(2026, 1, 1, tzinfo=UTC)), SeededIds(7)
        cloud = FakeCloud(clock, ids, faults=faults, quotas=quotas)
        await story(cloud, FakeDriver(cloud, clock, ids), clock)

    run_virtual(main())


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.HALF_ANSWER, Fault.THROTTLE])
def test_a_create_whose_call_fails_is_asked_again_and_makes_one_machine(fault: Fault) -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        cloud.faults.then("run", fault, fault)
        made = await driver.create(SPEC)
        assert [instance.id for instance in cloud.alive()] == [made.id]

    world(story)


def test_a_cloud_that_never_answers_is_told_after_a_bounded_number_of_calls() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        with pytest.raises(CloudUnavailable):
            await driver.create(SPEC)

    world(story, faults=Faults(rates={Fault.LOSE_REQUEST: 1.0}))


def test_calls_above_the_rate_are_throttled_with_a_pause() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        for _ in range(3):
            await cloud.list({})
        with pytest.raises(Throttled) as caught:
            await cloud.list({})
        assert caught.value.retry_after_seconds == 1.0
        assert await driver.list_owned("test") == ()

    world(story, quotas=Quotas(calls_per_second=3))


def test_what_was_made_is_found_although_the_cloud_lists_it_late() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        made = await driver.create(SPEC)
        assert [machine.id for machine in await driver.list_owned("test")] == [made.id]

    world(story, faults=Faults(visible_after_seconds=20))


def test_a_machine_that_never_boots_is_told_with_its_console() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        made = await driver.create(SPEC)
        with pytest.raises(NeverBooted, match="waiting for root device"):
            await wait_running(driver, made.id, clock, timeout_seconds=60)

    world(story, faults=Faults(never_boot_rate=1.0))


@pytest.mark.parametrize(("breaks", "state"), [(True, "broken its host failed"), (False, "deleting")])
def test_a_machine_that_broke_or_goes_while_it_is_made_is_not_waited_for(breaks: bool, state: str) -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        made = await driver.create(SPEC)
        if not breaks:
            await cloud.terminate(made.id)
        began = clock.monotonic()
        with pytest.raises(NeverBooted, match=state):
            await wait_running(driver, made.id, clock)
        assert clock.monotonic() - began < limits.MACHINE_BOOT_SECONDS / 2

    world(story, faults=Faults(break_rate=1.0 if breaks else 0.0))


def test_a_spot_machine_gets_notice_and_is_taken() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        spot = MachineSpec("s", "general.small", OwnerTags("test", "s"), capacity_type=CapacityType.SPOT)
        made = await driver.create(spot)
        await wait_running(driver, made.id, clock)
        cloud.interrupt(made.id)
        noticed = await driver.read(made.id)
        assert noticed.state is MachineState.RUNNING
        assert noticed.interruption is not None
        await clock.sleep(200)
        with pytest.raises(MachineNotFound):
            await driver.read(made.id)

    world(story)


def test_the_bill_is_by_the_second_and_ends_with_the_machine() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        made = await driver.create(SPEC)
        await clock.sleep(3600)
        await driver.delete(made.id, cluster="test")
        await clock.sleep(3600)
        billed = cloud.spent_micros()
        assert 42_000 <= billed < 42_200
        await clock.sleep(3600)
        assert cloud.spent_micros() == billed

    world(story)


def test_quotas_and_dry_offerings_are_told_apart() -> None:
    async def story(cloud: FakeCloud, driver: FakeDriver, clock: LoopClock) -> None:
        cloud.faults.dry.add(("general.small", "fake-1a", "on-demand"))
        with pytest.raises(InsufficientCapacity) as dry:
            await driver.create(SPEC)
        assert (dry.value.zone, dry.value.instance_type) == ("fake-1a", "general.small")
        cloud.quotas.cores = 1
        with pytest.raises(QuotaExceeded):
            await driver.create(SPEC)

    world(story)
