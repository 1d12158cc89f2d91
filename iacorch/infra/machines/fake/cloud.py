"""The fake cloud's API: instances under client tokens, with quotas, latency, faults and a bill.

In: calls of one or many `FakeDriver`s. Out: snapshots of `Instance`s, or leaves of MachineError as a driver would
translate them. Like EC2: a client token answers the instance it made, dead ones included; another request under it is
refused; what was just made may not be listed yet; a spot instance gets notice and is then taken. Time is the clock's,
so that nothing happens between two readings. The methods after `console` are for tests: what other people do to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from iacorch.infra.machines.contract import (
    CapacityType,
    Interruption,
    MachineId,
    MachineSpec,
    MachineState,
    Offering,
    Power,
)
from iacorch.infra.machines.errors import (
    CloudUnavailable,
    InsufficientCapacity,
    Interrupted,
    MachineExists,
    MachineNotFound,
    QuotaExceeded,
    Throttled,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.fake import offerings as catalogue
from iacorch.infra.machines.fake.faults import Fault, Faults, Quotas
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

_FOREVER = timedelta(days=36_500)
_NOTICE_SECONDS = 120.0


@dataclass(slots=True)
class Instance:
    """One machine as the cloud keeps it."""

    id: MachineId
    spec: MachineSpec
    offering: Offering
    address: str
    tags: dict[str, str]
    made: datetime
    visible: datetime
    boots: datetime
    on: bool = True
    broken: bool = False
    ends: datetime | None = None
    gone: datetime | None = None
    interruption: Interruption | None = None
    log: list[str] = field(default_factory=list)

    def state(self, now: datetime) -> MachineState | None:
        """None: gone."""
        if self.gone is not None and now >= self.gone:
            return None
        if self.ends is not None and now >= self.ends:
            return MachineState.DELETING
        if not self.on:
            return MachineState.STOPPED
        if now < self.boots:
            return MachineState.PENDING
        return MachineState.BROKEN if self.broken else MachineState.RUNNING


class FakeCloud:
    """One account in one region; many drivers may use it at once."""

    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        *,
        offerings: Iterable[Offering] | None = None,
        faults: Faults | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._offerings = {o.key: o for o in (catalogue.offerings() if offerings is None else offerings)}
        self.faults = faults or Faults()
        self.quotas = quotas or Quotas()
        self.instances: dict[MachineId, Instance] = {}
        self._by_token: dict[str, MachineId] = {}
        self._second, self._calls_in_second = -1, 0
        self._made = 0

    @property
    def offerings(self) -> tuple[Offering, ...]:
        return tuple(self._offerings.values())

    def sell(self, offering: Offering) -> None:
        """Add an offering, or change its price."""
        self._offerings[offering.key] = offering

    # The API

    async def run(self, token: str, spec: MachineSpec) -> Instance:
        """Make an instance, or answer the one this client token made."""
        fault = await self._arrive("run")
        known = self._by_token.get(token)
        if known is not None:
            instance = self.instances[known]
            if instance.spec != spec:
                raise MachineExists(spec.name, known, f"the token {token} made {known} from another specification")
            self._leave("run", fault)
            return instance
        offering = self._choose(spec)
        self._check_quotas(offering)
        if fault is Fault.NO_CAPACITY or offering.key in self.faults.dry:
            raise InsufficientCapacity(
                zone=offering.zone, instance_type=spec.instance_type, capacity_type=spec.capacity_type
            )
        instance = self._make(spec, offering)
        self._by_token[token] = instance.id
        self._leave("run", fault)
        return instance

    async def describe(self, id: MachineId) -> Instance:
        """Raises MachineNotFound for what is gone and for what is not visible yet, which cannot be told apart."""
        fault = await self._arrive("describe")
        instance = self._visible(id)
        self._leave("describe", fault)
        return instance

    async def list(self, tags: Mapping[str, str]) -> tuple[Instance, ...]:
        """Visible instances that carry all these tags, by ID."""
        fault = await self._arrive("list")
        now = self._clock.now()
        found = tuple(
            instance
            for _, instance in sorted(self.instances.items())
            if now >= instance.visible and instance.state(now) is not None and tags.items() <= instance.tags.items()
        )
        self._leave("list", fault)
        return found

    async def terminate(self, id: MachineId) -> None:
        fault = await self._arrive("terminate")
        instance = self._visible(id)
        self._end(instance, self._clock.now())
        self._leave("terminate", fault)

    async def tag(self, id: MachineId, tags: Mapping[str, str]) -> None:
        """Replace all tags."""
        fault = await self._arrive("tag")
        self._visible(id).tags = dict(tags)
        self._leave("tag", fault)

    async def power(self, id: MachineId, power: Power) -> None:
        fault = await self._arrive("power")
        instance, now = self._visible(id), self._clock.now()
        if instance.state(now) is MachineState.DELETING:
            raise Interrupted(id) if instance.interruption else MachineNotFound(id)
        instance.log.append(f"power {power.value}")
        if power is Power.OFF:
            instance.on = False
        elif not instance.on or power is not Power.ON:
            instance.on = True
            if instance.boots - now < _FOREVER / 2:
                instance.boots = now + timedelta(seconds=self.faults.boot_seconds)
        self._leave("power", fault)

    async def console(self, id: MachineId) -> str:
        fault = await self._arrive("console")
        instance, now = self._visible(id), self._clock.now()
        lines = ["Linux version 6.12 (fake)", *instance.log]
        lines.append(f"{instance.spec.name} login:" if now >= instance.boots else "waiting for root device")
        self._leave("console", fault)
        return "\n".join(lines)

    # What other people do

    def interrupt(self, id: MachineId, *, notice_seconds: float = _NOTICE_SECONDS, reason: str = "spot") -> None:
        """Give notice; the machine ends by itself when it is over."""
        instance = self.instances[id]
        at = self._clock.now() + timedelta(seconds=notice_seconds)
        instance.interruption = Interruption(at, reason)
        self._end(instance, at)

    def vanish(self, id: MachineId) -> None:
        """Somebody deleted it elsewhere."""
        self.instances[id].gone = self._clock.now()

    def alive(self) -> tuple[Instance, ...]:
        """All that are not gone, visible or not: what is paid for."""
        now = self._clock.now()
        return tuple(i for _, i in sorted(self.instances.items()) if i.state(now) is not None)

    def spent_micros(self) -> int:
        """The bill until now, in millionths, by the second."""
        now = self._clock.now()
        return sum(
            int((min(now, i.gone or now) - i.made).total_seconds() * i.offering.price_micros_per_hour / 3600)
            for i in self.instances.values()
        )

    async def _arrive(self, operation: str) -> Fault:
        """Let time pass, and fail as planned before anything is done."""
        await self._clock.sleep(self.faults.latency_seconds)
        second = int(self._clock.monotonic())
        self._calls_in_second = self._calls_in_second + 1 if second == self._second else 1
        self._second = second
        bound = self.quotas.calls_per_second
        if bound is not None and self._calls_in_second > bound:
            raise Throttled(operation, retry_after_seconds=1.0)
        fault = self.faults.next(operation, self._ids.fraction())
        if fault is Fault.THROTTLE:
            raise Throttled(operation)
        if fault is Fault.LOSE_REQUEST:
            raise CloudUnavailable(operation, "no answer")
        return fault

    def _leave(self, operation: str, fault: Fault) -> None:
        """Fail as planned after it was done."""
        if fault is Fault.LOSE_ANSWER:
            raise CloudUnavailable(operation, "no answer")
        if fault is Fault.HALF_ANSWER:
            raise CloudUnavailable(operation, "the answer broke off")

    def _choose(self, spec: MachineSpec) -> Offering:
        sold = self._offerings.values()
        if spec.image not in catalogue.IMAGES:
            raise UnknownImage(spec.image, known=catalogue.IMAGES)
        if spec.instance_type not in (types := {o.instance_type for o in sold}):
            raise UnknownSize(spec.instance_type, known=types)
        if spec.zone not in (zones := {o.zone for o in sold}):
            raise UnknownZone(spec.zone, known=zones)
        key = (spec.instance_type, spec.zone, spec.capacity_type.value)
        offering = self._offerings.get(key)
        bid = spec.max_price_micros_per_hour
        too_dear = offering is not None and spec.capacity_type is CapacityType.SPOT and bid > 0
        if offering is None or (too_dear and offering.price_micros_per_hour > bid):
            raise InsufficientCapacity(
                zone=spec.zone, instance_type=spec.instance_type, capacity_type=spec.capacity_type
            )
        return offering

    def _check_quotas(self, offering: Offering) -> None:
        alive = self.alive()
        if self.quotas.machines is not None and len(alive) >= self.quotas.machines:
            raise QuotaExceeded("machines", limit=self.quotas.machines)
        cores = sum(i.offering.capacity.cpu_millis for i in alive) + offering.capacity.cpu_millis
        if self.quotas.cores is not None and cores > self.quotas.cores * 1000:
            raise QuotaExceeded("cores", limit=self.quotas.cores)

    def _make(self, spec: MachineSpec, offering: Offering) -> Instance:
        now, self._made = self._clock.now(), self._made + 1
        drawn, never = self._ids.fraction(), self.faults.never_boot_rate
        boots, breaks = drawn >= never, never <= drawn < never + self.faults.break_rate
        instance = Instance(
            id=MachineId(f"i-{self._made:08x}"),
            spec=dataclasses.replace(spec),
            offering=offering,
            address=f"10.{self._made >> 16 & 255}.{self._made >> 8 & 255}.{self._made & 255}",
            tags={**spec.labels, **spec.owner.as_tags(), "Name": spec.name},
            made=now,
            visible=now + timedelta(seconds=self.faults.visible_after_seconds),
            boots=now + (timedelta(seconds=self.faults.boot_seconds) if boots else _FOREVER),
            broken=breaks or offering.key in self.faults.brittle,
        )
        self.instances[instance.id] = instance
        return instance

    def _visible(self, id: MachineId) -> Instance:
        instance, now = self.instances.get(id), self._clock.now()
        if instance is None or now < instance.visible or instance.state(now) is None:
            raise MachineNotFound(id)
        return instance

    def _end(self, instance: Instance, at: datetime) -> None:
        if instance.ends is None or at < instance.ends:
            instance.ends, instance.gone = at, at + timedelta(seconds=self.faults.delete_seconds)
