"""The MachineDriver of EC2.

In: specifications. Out: machines. RunInstances is one call under a client token that makes, tags and places the machine
with its disks, so there is no half-made instance to find; around it stand questions, which may be repeated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from iacorch.infra.machines.aws import images, prices, surroundings
from iacorch.infra.machines.aws.api import Ec2, opened
from iacorch.infra.machines.aws.failures import About
from iacorch.infra.machines.aws.images import ALIASES, DEFAULT_USER, Image
from iacorch.infra.machines.aws.settings import AwsOptions, AwsSettings, options_of
from iacorch.infra.machines.aws.shapes import (
    DEAD,
    ENDING,
    as_mapping,
    client_token,
    labels_of,
    machine,
    run_request,
    tags_of,
)
from iacorch.infra.machines.contract import (
    TAG_CLUSTER,
    TAG_TOKEN,
    Capabilities,
    CapacityType,
    Interruption,
    Machine,
    MachineId,
    MachinePlan,
    MachineSpec,
    Offering,
    Power,
)
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudUnavailable,
    HoldsData,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    NotOurs,
    UnknownSize,
    UnknownZone,
)
from iacorch.infra.machines.retries import Retries
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

_SPOT_NOTICE: Final = timedelta(minutes=2)
_MARKED: Final = frozenset({"marked-for-termination", "marked-for-stop", "instance-terminated-by-price"})
_MOST_DISKS: Final = 11
"""/dev/sdf to /dev/sdp."""


class AwsDriver:
    """Implements `MachineDriver`."""

    name = "aws"
    capabilities = Capabilities(
        spot=True,
        data_disks=True,
        power=frozenset(Power),
        console=True,
        interruption_notices=True,
        in_place=frozenset({"labels", "name"}),
    )

    def __init__(self, settings: AwsSettings, clock: Clock, ids: Ids, *, retries: Retries | None = None) -> None:
        """Raises MissingCredentials, UnknownRegion."""
        self._settings = settings
        self._clock = clock
        self._ec2: Ec2 = opened(settings, retries or Retries(clock, ids))
        self._sold: tuple[Offering, ...] = ()
        self._sold_at = float("-inf")

    async def offerings(self) -> tuple[Offering, ...]:
        if self._clock.monotonic() - self._sold_at > limits.OFFERINGS_FRESH_SECONDS:
            types = self._settings.instance_types
            self._sold = prices.offerings(
                self._settings.region,
                types=types,
                by_zone=await prices.types_by_zone(self._ec2),
                spot_micros=await prices.spot_prices(self._ec2, types),
            )
            self._sold_at = self._clock.monotonic()
        return self._sold

    async def plan(self, spec: MachineSpec) -> MachinePlan:
        filled, _, image = await self._fill(spec)
        existing = await self._alive(spec)
        if existing is None:
            await self._refuse_duplicate(spec)
        unknown = ["id", "address", "privateAddress", *(() if filled.zone else ("zone",))]
        where = filled.zone or f"any zone of {self._settings.region}"
        return MachinePlan(
            filled,
            await self._offering(filled),
            f"{filled.instance_type} in {where} ({filled.capacity_type}) from {image.id}",
            tuple(unknown),
            MachineId(existing["InstanceId"]) if existing else None,
        )

    async def create(self, spec: MachineSpec) -> Machine:
        if (existing := await self._alive(spec)) is not None:
            return self._machine(existing)
        filled, options, image = await self._fill(spec)
        await self._refuse_duplicate(spec)
        key_name = await surroundings.key_pair(self._ec2, spec.owner.cluster, spec.ssh_public_key)
        groups = options.security_groups or (
            await surroundings.security_group(
                self._ec2, spec.owner.cluster, self._settings, self._clock, subnet=options.subnet
            ),
        )
        for generation in range(limits.CREATE_GENERATIONS):
            request = run_request(filled, options, image, generation=generation, key_name=key_name, groups=groups)
            try:
                made = await self._run(filled, request)
            except MachineExists:
                # The token made a machine with another key, say. When that one has ended it is in nobody's way.
                if await self._alive(spec) is not None or len(await self._by_token(spec)) <= generation:
                    raise
                continue
            if made["State"]["Name"] not in ENDING:
                return self._machine(made)
        raise InvalidSpec("owner", f"{limits.CREATE_GENERATIONS} machines were made under this token and deleted")

    async def read(self, id: MachineId) -> Machine:
        instance = await self._instance(id)
        return self._machine(instance, await self._notices([instance]))

    async def update(self, id: MachineId, spec: MachineSpec) -> Machine:
        instance = await self._instance(id)
        owner = self._machine(instance).owner
        if owner is None or owner.cluster != spec.owner.cluster:
            raise NotOurs(id, operation="change")
        if instance["InstanceType"] != spec.instance_type:
            raise CannotDo(self.name, "change instance_type in place", hint="replace the machine")
        wanted = tags_of(spec)
        surplus = labels_of(as_mapping(instance.get("Tags"))).keys() - spec.labels.keys()
        about = About(id=id)
        await self._ec2.call("create_tags", about=about, Resources=[id], Tags=wanted)
        if doomed := [{"Key": key} for key in sorted(surplus)]:
            await self._ec2.call("delete_tags", about=about, Resources=[id], Tags=doomed)
        return await self.read(id)

    async def delete(self, id: MachineId, *, cluster: str, discard_data: bool = False) -> None:
        try:
            instance = await self._instance(id)
        except MachineNotFound:
            return
        found = self._machine(instance)
        if found.owner is None or found.owner.cluster != cluster:
            raise NotOurs(id, operation="delete")
        if found.data_disks and not discard_data:
            raise HoldsData(id, found.data_disks)
        about = About(id=id)
        try:
            if mappings := _with_machine(instance, found.data_disks):
                await self._ec2.call(
                    "modify_instance_attribute", about=about, InstanceId=id, BlockDeviceMappings=mappings
                )
            await self._ec2.call("terminate_instances", about=about, InstanceIds=[id])
        except MachineNotFound:
            return

    async def list_owned(self, cluster: str) -> tuple[Machine, ...]:
        instances = await self._instances({f"tag:{TAG_CLUSTER}": cluster})
        alive = [instance for instance in instances if instance["State"]["Name"] not in DEAD]
        notices = await self._notices(alive)
        found = (self._machine(instance, notices) for instance in alive)
        return tuple(sorted((m for m in found if m.owner is not None), key=lambda m: m.id))

    async def power(self, id: MachineId, power: Power) -> None:
        about = About(id=id)
        await self._instance(id)
        match power:
            case Power.ON:
                await self._ec2.call("start_instances", about=about, InstanceIds=[id])
            case Power.OFF:
                await self._ec2.call("stop_instances", about=about, InstanceIds=[id])
            case Power.REBOOT | Power.RESET:
                # EC2 pulls the plug by itself when the operating system does not follow within minutes.
                await self._ec2.call("reboot_instances", about=about, InstanceIds=[id])

    async def console(self, id: MachineId) -> str:
        answer = await self._ec2.call("get_console_output", about=About(id=id), InstanceId=id)
        return str(answer.get("Output") or "")[-limits.CONSOLE_BYTES :]

    async def tidy(self, cluster: str) -> tuple[str, ...]:
        if await self.list_owned(cluster):
            return ()
        return await surroundings.tidy(self._ec2, cluster)

    async def aclose(self) -> None:
        await self._ec2.aclose()

    async def _fill(self, spec: MachineSpec) -> tuple[MachineSpec, AwsOptions, Image]:
        """What the driver chooses, and everything refused that asking can tell."""
        options = options_of(spec.options)
        if len(spec.data_disks) > _MOST_DISKS:
            raise InvalidSpec("data_disks", f"at most {_MOST_DISKS}, found {len(spec.data_disks)}")
        if spec.capacity_type is CapacityType.OWNED:
            raise InvalidSpec("capacity_type", "EC2 rents: spot or on-demand")
        if spec.zone and spec.zone not in (known := await prices.zones(self._ec2)):
            raise UnknownZone(spec.zone, known=known)
        arch = await self._arch(spec.instance_type)
        image = await images.resolve(self._ec2, spec.image or self._settings.image, arch=arch)
        if image.arch != arch:
            raise InvalidSpec("image", f"{image.id} is for {image.arch}, {spec.instance_type} is {arch}")
        return dataclasses.replace(spec, image=image.id), options, image

    async def _arch(self, instance_type: str) -> str:
        listed = prices.price_list(self._settings.region)
        try:
            about = About(instance_type=instance_type)
            types = await self._ec2.pages(
                "describe_instance_types", "InstanceTypes", about=about, InstanceTypes=[instance_type]
            )
        except UnknownSize:
            raise UnknownSize(instance_type, known=listed, field="instance_type") from None
        if not types:
            raise UnknownSize(instance_type, known=listed, field="instance_type")
        return "arm64" if "arm64" in types[0]["ProcessorInfo"]["SupportedArchitectures"] else "amd64"

    async def _offering(self, spec: MachineSpec) -> Offering | None:
        fitting = [
            offering
            for offering in await self.offerings()
            if offering.instance_type == spec.instance_type
            and offering.capacity_type is spec.capacity_type
            and spec.zone in ("", offering.zone)
        ]
        return min(fitting, key=lambda offering: (offering.price_micros_per_hour, offering.zone), default=None)

    async def _run(self, spec: MachineSpec, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make it and wait until EC2 lists it. The instance, which may be one that has ended since."""
        about = About(
            name=spec.name,
            token=client_token(spec.owner, 0),
            instance_type=spec.instance_type,
            zone=spec.zone,
            capacity_type=spec.capacity_type.value,
            image=spec.image,
        )
        answer = await self._ec2.call("run_instances", about=about, **request)
        id = MachineId(answer["Instances"][0]["InstanceId"])
        deadline = self._clock.monotonic() + limits.CLOUD_VISIBLE_SECONDS
        while True:
            try:
                found = await self._ec2.pages(
                    "describe_instances", "Reservations", about=About(id=id), InstanceIds=[id]
                )
                if found and found[0]["Instances"]:
                    return dict(found[0]["Instances"][0])
            except MachineNotFound:
                pass
            if self._clock.monotonic() >= deadline:
                raise CloudUnavailable("run_instances", f"{id} was made and is not listed")
            await self._clock.sleep(limits.CLOUD_POLL_SECONDS)

    async def _alive(self, spec: MachineSpec) -> Mapping[str, Any] | None:
        """The machine that this token made, if it lives. Two of them cannot be: the client token is the same."""
        alive = [instance for instance in await self._by_token(spec) if instance["State"]["Name"] not in ENDING]
        if alive and alive[0]["InstanceType"] != spec.instance_type:
            id = alive[0]["InstanceId"]
            raise MachineExists(spec.name, id, f"this token made {id}, which is a {alive[0]['InstanceType']}")
        return alive[0] if alive else None

    async def _by_token(self, spec: MachineSpec) -> list[dict[str, Any]]:
        """Those that ended too, for as long as EC2 remembers them."""
        owner = spec.owner
        return await self._instances({f"tag:{TAG_CLUSTER}": owner.cluster, f"tag:{TAG_TOKEN}": owner.token})

    async def _refuse_duplicate(self, spec: MachineSpec) -> None:
        found = await self._instances({f"tag:{TAG_CLUSTER}": spec.owner.cluster, "tag:Name": spec.name})
        for instance in found:
            if instance["State"]["Name"] not in ENDING:
                raise MachineExists(spec.name, instance["InstanceId"])

    async def _instances(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        reservations = await self._ec2.pages("describe_instances", "Reservations", Filters=wanted)
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    async def _instance(self, id: MachineId) -> dict[str, Any]:
        found = await self._ec2.pages("describe_instances", "Reservations", about=About(id=id), InstanceIds=[id])
        instances = [instance for reservation in found for instance in reservation["Instances"]]
        if not instances or instances[0]["State"]["Name"] in DEAD:
            raise MachineNotFound(id)
        return dict(instances[0])

    async def _notices(self, instances: Iterable[Mapping[str, Any]]) -> dict[str, Interruption]:
        """Interruptions of spot instances and announced maintenance, by instance ID."""
        listed = list(instances)
        notices: dict[str, Interruption] = {}
        if not listed:
            return notices
        ids = [instance["InstanceId"] for instance in listed]
        for some in _batches(ids, limits.EC2_STATUS_IDS):
            for status in await self._ec2.pages("describe_instance_status", "InstanceStatuses", InstanceIds=some):
                for event in status.get("Events") or ():
                    if not event.get("Description", "").startswith("[Completed]"):
                        at = event.get("NotBefore") or datetime.max.replace(tzinfo=UTC)
                        notices[status["InstanceId"]] = Interruption(at, event.get("Code", "maintenance"))
        requests = [i["SpotInstanceRequestId"] for i in listed if i.get("SpotInstanceRequestId")]
        for some in _batches(requests, limits.EC2_STATUS_IDS):
            found = await self._ec2.pages(
                "describe_spot_instance_requests", "SpotInstanceRequests", SpotInstanceRequestIds=some
            )
            for request in found:
                status = request.get("Status") or {}
                if status.get("Code") in _MARKED:
                    at = (status.get("UpdateTime") or self._clock.now()) + _SPOT_NOTICE
                    notices[request["InstanceId"]] = Interruption(at, status["Code"])
        return notices

    def _machine(self, instance: Mapping[str, Any], notices: Mapping[str, Interruption] | None = None) -> Machine:
        alias = ALIASES.get(self._settings.image)
        user = self._settings.ssh_user or (alias.user if alias else DEFAULT_USER)
        return machine(instance, user=user, interruption=(notices or {}).get(instance["InstanceId"]))


def _with_machine(instance: Mapping[str, Any], volumes: Iterable[str]) -> list[dict[str, Any]]:
    """The request that lets these volumes end with their machine."""
    doomed = set(volumes)
    return [
        {"DeviceName": disk["DeviceName"], "Ebs": {"DeleteOnTermination": True, "VolumeId": disk["Ebs"]["VolumeId"]}}
        for disk in instance.get("BlockDeviceMappings") or ()
        if "Ebs" in disk and disk["Ebs"]["VolumeId"] in doomed
    ]


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
