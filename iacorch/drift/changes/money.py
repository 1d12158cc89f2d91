"""What a resource costs an hour. Pure, but for the price list that is passed in.

In: a resource's type and inputs. Out: millionths of the currency an hour: 0 for what is free or owned, None where
nobody knows. A `price_micros_per_hour` that a provider reports goes before every list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

PriceList = Callable[[str, str], int | None]
"""(region, instance type) -> price, None where it is not listed."""

_FREE: Final = (
    "docker:", "iacorch:index:Node", "iacorch:index:ControlPlane", "iacorch:index:Manifest", "iacorch:index:SshKey",
    "iacorch:local:", "pulumi:", "random:", "tls:", "command:",
)  # fmt: skip
_REPORTED: Final = ("priceMicrosPerHour", "price_micros_per_hour")
_MACHINES: Final = ("iacorch:index:VirtualMachine", "aws:ec2/instance:Instance")


def price(type_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any], listed: PriceList) -> int | None:
    """For one resource as it is or will be."""
    for name in _REPORTED:
        for properties in (outputs, inputs):
            if isinstance(properties.get(name), int):
                return int(properties[name])
    if type_.startswith(_FREE):
        return 0
    if type_ in _MACHINES:
        driver = str(inputs.get("driver") or "aws")
        if driver in ("ssh", "docker", "qemu"):
            return 0  # owned: it is paid for already
        size = str(inputs.get("instanceType") or inputs.get("size") or "")
        zone = str(inputs.get("availabilityZone") or inputs.get("zone") or "")
        region = str(inputs.get("region") or zone.rstrip("abcdef"))
        return listed(region, size) if size else None
    return None
