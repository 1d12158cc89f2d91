"""What can go wrong between asking for a machine and having one, as leaves of `iacorch.errors.MachineError`.

MachineError
+-- MissingCredentials       none were found, or the cloud does not take them
+-- NotPermitted             known to the cloud, and not allowed to do this
+-- InvalidSpec              a field's value cannot be; `field` says which
|   +-- Unknown              there is no such thing: UnknownRegion, UnknownZone, UnknownSize, UnknownImage
+-- QuotaExceeded            the account may not have more; `quota` says of what
+-- InsufficientCapacity     the cloud has none of these at this place now; try another offering
+-- Throttled                asked too often, all retries included; `retry_after_seconds`
+-- CloudUnavailable         no answer: it is not known whether the call was carried out; ask again under the same token
+-- CloudRefused             anything else the cloud says no to, in its words
+-- MachineNotFound          there is none with this ID
+-- MachineExists            the name is taken, or the token made a machine from another specification
+-- NotOurs                  it does not carry our cluster's tag: hands off
+-- HoldsData                deleting would lose data disks, and nobody consented
+-- PartlyMade               it exists and is not as specified; carries the machine
+-- NeverBooted              it exists and did not come up in time; carries its console
+-- Interrupted              the cloud has taken it back
+-- CannotDo                 this driver never can
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

from iacorch.errors import MachineError

if TYPE_CHECKING:
    from iacorch.infra.machines.contract import Machine, MachineId


class MissingCredentials(MachineError):
    """`looked_in` are the places, in order, where credentials were looked for."""

    def __init__(self, driver: str, *, looked_in: Sequence[str] = (), found: str = "") -> None:
        places = f"; looked in {', '.join(looked_in)}" if looked_in else ""
        super().__init__(
            f"{driver}: {found or 'there are no credentials'}{places}",
            hint=f"set {looked_in[0]}" if looked_in else "",
        )
        self.driver, self.looked_in = driver, tuple(looked_in)


class NotPermitted(MachineError):
    """The credentials are good and do not allow `operation`."""

    def __init__(self, operation: str, message: str = "") -> None:
        said = f": {message}" if message else ""
        super().__init__(f"not allowed to {operation}{said}", hint=f"grant {operation} to these credentials")
        self.operation = operation


class InvalidSpec(MachineError):
    """The machine cannot be as specified; `field` is a field of MachineSpec or a setting of the driver."""

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{field}: {message}", hint=hint)
        self.field = field


class Unknown(InvalidSpec):
    """There is nothing called `value`; names the closest of `known`."""

    what: ClassVar[str] = "value"

    def __init__(self, value: str, *, known: Collection[str] = (), field: str = "") -> None:
        near = get_close_matches(value, sorted(known), n=3)
        shown = near or sorted(known)[:5]
        super().__init__(
            field or self.what,
            f"there is no {self.what} {value!r}",
            hint=f"there is {', '.join(shown)}{', ...' if len(known) > len(shown) else ''}" if shown else "",
        )
        self.value = value


class UnknownRegion(Unknown):
    what = "region"


class UnknownZone(Unknown):
    what = "zone"


class UnknownSize(Unknown):
    what = "instance type"


class UnknownImage(Unknown):
    what = "image"


class QuotaExceeded(MachineError):
    """The account's limit; waiting does not help, deleting or asking the cloud does."""

    def __init__(self, quota: str, message: str = "", *, limit: int | None = None) -> None:
        bound = f" ({limit})" if limit is not None else ""
        said = f": {message}" if message else ""
        super().__init__(f"the quota {quota}{bound} is used up{said}", hint="delete machines or ask for a higher quota")
        self.quota, self.limit = quota, limit


class InsufficientCapacity(MachineError):
    """The cloud has no such machine at this place now. `zone` is empty when it did not say which."""

    def __init__(self, *, zone: str, instance_type: str, capacity_type: str = "") -> None:
        where = f" in {zone}" if zone else ""
        kind = f" ({capacity_type})" if capacity_type else ""
        super().__init__(f"no {instance_type}{kind} is to be had{where} now", hint="try another zone or instance type")
        self.zone, self.instance_type, self.capacity_type = zone, instance_type, capacity_type


class Throttled(MachineError):
    """Asked too often. `retry_after_seconds` is the cloud's word, 0 when it gave none."""

    def __init__(self, operation: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{operation}: the cloud asks to be asked less often")
        self.operation, self.retry_after_seconds = operation, retry_after_seconds


class CloudUnavailable(MachineError):
    """The cloud did not answer, or answered that it is broken. Whether `operation` was carried out is not known."""

    def __init__(self, operation: str, message: str) -> None:
        super().__init__(f"{operation}: {message}", hint="asking again under the same token is safe")
        self.operation = operation


class CloudRefused(MachineError):
    """`code` is the cloud's own, for what has no leaf here."""

    def __init__(self, operation: str, *, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{operation}: {message} ({code})", hint=hint)
        self.operation, self.code = operation, code


class MachineNotFound(MachineError):
    def __init__(self, id: str) -> None:
        super().__init__(f"there is no machine {id}")
        self.id = id


class MachineExists(MachineError):
    """`id` has the name or the token already."""

    def __init__(self, name: str, id: str, message: str = "") -> None:
        super().__init__(message or f"the name {name!r} is taken by {id}", hint="choose another name or adopt it")
        self.name, self.id = name, id


class NotOurs(MachineError):
    def __init__(self, id: str, *, operation: str) -> None:
        super().__init__(f"{id} is not tagged as made by iacorch: it is not this driver's to {operation}")
        self.id, self.operation = id, operation


class HoldsData(MachineError):
    def __init__(self, id: str, disks: Sequence[str]) -> None:
        super().__init__(
            f"{id} has data disks that would be lost: {', '.join(disks)}",
            hint="set discard_data on the machine, then delete again",
        )
        self.id, self.disks = id, tuple(disks)


class PartlyMade(MachineError):
    """`machine` exists; what is still missing stands in the message. Creating again goes on with it."""

    def __init__(self, machine: Machine, message: str) -> None:
        super().__init__(f"{machine.name} ({machine.id}) exists, but {message}", hint="run again: it is gone on with")
        self.machine = machine


class NeverBooted(MachineError):
    def __init__(self, id: MachineId, *, waited_seconds: float, seen: str, console: str = "") -> None:
        tail = f"; its console ends with: {console}" if console else ""
        super().__init__(f"{id} was not running after {waited_seconds:.0f} s: {seen}{tail}", hint="replace it")
        self.id, self.waited_seconds, self.console = id, waited_seconds, console


class Interrupted(MachineError):
    def __init__(self, id: str, reason: str = "") -> None:
        super().__init__(f"the cloud has taken {id} back{f': {reason}' if reason else ''}")
        self.id = id


class CannotDo(MachineError):
    """`operation` is not among the driver's capabilities."""

    def __init__(self, driver: str, operation: str, *, hint: str = "") -> None:
        super().__init__(f"machines of the driver {driver} cannot be asked to {operation}", hint=hint)
        self.driver, self.operation = driver, operation
