"""What can be had, in which order it is tried, and what was refused lately.

In: offerings of a class (its own list, or its driver's), refusals on its status, now. Out: offers that may be tried,
the preferred first. Pure.

    owned before anything that costs; then by price; at the same price spot before on demand; then by name

A refusal (no capacity, quota, a launch that failed) is remembered on the class with a time; until then the offer is
passed over, so the next decision takes the next best. When the memory lapses the offer is tried again, if somebody
needs a machine or if it would replace a dearer one. Repeated refusals are remembered for longer, up to a cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.provision.pools.amounts import micros, money_text
from iacorch.provision.pools.words import CAPACITY_LABEL, TYPE_LABEL, ZONE_LABEL, Capacity


class OfferKey(NamedTuple):
    """What a refusal is about."""

    machine_type: str
    zone: str
    capacity_type: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of machine of a class. `price` in millionths an hour; `count`: how many there are, None for no end."""

    class_name: str
    machine_type: str
    capacity: Mapping[str, str] = field(hash=False)
    zone: str = ""
    capacity_type: str = Capacity.ON_DEMAND
    price: int = 0
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    count: int | None = None

    @property
    def key(self) -> OfferKey:
        return OfferKey(self.machine_type, self.zone, self.capacity_type)

    @property
    def node_labels(self) -> dict[str, str]:
        """What a node on it is labelled with."""
        found = {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            **self.labels,
            TYPE_LABEL: self.machine_type,
            CAPACITY_LABEL: self.capacity_type,
        }
        return found | ({ZONE_LABEL: self.zone} if self.zone else {})

    @property
    def rank(self) -> tuple[bool, int, bool, str, str]:
        """Smaller is tried first."""
        return (
            self.capacity_type != Capacity.OWNED,
            self.price,
            self.capacity_type != Capacity.SPOT,
            self.machine_type,
            self.zone,
        )

    def spec(self) -> dict[str, Any]:
        """As a claim carries it."""
        found: dict[str, Any] = {
            "machineType": self.machine_type,
            "capacityType": self.capacity_type,
            "capacity": dict(self.capacity),
            "moneyPerHour": money_text(self.price),
        }
        if self.zone:
            found["zone"] = self.zone
        if self.labels:
            found["labels"] = dict(self.labels)
        return found

    def __str__(self) -> str:
        return f"{self.key} at {money_text(self.price)} an hour"


def offer_of(offering: Mapping[str, Any], class_name: str) -> Offer:
    """From a MachineClass's list or a claim's spec."""
    return Offer(
        class_name=class_name,
        machine_type=offering["machineType"],
        capacity={name: str(amount) for name, amount in (offering.get("capacity") or {}).items()},
        zone=offering.get("zone") or "",
        capacity_type=offering.get("capacityType") or Capacity.ON_DEMAND,
        price=micros(offering.get("moneyPerHour")),
        labels=offering.get("labels") or {},
        count=offering.get("count"),
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """An offer that could not be had, remembered until a moment."""

    key: OfferKey
    reason: str
    message: str
    since: datetime
    until: datetime

    def spec(self) -> dict[str, Any]:
        found = {
            "machineType": self.key.machine_type,
            "zone": self.key.zone,
            "capacityType": self.key.capacity_type,
            "reason": self.reason,
            "message": self.message[: limits.MESSAGE_CHARACTERS],
            "since": rfc3339(self.since),
            "until": rfc3339(self.until),
        }
        return {name: value for name, value in found.items() if value}


def refusals_of(machine_class: Object) -> tuple[Refused, ...]:
    found = []
    for entry in objects.status(machine_class).get("refused") or ():
        since, until = objects.moment(entry.get("since")), objects.moment(entry.get("until"))
        if since is not None and until is not None:
            key = OfferKey(entry["machineType"], entry.get("zone") or "", entry.get("capacityType") or "")
            found.append(Refused(key, entry.get("reason") or "", entry.get("message") or "", since, until))
    return tuple(found)


def remembered(known: Sequence[Refused], key: OfferKey, reason: str, message: str, *, now: datetime) -> Refused:
    """The memory of a refusal now: the first lapses soon; each further one lasts twice as long, up to the cap."""
    last = max((r for r in known if r.key == key), key=lambda r: r.until, default=None)
    seconds = limits.OFFER_REFUSED_SECONDS
    if last is not None:
        seconds = min(2 * (last.until - last.since).total_seconds(), limits.OFFER_REFUSED_MAX_SECONDS)
    return Refused(key, reason, message, now, now + timedelta(seconds=seconds))


def kept(known: Iterable[Refused], *, now: datetime) -> tuple[Refused, ...]:
    """Without what lapsed long ago. What lapsed lately is kept, so that a refusal that comes again is a repetition."""
    forgotten = timedelta(seconds=limits.OFFER_FORGOTTEN_SECONDS)
    newest: dict[OfferKey, Refused] = {}
    for entry in known:
        if entry.until + forgotten > now and (entry.key not in newest or newest[entry.key].until < entry.until):
            newest[entry.key] = entry
    return tuple(newest[key] for key in sorted(newest))


def usable(offers: Iterable[Offer], refused: Iterable[Refused], *, now: datetime) -> tuple[Offer, ...]:
    """Those that may be tried now, the preferred first."""
    closed = {entry.key for entry in refused if entry.until > now}
    return tuple(sorted((offer for offer in offers if offer.key not in closed), key=lambda offer: offer.rank))
