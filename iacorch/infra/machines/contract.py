"""What a machine driver is, and the values that go in and out of one. Pure data and one protocol.

In: a `MachineSpec` (one machine, wanted) from the provider's `VirtualMachine` or from the provisioner. Out: a `Machine`
(one machine, seen) or a typed error of `errors`. A driver speaks for one account in one region; `registry` opens one by
its name. `fake` is the specification: what it does, `tests/infra/machines/test_conformance.py` asks of every driver.

The rules that every driver keeps:

1. `create` under a token that already made a machine answers that machine. Crashing between making and recording, and
   two operators at once, therefore make one machine. The token is a tag on what was made.
2. After `create` has answered, `read` and `list_owned` find the machine: a cloud's eventual consistency ends here.
3. `delete` of what is gone is fine, and `delete` never touches what does not carry our cluster's tag.
4. Nothing is asked again without bound, nothing is waited for without bound (`retries`).
5. What a driver cannot do it says in `capabilities` and refuses with `CannotDo`; it never pretends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType, Protocol

MachineId = NewType("MachineId", str)
"""What the cloud calls one machine: an instance ID, a container ID, a host's name. Never used again for another one."""

MICROS_PER_UNIT: Final = 1_000_000
"""Prices are whole millionths of the currency unit: they add up exactly, and a million of them is one dollar."""
HOURS_PER_MONTH: Final = 730
"""What clouds and their calculators take a month for."""

TAG_CLUSTER: Final = "iacorch.dev/cluster"
TAG_CLAIM: Final = "iacorch.dev/claim"
TAG_TOKEN: Final = "iacorch.dev/token"


class CapacityType(StrEnum):
    """How a machine is paid for, in the order in which pools prefer them."""

    OWNED = "owned"
    SPOT = "spot"
    ON_DEMAND = "on-demand"


class MachineState(StrEnum):
    """Where a machine is in its life. One that is gone has no state: `read` raises MachineNotFound."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETING = "deleting"
    BROKEN = "broken"
    """It exists and will not run by itself any more; `Machine.problem` says why."""


class Power(StrEnum):
    """What can be done to a machine's power. Each is fine when the machine is already so."""

    ON = "on"
    OFF = "off"
    REBOOT = "reboot"
    """Asks the operating system."""
    RESET = "reset"
    """Pulls the plug and puts it back: for machines that no longer listen."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a machine brings. `extended` are further Kubernetes resources, such as ("nvidia.com/gpu", 1)."""

    cpu_millis: int
    memory_bytes: int
    disk_bytes: int = 0
    extended: tuple[tuple[str, int], ...] = ()

    def holds(self, other: Capacity) -> bool:
        """Whether everything in `other` fits into this."""
        mine = dict(self.extended)
        return (
            self.cpu_millis >= other.cpu_millis
            and self.memory_bytes >= other.memory_bytes
            and self.disk_bytes >= other.disk_bytes
            and all(mine.get(name, 0) >= count for name, count in other.extended)
        )


@dataclass(frozen=True, slots=True)
class Offering:
    """A kind of machine that can be had at a place for a price.

    `price_micros_per_hour` is in millionths of a dollar, 0 for what is owned. `free` bounds how many more there are
    where that is known (owned hosts, a quota); None where only trying tells.
    """

    instance_type: str
    zone: str
    capacity_type: CapacityType
    capacity: Capacity
    price_micros_per_hour: int
    arch: str = "amd64"
    free: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells offerings of one driver apart."""
        return (self.instance_type, self.zone, self.capacity_type.value)


@dataclass(frozen=True, slots=True)
class OwnerTags:
    """Whose a machine is. `claim` is the NodeClaim's UID, empty for machines that a user's program declared.

    `token` makes `create` idempotent: derive it from the owner (a claim's UID, a URN), never from chance or time.
    """

    cluster: str
    token: str
    claim: str = ""

    def as_tags(self) -> dict[str, str]:
        """As tags of the cloud, empty ones left out."""
        tags = {TAG_CLUSTER: self.cluster, TAG_TOKEN: self.token, TAG_CLAIM: self.claim}
        return {name: value for name, value in tags.items() if value}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> OwnerTags | None:
        """None for what is not ours."""
        if TAG_CLUSTER not in tags or TAG_TOKEN not in tags:
            return None
        return cls(tags[TAG_CLUSTER], tags[TAG_TOKEN], tags.get(TAG_CLAIM, ""))


@dataclass(frozen=True, slots=True)
class DataDisk:
    """A disk beside the root disk. Deleting a machine that has one needs consent."""

    size_bytes: int
    type: str = ""
    """In the cloud's words (`gp3`); empty: the cloud's default."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One machine, wanted. Empty strings leave the choice to the driver (zone, image) or mean nothing (user data).

    `options` are the driver's own settings of one machine (AWS: `subnet`, `security_groups`, `instance_profile`,
    `placement_group`, ...); each driver refuses those that it does not know.
    """

    name: str
    instance_type: str
    owner: OwnerTags
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    zone: str = ""
    image: str = ""
    ssh_public_key: str = ""
    """A line of authorized_keys for the image's administrator."""
    user_data: str = field(default="", repr=False)
    root_disk_bytes: int = 0
    data_disks: tuple[DataDisk, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further tags, for people and bills."""
    max_price_micros_per_hour: int = 0
    """Spot only; 0: up to the price on demand."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interruption:
    """The cloud takes the machine back at `at`: a spot interruption, or announced maintenance."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, seen. `owner` is None for one that is not ours, and for those only `read` by ID ever shows it."""

    id: MachineId
    name: str
    state: MachineState
    instance_type: str
    zone: str
    capacity_type: CapacityType
    owner: OwnerTags | None
    image: str = ""
    address: str = ""
    """Where SSH reaches it from here; empty until it has one."""
    ssh_port: int = 22
    ssh_user: str = "root"
    private_address: str = ""
    """Where the other machines reach it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    data_disks: tuple[str, ...] = ()
    """IDs of its data disks."""
    problem: str = ""
    interruption: Interruption | None = None


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """What `create` would do. `spec` has the driver's choices filled in; `unknown` names fields only making tells."""

    spec: MachineSpec
    offering: Offering | None
    summary: str
    unknown: tuple[str, ...] = ("id", "address", "privateAddress")
    existing: MachineId | None = None
    """The machine that an earlier try under the same token made."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver can do. `in_place` names the fields of a MachineSpec that `update` follows; others replace."""

    creates: bool = True
    """False: machines are adopted and given back, never made or destroyed."""
    spot: bool = False
    data_disks: bool = False
    user_data: bool = True
    labels: bool = True
    """False: labels are taken and not kept, since the cloud has no tags."""
    power: frozenset[Power] = frozenset()
    console: bool = False
    interruption_notices: bool = False
    in_place: frozenset[str] = frozenset({"labels"})


class MachineDriver(Protocol):
    """One account in one region of one cloud. Every method raises leaves of `errors.MachineError` only."""

    @property
    def name(self) -> str:
        """The name in `registry`."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def offerings(self) -> tuple[Offering, ...]:
        """What can be had, cheapest first within equal machines; sorted by key, so that two calls compare."""
        ...

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        """Say whether `create` would be taken, as far as asking tells. Changes nothing.

        Raises MissingCredentials, Unknown (Size, Image, Zone), InvalidSpec, QuotaExceeded, MachineExists, CannotDo.
        """
        ...

    async def create(self, spec: MachineSpec) -> Machine:
        """Make it, or answer the one that `spec.owner.token` made. It may still be PENDING: see `waiting`.

        Raises what `plan` raises, and InsufficientCapacity, PartlyMade (with the machine), Throttled, CloudUnavailable.
        """
        ...

    async def read(self, id: MachineId) -> Machine:
        """Raises MachineNotFound when it is certain that there is none any more."""
        ...

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        """Bring the fields of `capabilities.in_place` to `spec`. Raises MachineNotFound, CannotDo for others."""
        ...

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        """Begin its end (`read` raises MachineNotFound later); gone is fine.

        Raises NotOurs without this cluster's tag, HoldsData when it has data disks and `discard_data` is not given.
        """
        ...

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        """Every machine with the cluster's tag that is not gone, those half-made included, sorted by ID."""
        ...

    async def power(self, id: MachineId, power: Power) -> None:
        """Raises MachineNotFound, CannotDo, Interrupted (the cloud has taken it back)."""
        ...

    async def console(self, id: MachineId) -> str:
        """The last of what it wrote to its console. Raises MachineNotFound, CannotDo."""
        ...

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        """Remove what the driver keeps for a cluster beside machines (key pairs, security groups), and say what.

        Does nothing while the cluster has machines.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections. Machines stay."""
        ...
