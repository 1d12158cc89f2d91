"""VirtualMachine over the protocol on the fake cloud: previews, half-made creates, replacement, import, consent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, status_pb2

from iacorch.infra.machines.contract import MachineDriver
from iacorch.infra.machines.docker_provider import wire
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.machines.errors import InvalidSpec, UnknownSize
from iacorch.infra.machines.fake import FakeCloud, FakeDriver, Faults
from iacorch.infra.machines.fake.offerings import offerings
from iacorch.infra.provider.resources.machine_class import MachineClasses, narrowed
from iacorch.infra.provider.resources.manifest import Manifests
from iacorch.infra.provider.resources.virtual_machine import VirtualMachines, import_id
from iacorch.kit.ids import SeededIds
from tests.infra.machines.worlds import QuickClock
from tests.infra.provider.test_plugin import serving

URN = "urn:pulumi:dev::shop::iacorch:index:VirtualMachine::web"
INPUTS = {"driver": "aws", "instanceType": "general.small", "settings": {"region": "fake-1"}}


@dataclass
class Bench:
    """A provider whose drivers all open on one fake cloud."""

    stub: Any
    cloud: FakeCloud

    async def check(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self.stub.Check(provider_pb2.CheckRequest(urn=URN, news=wire.encode(inputs)))
        assert not answer.failures, answer.failures
        return wire.decode(answer.inputs)[0]

    async def create(self, inputs: Mapping[str, Any], *, preview: bool = False) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=URN, properties=wire.encode(inputs), preview=preview, timeout=60)
        made = await self.stub.Create(request)
        return made.id, wire.decode(made.properties)[0]

    async def diff(self, old: Mapping[str, Any], new: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        request = provider_pb2.DiffRequest(
            urn=URN, olds=wire.encode(state), news=wire.encode(new), old_inputs=wire.encode(old)
        )
        return await self.stub.Diff(request)

    async def read(self, id: str, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
        request = provider_pb2.ReadRequest(id=id, urn=URN, inputs=wire.encode(inputs), properties=wire.encode(state))
        return await self.stub.Read(request)

    async def delete(self, id: str, inputs: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        request = provider_pb2.DeleteRequest(
            id=id, urn=URN, properties=wire.encode(state), old_inputs=wire.encode(inputs), timeout=60
        )
        await self.stub.Delete(request)


@asynccontextmanager
async def bench(faults: Faults | None = None) -> AsyncIterator[Bench]:
    clock, ids = QuickClock(), SeededIds(3)
    cloud = FakeCloud(clock, ids, faults=faults)

    def opened(driver: str, settings: Mapping[str, Any]) -> MachineDriver:
        return FakeDriver(cloud, clock, ids)

    resources = [VirtualMachines(opened, clock), MachineClasses(opened, Manifests(clock))]
    async with serving(resources) as stub:
        yield Bench(stub, cloud)


async def test_a_machine_is_made_is_unchanged_is_read_and_is_gone() -> None:
    async with bench() as world:
        inputs = await world.check(INPUTS)
        assert (inputs["name"], inputs["cluster"], inputs["capacityType"]) == ("web", "shop-dev", "on-demand")
        id, state = await world.create(inputs)
        assert (state["state"], state["pricePerHour"]) == ("running", "0.042")
        assert state["address"]
        assert (await world.diff(inputs, inputs, state)).changes == provider_pb2.DiffResponse.DIFF_NONE
        assert wire.decode((await world.read(id, inputs, state)).properties)[0]["machineId"] == id
        await world.delete(id, inputs, state)
        assert world.cloud.alive() == ()
        assert (await world.read(id, inputs, state)).id == ""


async def test_a_preview_says_price_and_place_and_what_it_cannot_know() -> None:
    async with bench() as world:
        inputs = await world.check({**INPUTS, "sshPublicKey": UNKNOWN})
        _, planned = await world.create(inputs, preview=True)
        assert (planned["pricePerHour"], planned["placedIn"]) == ("0.042", "fake-1a")
        assert (planned["address"], planned["machineId"]) == (UNKNOWN, UNKNOWN)
        assert world.cloud.alive() == ()


async def test_a_preview_refuses_what_the_cloud_would_refuse() -> None:
    async with bench() as world:
        inputs = await world.check({**INPUTS, "instanceType": "general.smol"})
        with pytest.raises(grpc.aio.AioRpcError, match=r"general\.small"):
            await world.create(inputs, preview=True)


async def test_a_preview_asks_nothing_while_the_essentials_are_unknown() -> None:
    async with bench() as world:
        inputs = await world.check({**INPUTS, "instanceType": UNKNOWN})
        _, planned = await world.create(inputs, preview=True)
        assert planned["pricePerHour"] == UNKNOWN


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"labels": {"a": "b"}}, []),
        ({"discardData": True}, []),
        ({"settings": {"region": "fake-1", "profile": "other"}}, []),
        ({"settings": {"region": "fake-2"}}, ["settings.region"]),
        ({"instanceType": "general.large"}, ["instanceType"]),
        ({"image": "debian-13"}, ["image"]),
        ({"name": "other"}, ["name"]),
    ],
    ids=lambda value: str(value),
)
async def test_what_replaces_and_what_does_not(change: dict[str, Any], replaces: list[str]) -> None:
    async with bench() as world:
        old, new = await world.check(INPUTS), await world.check({**INPUTS, **change})
        found = await world.diff(old, new, {**old, "state": "running"})
        assert found.changes == provider_pb2.DiffResponse.DIFF_SOME
        assert list(found.replaces) == replaces
        assert found.deleteBeforeReplace is bool(replaces)


async def test_a_machine_that_never_boots_is_kept_as_half_made() -> None:
    async with bench(Faults(never_boot_rate=1.0)) as world:
        inputs = await world.check(INPUTS)
        with pytest.raises(grpc.aio.AioRpcError, match=r"NeverBooted: .* was not running after 60 s") as caught:
            await world.create(inputs)
        detail = provider_pb2.ErrorResourceInitFailed()
        raw = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        assert status_pb2.Status.FromString(raw).details[0].Unpack(detail)
        assert [instance.id for instance in world.cloud.alive()] == [detail.id]


async def test_a_create_that_was_cut_off_goes_on_with_what_it_made() -> None:
    async with bench() as world:
        inputs = await world.check(INPUTS)
        first, _ = await world.create(inputs)
        second, _ = await world.create(inputs)
        assert first == second
        found = await world.read("", inputs, {})
        assert found.id == first


async def test_data_is_lost_with_consent_only() -> None:
    async with bench() as world:
        inputs = await world.check({**INPUTS, "dataDisksGib": [10]})
        id, state = await world.create(inputs)
        with pytest.raises(grpc.aio.AioRpcError, match="discard_data"):
            await world.delete(id, inputs, state)
        assert len(world.cloud.alive()) == 1
        await world.delete(id, {**inputs, "discardData": True}, state)
        assert world.cloud.alive() == ()


async def test_a_machine_is_imported_by_driver_settings_and_id() -> None:
    async with bench() as world:
        inputs = await world.check({**INPUTS, "labels": {"team": "blue"}})
        id, _ = await world.create(inputs)
        found = await world.read(f"aws?region=fake-1#{id}", {}, {})
        assert found.id == id
        imported = wire.decode(found.inputs)[0]
        assert imported["settings"] == {"region": "fake-1"}
        assert (imported["name"], imported["instanceType"], imported["labels"]) == (
            "web",
            "general.small",
            {"team": "blue"},
        )
        assert (await world.read("aws?region=fake-1#i-none", {}, {})).id == ""


@pytest.mark.parametrize("id", ["i-0123", "aws#", "#i-0123", ""])
def test_an_id_that_does_not_say_where_is_refused(id: str) -> None:
    with pytest.raises(InvalidSpec, match="does not say where"):
        import_id(id)


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({**INPUTS, "driver": "azzure"}, "driver"),
        ({**INPUTS, "name": "Not A Name"}, "name"),
        ({**INPUTS, "capacityType": "free"}, "capacityType"),
        ({**INPUTS, "maxPricePerHour": "cheap"}, "maxPricePerHour"),
        ({**INPUTS, "dataDisksGib": [0]}, "dataDisksGib"),
        ({**INPUTS, "settings": "eu"}, "settings"),
        ({"driver": "aws"}, "instanceType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_inputs_are_named(inputs: dict[str, Any], path: str) -> None:
    async with bench() as world:
        answer = await world.stub.Check(provider_pb2.CheckRequest(urn=URN, news=wire.encode(inputs)))
        assert [failure.property for failure in answer.failures] == [path]


def test_offerings_of_a_class_are_narrowed_and_priced() -> None:
    left = narrowed(offerings(), {"instanceTypes": ["general.small"], "zones": ["fake-1b"], "capacityTypes": ["spot"]})
    assert left == [
        {
            "machineType": "general.small",
            "zone": "fake-1b",
            "capacityType": "spot",
            "capacity": {"cpu": "2000m", "memory": str(8 * 1024**3)},
            "moneyPerHour": "0.0147",
            "labels": {"kubernetes.io/arch": "amd64"},
        }
    ]
    with pytest.raises(UnknownSize):
        narrowed(offerings(), {"instanceTypes": ["general.smol"]})
    with pytest.raises(InvalidSpec, match="no offering is left"):
        narrowed(offerings(), {"capacityTypes": ["owned"]})
