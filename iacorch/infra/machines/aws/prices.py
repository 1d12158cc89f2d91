"""What a region sells: the price list in `data/offerings.json`, narrowed and made current by what EC2 says.

In: the list (scripts/generate_aws_offerings.py writes it; its date stands in it), zones, which types a zone has, and
spot prices. Out: `Offering`s. Prices on demand move rarely and need another service and rights to ask for, so they come
from the list; where it lacks a region the dearest known price is taken, so that ignorance never looks cheap.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson

from iacorch.infra.machines.aws.api import Ec2
from iacorch.infra.machines.aws.shapes import ROOT_DISK_BYTES
from iacorch.infra.machines.contract import MICROS_PER_UNIT, Capacity, CapacityType, Offering

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Priced:
    """One instance type of the price list, in one region."""

    name: str
    capacity: Capacity
    arch: str
    price_micros_per_hour: int


@functools.cache
def price_list(region: str) -> Mapping[str, Priced]:
    """By the type's name."""
    raw = orjson.loads(importlib.resources.files(__package__).joinpath("data/offerings.json").read_bytes())
    return {
        name: Priced(
            name, Capacity(cores * 1000, mib * MIB, ROOT_DISK_BYTES), arch, prices.get(region) or max(prices.values())
        )
        for name, (cores, mib, arch, prices) in raw["types"].items()
    }


def offerings(
    region: str,
    *,
    types: Collection[str],
    by_zone: Mapping[str, Collection[str]],
    spot_micros: Mapping[tuple[str, str], int],
) -> tuple[Offering, ...]:
    """Pure. `types` empty: all of the list. A spot price that is not known is taken to be the one on demand."""
    listed = price_list(region)

    def sold() -> Iterator[Offering]:
        for zone, in_zone in by_zone.items():
            for name in in_zone:
                if (types and name not in types) or (priced := listed.get(name)) is None:
                    continue
                on_demand = priced.price_micros_per_hour
                spot = spot_micros.get((name, zone), on_demand)
                yield Offering(name, zone, CapacityType.ON_DEMAND, priced.capacity, on_demand, priced.arch)
                yield Offering(name, zone, CapacityType.SPOT, priced.capacity, spot, priced.arch)

    return tuple(sorted(sold(), key=lambda offering: offering.key))


async def zones(ec2: Ec2) -> tuple[str, ...]:
    """Names of the zones that can be used."""
    answer = await ec2.call("describe_availability_zones", Filters=[{"Name": "state", "Values": ["available"]}])
    return tuple(sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"]))


async def types_by_zone(ec2: Ec2) -> dict[str, tuple[str, ...]]:
    """Which types each zone has."""
    found = await ec2.pages(
        "describe_instance_type_offerings", "InstanceTypeOfferings", LocationType="availability-zone"
    )
    by_zone: dict[str, list[str]] = {}
    for row in found:
        by_zone.setdefault(row["Location"], []).append(row["InstanceType"])
    usable = await zones(ec2)
    return {zone: tuple(sorted(by_zone.get(zone, ()))) for zone in usable}


async def spot_prices(ec2: Ec2, types: Collection[str]) -> dict[tuple[str, str], int]:
    """The latest spot price by type and zone."""
    narrowed: dict[str, Any] = {"InstanceTypes": sorted(types)} if types else {}
    found = await ec2.pages(
        "describe_spot_price_history",
        "SpotPriceHistory",
        ProductDescriptions=["Linux/UNIX"],
        StartTime=ec2.clock.now() - timedelta(minutes=1),
        **narrowed,
    )
    ordered = sorted(found, key=lambda row: row["Timestamp"])
    return {(row["InstanceType"], row["AvailabilityZone"]): micros(row["SpotPrice"]) for row in ordered}


def micros(price: str) -> int:
    """A decimal in dollars as millionths, exactly as far as they go, rounded up below."""
    exact = Decimal(price) * MICROS_PER_UNIT
    whole = int(exact)
    return whole if whole == exact else whole + 1
