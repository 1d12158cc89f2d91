"""What the fake cloud sells. Pure data: three families of four sizes in three zones, on demand and spot.

Prices are round numbers near those of real clouds, spot at 30 to 40 percent depending on the zone, so that the cheapest
fitting offering is never ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iacorch.infra.machines.contract import Capacity, CapacityType, Offering

REGION: Final = "fake-1"
ZONES: Final = ("fake-1a", "fake-1b", "fake-1c")
IMAGES: Final = ("debian-12", "debian-13", "ubuntu-24.04")
DEFAULT_IMAGE: Final = "debian-12"

GIB: Final = 1024**3
_SIZES: Final = (("small", 2), ("large", 4), ("xlarge", 8), ("2xlarge", 16))
_FAMILIES: Final = (("general", 4, 21_000), ("compute", 2, 18_000), ("memory", 8, 27_000))
"""Name, GiB of memory per core, millionths of a dollar per core and hour."""
_SPOT_PERCENT: Final = (30, 35, 40)


def offerings() -> tuple[Offering, ...]:
    """All of them, sorted by key."""
    return tuple(sorted(_all(), key=lambda offering: offering.key))


def _all() -> Iterator[Offering]:
    for family, gib_per_core, price_per_core in _FAMILIES:
        for size, cores in _SIZES:
            capacity = Capacity(cores * 1000, cores * gib_per_core * GIB, 20 * GIB)
            for zone, percent in zip(ZONES, _SPOT_PERCENT, strict=True):
                price = cores * price_per_core
                name = f"{family}.{size}"
                yield Offering(name, zone, CapacityType.ON_DEMAND, capacity, price)
                yield Offering(name, zone, CapacityType.SPOT, capacity, price * percent // 100)
