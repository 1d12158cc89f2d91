"""Where libcloud's drivers differ in their words: places, prices, sizes. Pure.

In: what a driver lists and says of a machine. Out: the words of `MachineSpec` and `Offering`, one for one thing, so
that what a machine is compares with what it was to be. Called by `driver`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from iacorch.infra.machines.contract import MICROS_PER_UNIT, Capacity
from iacorch.kit import limits

MIB: Final = 1024**2
GIB: Final = 1024**3
_HOURS_OF_MONTH: Final = 730
_BY_THE_MONTH: Final = frozenset({"vultr", "maxihost"})
"""Their drivers hand on a month's price as the size's price; the others hand on an hour's."""
_SOLD_AT: Final = ("regions", "locations")
_NO_DOUBLE_HYPHEN: Final = frozenset({"linode"})


@dataclass(frozen=True, slots=True)
class Places:
    """A zone is a place's ID (`fra1`), or its name where IDs are only numbers (`eu-central-1a`)."""

    listed: tuple[Any, ...] = ()

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(_zone(place) for place in self.listed)

    def find(self, zone: str) -> Any | None:
        return next((place for place in self.listed if _zone(place) == zone), None)

    def told(self, said: Any) -> str:
        """The zone that a machine means: clouds say the ID, the name or the whole place."""
        word = str(getattr(said, "id", said))
        place = next((place for place in self.listed if word in (str(place.id), str(place.name))), None)
        return word if place is None else _zone(place)

    def selling(self, size: Any) -> tuple[str, ...]:
        """Zones where this size is sold: those that it names, else all."""
        extra: Mapping[str, Any] = size.extra or {}
        named = next((extra[key] for key in _SOLD_AT if isinstance(extra.get(key), list)), None)
        if named is None:
            return self.zones or ("",)
        return tuple(_zone(place) for place in self.listed if str(place.id) in named)


def capacity(size: Any) -> Capacity:
    """libcloud says MiB and GiB; cores stand where each driver likes."""
    extra: Mapping[str, Any] = size.extra or {}
    cores = getattr(size, "vcpus", None) or first(extra, ("vcpus", "cpu", "vcpu_count", "cores")) or 1
    return Capacity(int(float(cores) * 1000), int(size.ram or 0) * MIB, int(size.disk or 0) * GIB)


def micros_per_hour(provider: str, size: Any, prices: Mapping[str, str]) -> int:
    """Millionths an hour. What has no price anywhere is dear, so that ignorance never looks cheap."""
    said = prices.get(str(size.id))
    dollars = Decimal(str(said or size.price or 0))
    if said is None and provider in _BY_THE_MONTH:
        dollars /= _HOURS_OF_MONTH
    return int(dollars * MICROS_PER_UNIT) or limits.UNPRICED_MICROS_PER_HOUR


def takes_marks(provider: str) -> bool:
    """Whether a machine's name there may be one of `marks`."""
    return provider not in _NO_DOUBLE_HYPHEN


def first(extra: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((extra[name] for name in names if extra.get(name)), None)


def _zone(place: Any) -> str:
    return str(place.name if str(place.id).isdigit() else place.id)
