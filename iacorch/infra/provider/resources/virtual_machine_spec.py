"""VirtualMachine's specification, and what follows from its inputs alone. Pure.

In: checked inputs. Out: the MachineSpec that a driver is asked for, checks that a type cannot say, and outputs from a
Machine. Called by `virtual_machine`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from iacorch.infra.machines.contract import (
    MICROS_PER_UNIT,
    CapacityType,
    DataDisk,
    Machine,
    MachineSpec,
    Offering,
    OwnerTags,
)
from iacorch.infra.machines.docker_provider.wire import UNKNOWN, has_unknown
from iacorch.infra.machines.registry import OWNED, names
from iacorch.infra.provider.properties import Failure, Property, ResourceSpec
from iacorch.kit.text import did_you_mean

GIB: Final = 1024**3
WHERE: Final = ("region", "endpoint_url", "provider", "zone", "host", "folder")
"""Settings of drivers that say where machines are: another value there means another machine."""

SPEC = ResourceSpec(
    token="iacorch:index:VirtualMachine",
    description="A machine from a cloud, a hypervisor, a Docker Engine or an inventory of owned hosts.",
    inputs=(
        Property("driver", "string", f"Who makes it: {', '.join(names())}.", required=True, replaces=True),
        Property("settings", "tree", "The driver's settings: account, region, inventory.", replaced_by=WHERE),
        Property("cluster", "string", "The tag that marks it; by default project and stack.", replaces=True),
        Property("claim", "string", "The UID of the NodeClaim that it is made for, as a further tag.", replaces=True),
        Property("name", "string", "Its name; by default the resource's name.", replaces=True),
        Property("instanceType", "string", "In the driver's words.", required=True, replaces=True),
        Property(
            "capacityType", "string", "owned, spot or on-demand; by default what the driver sells.", replaces=True
        ),
        Property("zone", "string", "By default the driver's choice.", replaces=True),
        Property("image", "string", "In the driver's words; by default the driver's choice.", replaces=True),
        Property("sshPublicKey", "string", "A line of authorized_keys.", replaces=True),
        Property("userData", "string", "cloud-init's user data.", replaces=True),
        Property("rootDiskGib", "integer", "By default the driver's choice.", replaces=True),
        Property("dataDisksGib", "integers", "Sizes of further disks.", replaces=True),
        Property("maxPricePerHour", "string", "For spot, in dollars; by default the price on demand.", replaces=True),
        Property("labels", "map", "Further tags."),
        Property("options", "tree", "The driver's settings of this one machine.", replaces=True),
        Property("discardData", "boolean", "Consent to lose its data disks when it is deleted.", default=False),
    ),
    outputs=(
        Property("machineId", "string", "The driver's ID."),
        Property("state", "string", "pending, running, stopped, deleting or broken, when it was last looked at."),
        Property("address", "string", "Where SSH reaches it."),
        Property("sshPort", "integer", "The port of its SSH server."),
        Property("sshUser", "string", "Who is let in."),
        Property("privateAddress", "string", "Where other machines reach it."),
        Property("placedIn", "string", "The zone it is in."),
        Property("pricePerHour", "string", "In dollars, as the price list said when it was made."),
    ),
    healthy={"state": "running"},
)

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CLUSTER: Final = re.compile(r"[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_PRICE: Final = re.compile(r"\d{1,6}(\.\d{1,6})?")
_ESSENTIAL: Final = (
    "driver",
    "settings",
    "cluster",
    "name",
    "instanceType",
    "capacityType",
    "zone",
    "image",
    "options",
)


def complete(inputs: Mapping[str, Any], *, name: str, cluster: str) -> dict[str, Any]:
    """Inputs with what follows from the URN and the driver."""
    sold = CapacityType.OWNED if inputs.get("driver") in OWNED else CapacityType.ON_DEMAND
    return {"name": name.lower().replace("_", "-"), "cluster": cluster, "capacityType": sold.value, **inputs}


def failures(inputs: Mapping[str, Any]) -> Iterator[Failure]:
    """What types do not say. Values that a preview cannot know pass."""
    if (driver := inputs.get("driver", UNKNOWN)) not in (UNKNOWN, *names()):
        yield Failure("driver", f"there is no driver {driver!r}; {did_you_mean(str(driver), names())}")
    if (name := inputs.get("name", UNKNOWN)) != UNKNOWN and not _NAME.fullmatch(str(name)):
        yield Failure("name", f"{name!r} is no host name: lower case letters, digits and '-', at most 63")
    if (cluster := inputs.get("cluster", UNKNOWN)) != UNKNOWN and not _CLUSTER.fullmatch(str(cluster)):
        yield Failure("cluster", f"{cluster!r} cannot be a tag: letters, digits, '-', '_' and '.', at most 63")
    kinds = tuple(CapacityType)
    if (kind := inputs.get("capacityType", UNKNOWN)) not in (UNKNOWN, *kinds):
        yield Failure("capacityType", f"{kind!r} is none of {', '.join(kinds)}")
    if (price := inputs.get("maxPricePerHour", UNKNOWN)) != UNKNOWN and not _PRICE.fullmatch(str(price)):
        yield Failure("maxPricePerHour", f"{price!r} is no price in dollars such as 0.05")
    for name in ("settings", "options"):
        if (value := inputs.get(name, UNKNOWN)) != UNKNOWN and not isinstance(value, dict):
            yield Failure(name, f"expected an object, found {type(value).__name__}")
    disks = inputs.get("dataDisksGib", [])
    if disks != UNKNOWN and not (isinstance(disks, list) and all(d == UNKNOWN or _is_size(d) for d in disks)):
        yield Failure("dataDisksGib", "expected a list of whole numbers above 0")


def is_plannable(inputs: Mapping[str, Any]) -> bool:
    """Whether enough is known to ask the driver."""
    return not any(has_unknown(inputs.get(name)) for name in _ESSENTIAL)


def machine_spec(inputs: Mapping[str, Any], *, token: str) -> MachineSpec:
    """What the driver is asked for. What a preview cannot know yet is left out."""
    known = {name: value for name, value in inputs.items() if not has_unknown(value)}
    return MachineSpec(
        name=str(known.get("name", "")),
        instance_type=str(known.get("instanceType", "")),
        owner=OwnerTags(str(known.get("cluster", "")), token, str(known.get("claim", ""))),
        capacity_type=CapacityType(known.get("capacityType", CapacityType.ON_DEMAND)),
        zone=str(known.get("zone", "")),
        image=str(known.get("image", "")),
        ssh_public_key=str(known.get("sshPublicKey", "")),
        user_data=str(known.get("userData", "")),
        root_disk_bytes=int(known.get("rootDiskGib", 0)) * GIB,
        data_disks=tuple(DataDisk(int(size) * GIB) for size in known.get("dataDisksGib", ())),
        labels=dict(known.get("labels", {})),
        max_price_micros_per_hour=_micros(str(known.get("maxPricePerHour", "0"))),
        options=dict(known.get("options", {})),
    )


def outputs(machine: Machine, *, price: str) -> dict[str, Any]:
    return {
        "machineId": machine.id,
        "state": machine.state.value,
        "address": machine.address,
        "sshPort": machine.ssh_port,
        "sshUser": machine.ssh_user,
        "privateAddress": machine.private_address,
        "placedIn": machine.zone,
        "pricePerHour": price,
    }


def imported(machine: Machine, *, driver: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs that describe a machine that is there, for `pulumi import`. What a driver does not tell is left out."""
    told = {
        "driver": driver,
        "settings": dict(settings),
        "cluster": machine.owner.cluster if machine.owner else "",
        "claim": machine.owner.claim if machine.owner else "",
        "name": machine.name,
        "instanceType": machine.instance_type,
        "capacityType": machine.capacity_type.value,
        "zone": machine.zone,
        "image": machine.image,
        "labels": dict(machine.labels),
        "discardData": False,
    }
    return {name: value for name, value in told.items() if value not in ("", {})}


def price_words(offering: Offering | None) -> str:
    """Dollars an hour, exact; empty where no list has it."""
    if offering is None:
        return ""
    whole, rest = divmod(offering.price_micros_per_hour, MICROS_PER_UNIT)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)


def cluster_of(urn: str) -> str:
    """PROJECT-STACK: `urn:pulumi:STACK::PROJECT::TYPE::NAME`."""
    stack, project = urn.removeprefix("urn:pulumi:").split("::")[:2]
    return re.sub(r"[^-_.a-zA-Z0-9]", "-", f"{project}-{stack}")[:63].strip("-_.")


def _micros(dollars: str) -> int:
    whole, _, rest = dollars.partition(".")
    return int(whole) * MICROS_PER_UNIT + int(f"{rest[:6]:0<6}")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
