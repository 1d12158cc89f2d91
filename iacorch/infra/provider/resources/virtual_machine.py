"""VirtualMachine: one machine of any driver, from a program to running and gone.

Its token comes from the URN, so a create that was cut short finds what it made. What exists and does not run yet is
half-made: the engine keeps it, and the next update goes on. Called by the servicer; the machine itself is the
driver's. An ID to import is `DRIVER?SETTING=VALUE&...#ID`, for example `aws?region=eu-central-1#i-0123`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from iacorch.errors import MachineError
from iacorch.infra.machines.contract import Machine, MachineDriver, MachineId, MachineState, Power
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.machines.errors import (
    CloudUnavailable,
    InvalidSpec,
    MachineNotFound,
    PartlyMade,
    Throttled,
)
from iacorch.infra.machines.retries import wait_gone, wait_running
from iacorch.infra.provider.properties import Difference, Failure
from iacorch.infra.provider.resource import HalfMade, Made, Properties, Request, name_of, token_of, words
from iacorch.infra.provider.resources import virtual_machine_spec as shapes
from iacorch.infra.provider.resources.virtual_machine_spec import SPEC
from iacorch.kit.clock import Clock

Open = Callable[[str, Mapping[str, Any]], MachineDriver]


class VirtualMachines:
    """Implements `Resource` and `Importable`. `open` makes a driver from its name and settings."""

    spec = SPEC

    def __init__(self, open: Open, clock: Clock) -> None:
        self._open = open
        self._clock = clock

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return shapes.complete(inputs, name=name_of(urn), cluster=shapes.cluster_of(urn))

    def check(self, inputs: Properties) -> Sequence[Failure]:
        return tuple(shapes.failures(inputs))

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        # A name is given once in a cluster, and the token is this resource's.
        return True

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        unknown: dict[str, Any] = {p.name: UNKNOWN for p in SPEC.outputs}
        if state:
            return {**unknown, **state, "state": MachineState.RUNNING.value}
        if not shapes.is_plannable(inputs):
            return unknown
        async with self._driver(inputs) as driver:
            try:
                planned = await driver.plan(shapes.machine_spec(inputs, token=token_of(request.urn)))
            except (CloudUnavailable, Throttled) as error:
                request.say(f"not asked what it will be: {words(error)}")
                return unknown
        request.say(planned.summary)
        known: dict[str, Any] = {
            "state": MachineState.RUNNING.value,
            "pricePerHour": shapes.price_words(planned.offering),
        }
        if planned.spec.zone:
            known["placedIn"] = planned.spec.zone
        if planned.existing:
            known["machineId"] = planned.existing
        return {**unknown, **known}

    async def create(self, request: Request, inputs: Properties) -> Made:
        spec = shapes.machine_spec(inputs, token=token_of(request.urn))
        async with self._driver(inputs) as driver:
            planned = await driver.plan(spec)
            price = shapes.price_words(planned.offering)
            request.say(planned.summary)
            try:
                machine = await driver.create(spec)
            except PartlyMade as error:
                raise HalfMade(_made(error.machine, price), [words(error)]) from error
            return await self._running(request, driver, machine, price)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        async with self._driver(inputs) as driver:
            try:
                machine = await driver.read(MachineId(id))
            except MachineNotFound:
                return None
        return _made(machine, str(state.get("pricePerHour", "")))

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        token = token_of(request.urn)
        async with self._driver(inputs) as driver:
            owned = await driver.list_owned(str(inputs["cluster"]))
        found = [m for m in owned if m.owner and m.owner.token == token and m.state is not MachineState.DELETING]
        if not found:
            return None
        made = _made(found[0], "")
        if found[0].state is not MachineState.RUNNING:
            raise HalfMade(made, [f"{found[0].name} ({found[0].id}) is {found[0].state.value}"])
        return made

    async def adopt(self, request: Request, id: str) -> tuple[dict[str, Any], Made] | None:
        """A machine to import: its inputs as far as they can be told, and what it is."""
        driver_name, settings, machine_id = import_id(id)
        async with self._driver({"driver": driver_name, "settings": settings}) as driver:
            try:
                machine = await driver.read(MachineId(machine_id))
            except MachineNotFound:
                return None
        if machine.owner is None:
            request.say(f"{machine_id} carries no tag of iacorch: it is read, and will not be deleted")
        return shapes.imported(machine, driver=driver_name, settings=settings), _made(machine, "")

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        price = str(state.get("pricePerHour", ""))
        async with self._driver(inputs) as driver:
            machine = await driver.read(MachineId(id))
            spec = shapes.machine_spec(inputs, token=machine.owner.token if machine.owner else token_of(request.urn))
            if dict(machine.labels) != dict(spec.labels):
                machine = await driver.update(machine.id, spec)
            if machine.state is MachineState.STOPPED and Power.ON in driver.capabilities.power:
                request.say(f"{machine.name}: switching it on")
                await driver.power(machine.id, Power.ON)
            return await self._running(request, driver, machine, price)

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        cluster = str(inputs.get("cluster", ""))  # none: imported, not tagged by us, and the driver will refuse
        async with self._driver(inputs) as driver:
            await driver.delete(MachineId(id), cluster=cluster, discard_data=bool(inputs.get("discardData")))
            await wait_gone(driver, MachineId(id), self._clock, timeout_seconds=request.timeout_seconds)
            for thing in await driver.tidy(cluster):
                request.say(f"removed {thing}, which only machines of {cluster} used")

    async def _running(self, request: Request, driver: MachineDriver, machine: Machine, price: str) -> Made:
        """Wait; from here on something exists, and whatever goes wrong is half-made."""
        try:
            running = await wait_running(
                driver, machine.id, self._clock, timeout_seconds=request.timeout_seconds, say=request.say
            )
        except MachineError as error:
            # By its name, as the servicer tells errors that made nothing: who reads it may act on it.
            raise HalfMade(_made(machine, price), [f"{type(error).__name__}: {words(error)}"]) from error
        return _made(running, price)

    @asynccontextmanager
    async def _driver(self, inputs: Properties) -> AsyncIterator[MachineDriver]:
        driver = self._open(str(inputs["driver"]), inputs.get("settings") or {})
        try:
            yield driver
        finally:
            await driver.aclose()


def import_id(text: str) -> tuple[str, dict[str, str], str]:
    """Driver, settings and machine of an ID to import. Raises InvalidSpec."""
    place, hash_mark, machine = text.partition("#")
    driver, _, query = place.partition("?")
    if not hash_mark or not machine or not driver:
        raise InvalidSpec(
            "id",
            f"{text!r} does not say where the machine is",
            hint="import DRIVER?SETTING=VALUE#ID, for example 'aws?region=eu-central-1#i-0123'",
        )
    return driver, dict(parse_qsl(query)), machine


def _made(machine: Machine, price: str) -> Made:
    return Made(machine.id, shapes.outputs(machine, price=price))
