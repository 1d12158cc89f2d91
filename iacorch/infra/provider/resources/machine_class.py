"""MachineClass: what a pool's machines are made from, with what the driver offers for which price.

A preview asks the driver whether the settings, types and zones are good; create and update write the offerings that
are left after narrowing into one MachineClass object of the cluster, as a Manifest of that one object would. The
provisioner reads nothing else, so a pool never waits for a cloud's price list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iacorch.infra.machines.contract import CapacityType, MachineDriver, Offering
from iacorch.infra.machines.docker_provider.wire import UNKNOWN, has_unknown
from iacorch.infra.machines.errors import CloudUnavailable, InvalidSpec, Throttled, UnknownSize, UnknownZone
from iacorch.infra.machines.registry import names
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import Made, Properties, Request, name_of, words
from iacorch.infra.provider.resources.manifest import Manifests, told_as
from iacorch.infra.provider.resources.virtual_machine_spec import price_words
from iacorch.kit.text import did_you_mean

Open = Callable[[str, Mapping[str, Any]], MachineDriver]

SPEC = ResourceSpec(
    token="iacorch:index:MachineClass",
    description="What the machines of a pool are made from, and which ones can be had for which price.",
    inputs=(
        Property("kubeconfig", "string", "How this side reaches the API.", required=True, secret=True),
        Property("className", "string", "The object's name; by default the resource's name.", replaces=True),
        Property("driver", "string", f"Who makes its machines: {', '.join(names())}.", required=True),
        Property("settings", "tree", "The driver's settings: account, region, inventory."),
        Property("template", "tree", "What every machine gets: image, userData, rootDiskGib, options, user."),
        Property("instanceTypes", "strings", "Only these; by default all that the driver offers."),
        Property("zones", "strings", "Only these."),
        Property("capacityTypes", "strings", "Only these of owned, spot and on-demand."),
    ),
    outputs=(
        Property("offerings", "trees", "What can be had, as the MachineClass object says it."),
        Property("cheapestPerHour", "string", "The lowest price among them in dollars."),
        Property("inSync", "boolean", "Whether the object was as wanted when it was last looked at."),
    ),
    healthy={"inSync": True},
)


class MachineClasses:
    """Implements `Resource`. `open` makes a driver from its name and settings."""

    spec = SPEC

    def __init__(self, open: Open, manifests: Manifests) -> None:
        self._open = open
        self._manifests = manifests

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return {"className": name_of(urn).lower().replace("_", "-"), **inputs}

    def check(self, inputs: Properties) -> Sequence[Failure]:
        failures = []
        if (driver := inputs.get("driver", UNKNOWN)) not in (UNKNOWN, *names()):
            failures.append(Failure("driver", f"there is no driver {driver!r}; {did_you_mean(str(driver), names())}"))
        for number, kind in enumerate(inputs.get("capacityTypes") or ()):
            if kind not in (UNKNOWN, *CapacityType):
                found = f"{kind!r} is none of {', '.join(CapacityType)}"
                failures.append(Failure(f"capacityTypes[{number}]", found))
        return failures

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        return False

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        unknown = {"offerings": UNKNOWN, "cheapestPerHour": UNKNOWN, "inSync": True}
        if has_unknown({name: value for name, value in inputs.items() if name != "kubeconfig"}):
            return unknown
        try:
            offered = await self._offered(inputs)
        except (CloudUnavailable, Throttled) as error:
            request.say(f"not asked what can be had: {words(error)}")
            return unknown
        request.say(f"{len(offered)} offerings, from {_cheapest(offered)} dollars an hour")
        return {**_outputs(offered), "inSync": True}

    async def create(self, request: Request, inputs: Properties) -> Made:
        offered = await self._offered(inputs)
        with told_as({**_outputs(offered), "inSync": False}):
            made = await self._manifests.create(request, _manifest(inputs, offered))
        return _made(made, offered)

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        offered = await self._offered(inputs)
        before = _manifest(old, state.get("offerings") or [])
        with told_as({**_outputs(offered), "inSync": False}):
            made = await self._manifests.update(request, id, _manifest(inputs, offered), before, state)
        return _made(made, offered)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        offered = list(state.get("offerings") or [])
        made = await self._manifests.read(request, id, _manifest(inputs, offered), {})
        return None if made is None else _made(made, offered)

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        offered = await self._offered(inputs)
        with told_as({**_outputs(offered), "inSync": False}):
            return await self._manifests.find(request, _manifest(inputs, offered))

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        await self._manifests.delete(request, id, _manifest(inputs, state.get("offerings") or []), {})

    async def _offered(self, inputs: Properties) -> list[dict[str, Any]]:
        driver = self._open(str(inputs["driver"]), inputs.get("settings") or {})
        try:
            return narrowed(await driver.offerings(), inputs)
        finally:
            await driver.aclose()


def _made(made: Made, offered: Sequence[Mapping[str, Any]]) -> Made:
    return Made(made.id, {**_outputs(offered), "inSync": made.outputs["inSync"]})


def narrowed(sold: Sequence[Offering], inputs: Properties) -> list[dict[str, Any]]:
    """Offerings as the API has them. Raises UnknownSize, UnknownZone, InvalidSpec when nothing is left."""
    types, zones, kinds = (tuple(inputs.get(name) or ()) for name in ("instanceTypes", "zones", "capacityTypes"))
    known_types, known_zones = {o.instance_type for o in sold}, {o.zone for o in sold}
    if unknown := [name for name in types if name not in known_types]:
        raise UnknownSize(unknown[0], known=known_types, field="instanceTypes")
    if unknown := [name for name in zones if name not in known_zones]:
        raise UnknownZone(unknown[0], known=known_zones, field="zones")
    left = [
        _offering(o)
        for o in sold
        if (not types or o.instance_type in types)
        and (not zones or o.zone in zones)
        and (not kinds or o.capacity_type.value in kinds)
    ]
    if not left:
        raise InvalidSpec("instanceTypes", "no offering is left", hint="name fewer types, zones or capacity types")
    return left


def _offering(offering: Offering) -> dict[str, Any]:
    capacity = {
        "cpu": f"{offering.capacity.cpu_millis}m",
        "memory": str(offering.capacity.memory_bytes),
        **{name: str(count) for name, count in offering.capacity.extended},
    }
    told: dict[str, Any] = {
        "machineType": offering.instance_type,
        "zone": offering.zone,
        "capacityType": offering.capacity_type.value,
        "capacity": capacity,
        "moneyPerHour": price_words(offering),
        "labels": {"kubernetes.io/arch": offering.arch},
    }
    return told if offering.free is None else {**told, "count": offering.free}


def _manifest(inputs: Properties, offered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Inputs of a Manifest with the one object."""
    settings = dict(inputs.get("settings") or {})
    spec: dict[str, Any] = {
        "driver": inputs["driver"],
        "template": {**dict(inputs.get("template") or {}), "settings": settings},
        "offerings": list(offered),
    }
    if region := settings.get("region"):
        spec["region"] = region
    obj = {
        "apiVersion": "iacorch.dev/v1alpha1",
        "kind": "MachineClass",
        "metadata": {"name": inputs["className"]},
        "spec": spec,
    }
    return {"kubeconfig": inputs["kubeconfig"], "objects": [obj], "namespace": "default", "wait": False}


def _outputs(offered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"offerings": list(offered), "cheapestPerHour": _cheapest(offered)}


def _cheapest(offered: Sequence[Mapping[str, Any]]) -> str:
    return min((str(o["moneyPerHour"]) for o in offered), key=float, default="")
