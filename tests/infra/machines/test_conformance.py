"""What every machine driver keeps, asked of each: the rules of `iacorch.infra.machines.contract`.

A world that cannot bring something about (a quota, a lost answer) is skipped for that test, by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iacorch.infra.machines.contract import (
    CapacityType,
    DataDisk,
    MachineDriver,
    MachineId,
    MachineState,
    OwnerTags,
    Power,
)
from iacorch.infra.machines.errors import (
    CannotDo,
    HoldsData,
    InsufficientCapacity,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    QuotaExceeded,
    Throttled,
    Unknown,
)
from iacorch.infra.machines.retries import wait_gone, wait_running
from iacorch.infra.provider.resources.ssh_key import key_pair
from iacorch.kit import limits
from tests.infra.machines.worlds import World

T = TypeVar("T")


@pytest.fixture
async def driver(world: World) -> AsyncIterator[MachineDriver]:
    opened = world.open()
    yield opened
    await opened.aclose()


def possible(trouble: T | None, what: str) -> T:
    """What the world can bring about, or skip."""
    if trouble is None:
        pytest.skip(f"this world has no {what}")
    return trouble


async def gone(world: World, driver: MachineDriver, id: MachineId, **options: bool) -> None:
    await driver.delete(id, cluster=world.spec.owner.cluster, **options)
    await wait_gone(driver, id, world.clock)


async def test_a_machine_is_made_runs_is_read_and_is_gone(world: World, driver: MachineDriver) -> None:
    labels = {"team": "blue"} if driver.capabilities.labels else {}
    spec = world.named(labels=labels)
    made = await driver.create(spec)
    assert made.owner == spec.owner
    running = await wait_running(driver, made.id, world.clock)
    assert (running.id, running.name, running.instance_type) == (made.id, spec.name, spec.instance_type)
    assert running.address
    assert running.labels == labels
    await gone(world, driver, made.id)
    with pytest.raises(MachineNotFound):
        await driver.read(made.id)
    assert await driver.list_owned(spec.owner.cluster) == ()


async def test_create_under_the_same_token_answers_the_same_machine(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    first, second = await driver.create(spec), await driver.create(spec)
    assert first.id == second.id
    assert len(await driver.list_owned(spec.owner.cluster)) == 1


async def test_an_operator_that_crashed_before_recording_finds_its_machine(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    made = await driver.create(spec)
    other = world.open()  # a new process that knows nothing but the specification
    try:
        assert (await other.plan(spec)).existing == made.id
        assert (await other.create(spec)).id == made.id
    finally:
        await other.aclose()


async def test_two_operators_at_once_make_one_machine(world: World, driver: MachineDriver) -> None:
    spec, other = world.named(), world.open()
    try:
        one, two = await asyncio.gather(driver.create(spec), other.create(spec))
    finally:
        await other.aclose()
    assert one.id == two.id
    assert [machine.id for machine in await driver.list_owned(spec.owner.cluster)] == [one.id]


async def test_an_answer_lost_after_the_make_leaves_one_machine(world: World, driver: MachineDriver) -> None:
    possible(world.lose_answer, "way to lose an answer")()
    spec = world.named()
    made = await driver.create(spec)
    assert [machine.id for machine in await driver.list_owned(spec.owner.cluster)] == [made.id]


async def test_what_was_made_is_found_at_once_although_the_cloud_lists_late(
    world: World, driver: MachineDriver
) -> None:
    possible(world.list_late, "late lists")()
    made = await driver.create(world.named())
    assert (await driver.read(made.id)).id == made.id


@pytest.mark.parametrize("key", ["the same key", "another key"])
async def test_a_token_makes_a_new_machine_after_the_old_one_is_deleted(
    world: World, driver: MachineDriver, key: str
) -> None:
    spec = world.named()
    first = await driver.create(spec)
    await gone(world, driver, first.id)
    if key == "another key":  # whoever makes a machine anew draws another one
        spec = replace(spec, ssh_public_key=key_pair(Ed25519PrivateKey.generate(), "another")["publicKey"])
    second = await driver.create(spec)
    if driver.capabilities.creates:
        assert first.id != second.id
    assert [machine.id for machine in await driver.list_owned(spec.owner.cluster)] == [second.id]


async def test_delete_of_what_is_gone_is_fine(world: World, driver: MachineDriver) -> None:
    made = await driver.create(world.named())
    await gone(world, driver, made.id)
    await driver.delete(made.id, cluster=world.spec.owner.cluster)


async def test_only_machines_of_the_cluster_are_listed_and_deleted(world: World, driver: MachineDriver) -> None:
    made = await driver.create(world.named())
    assert await driver.list_owned("another-cluster") == ()
    with pytest.raises(NotOurs):
        await driver.delete(made.id, cluster="another-cluster")
    assert (await driver.read(made.id)).id == made.id


async def test_somebody_elses_machine_is_neither_listed_nor_deleted(world: World, driver: MachineDriver) -> None:
    foreign = MachineId(await possible(world.make_foreign, "foreign machines")())
    cluster = world.spec.owner.cluster
    assert await driver.list_owned(cluster) == ()
    with pytest.raises(NotOurs):
        await driver.delete(foreign, cluster=cluster)


async def test_a_name_is_given_once_in_a_cluster(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    made = await driver.create(spec)
    twin = replace(spec, owner=OwnerTags(spec.owner.cluster, token=f"other-{spec.owner.token}"))
    with pytest.raises(MachineExists) as caught:
        await driver.create(twin)
    assert caught.value.id == made.id


@pytest.mark.parametrize("field", ["instance_type", "image", "zone"])
async def test_what_is_unknown_is_named_with_what_is_known(world: World, driver: MachineDriver, field: str) -> None:
    value = possible(world.bad.get(field), f"unknown {field}")
    spec = world.named(**{field: value})
    for ask in (driver.plan, driver.create):
        with pytest.raises(Unknown) as caught:
            await ask(spec)
        assert caught.value.value == value
    assert await driver.list_owned(spec.owner.cluster) == ()


async def test_options_that_the_driver_does_not_know_are_refused(world: World, driver: MachineDriver) -> None:
    with pytest.raises(InvalidSpec, match="colour"):
        await driver.plan(world.named(options={"colour": "red"}))


async def test_a_used_up_quota_is_told_and_nothing_is_made(world: World, driver: MachineDriver) -> None:
    possible(world.fill_quota, "quota")()
    with pytest.raises(QuotaExceeded):
        await driver.create(world.named())
    assert await driver.list_owned(world.spec.owner.cluster) == ()


async def test_no_capacity_names_the_offering(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    possible(world.run_dry, "capacity that runs out")(spec)
    with pytest.raises(InsufficientCapacity) as caught:
        await driver.create(spec)
    assert (caught.value.zone, caught.value.instance_type) == (spec.zone, spec.instance_type)


async def test_throttling_is_waited_out(world: World, driver: MachineDriver) -> None:
    possible(world.throttle, "throttling")(3)
    made = await driver.create(world.named())
    assert made.id


async def test_throttling_without_end_is_told_after_a_bounded_number_of_calls(
    world: World, driver: MachineDriver
) -> None:
    possible(world.throttle, "throttling")(limits.CLOUD_ATTEMPTS)
    with pytest.raises(Throttled):
        await driver.create(world.named())


async def test_power_goes_off_and_on_and_again_is_fine(world: World, driver: MachineDriver) -> None:
    can = driver.capabilities.power
    if not {Power.OFF, Power.ON} <= can:
        pytest.skip("this driver does not switch machines off and on")
    made = await driver.create(world.named())
    await wait_running(driver, made.id, world.clock)
    for _ in range(2):
        await driver.power(made.id, Power.OFF)
    assert (await driver.read(made.id)).state is MachineState.STOPPED
    for _ in range(2):
        await driver.power(made.id, Power.ON)
    assert (await wait_running(driver, made.id, world.clock)).id == made.id


@pytest.mark.parametrize("power", [Power.REBOOT, Power.RESET])
async def test_a_reboot_leaves_the_machine_running_or_is_refused(
    world: World, driver: MachineDriver, power: Power
) -> None:
    made = await driver.create(world.named())
    await wait_running(driver, made.id, world.clock)
    if power not in driver.capabilities.power:
        with pytest.raises(CannotDo):
            await driver.power(made.id, power)
        return
    await driver.power(made.id, power)
    assert (await wait_running(driver, made.id, world.clock)).id == made.id


async def test_what_is_not_there_is_told_by_every_question(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    made = await driver.create(spec)
    await gone(world, driver, made.id)
    with pytest.raises(MachineNotFound):
        await driver.read(made.id)
    with pytest.raises(MachineNotFound):
        await driver.update(made.id, spec)
    if Power.ON in driver.capabilities.power:
        with pytest.raises(MachineNotFound):
            await driver.power(made.id, Power.ON)


async def test_labels_are_changed_in_place(world: World, driver: MachineDriver) -> None:
    if "labels" not in driver.capabilities.in_place:
        pytest.skip("this driver does not change labels")
    spec = world.named(labels={"old": "1", "kept": "2"})
    made = await driver.create(spec)
    changed = await driver.update(made.id, replace(spec, labels={"kept": "3"}))
    assert changed.labels == {"kept": "3"}
    assert changed.owner == spec.owner


async def test_a_change_that_needs_another_machine_is_refused(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    made = await driver.create(spec)
    with pytest.raises(CannotDo):
        await driver.update(made.id, replace(spec, instance_type=f"{spec.instance_type}-other"))


async def test_a_machine_with_data_is_deleted_with_consent_only(world: World, driver: MachineDriver) -> None:
    if not driver.capabilities.data_disks:
        with pytest.raises(CannotDo):
            await driver.plan(world.named(data_disks=(DataDisk(1024**3),)))
        return
    made = await driver.create(world.named(data_disks=(DataDisk(1024**3),)))
    with pytest.raises(HoldsData) as caught:
        await driver.delete(made.id, cluster=world.spec.owner.cluster)
    assert len(caught.value.disks) == 1
    await gone(world, driver, made.id, discard_data=True)


async def test_spot_is_sold_or_refused(world: World, driver: MachineDriver) -> None:
    spec = world.named(capacity_type=CapacityType.SPOT)
    if not driver.capabilities.spot:
        with pytest.raises(InvalidSpec):
            await driver.plan(spec)
        return
    assert (await driver.create(spec)).capacity_type is CapacityType.SPOT


async def test_the_console_is_shown_or_refused(world: World, driver: MachineDriver) -> None:
    made = await driver.create(world.named())
    await wait_running(driver, made.id, world.clock)
    if driver.capabilities.console:
        assert isinstance(await driver.console(made.id), str)
    else:
        with pytest.raises(CannotDo):
            await driver.console(made.id)


async def test_offerings_are_sorted_priced_and_hold_the_specification(world: World, driver: MachineDriver) -> None:
    sold = await driver.offerings()
    assert list(sold) == sorted(sold, key=lambda offering: offering.key)
    assert len({offering.key for offering in sold}) == len(sold)
    assert world.spec.instance_type in {offering.instance_type for offering in sold}
    for offering in sold:
        assert (offering.price_micros_per_hour == 0) is (offering.capacity_type is CapacityType.OWNED)


async def test_the_plan_says_what_it_will_be_and_what_it_cannot_know(world: World, driver: MachineDriver) -> None:
    spec = world.named()
    planned = await driver.plan(spec)
    assert planned.existing is None
    assert planned.spec.name == spec.name
    assert planned.offering is not None
    assert planned.offering.instance_type == spec.instance_type
    assert await driver.list_owned(spec.owner.cluster) == ()


async def test_nothing_is_left_beside_machines(world: World, driver: MachineDriver) -> None:
    made, cluster = await driver.create(world.named()), world.spec.owner.cluster
    assert await driver.tidy(cluster) == ()
    await gone(world, driver, made.id)
    await driver.tidy(cluster)
    assert await driver.tidy(cluster) == ()
