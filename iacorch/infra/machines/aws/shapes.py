"""Specifications into EC2's requests, EC2's answers into machines. Pure.

In: MachineSpec, settings, the image that was found. Out: parameters of RunInstances; from what DescribeInstances says,
a `Machine`. Called by `driver`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from iacorch.infra.machines.aws.images import Image
from iacorch.infra.machines.aws.settings import AwsOptions
from iacorch.infra.machines.contract import (
    MICROS_PER_UNIT,
    CapacityType,
    Interruption,
    Machine,
    MachineId,
    MachineSpec,
    MachineState,
    OwnerTags,
)

GIB: Final = 1024**3
NAME: Final = "Name"
TAG_VALUE_CHARACTERS: Final = 256
ROOT_DISK_BYTES: Final = 20 * GIB
"""Where nothing is said: images come with 8 GiB, which is little for container images."""
LABELS: Final = "iacorch.dev/labels"
"""Names the tags that are labels, so that those of other people and their tools are left alone."""
_OURS: Final = frozenset({*OwnerTags("c", "t", "c").as_tags(), NAME, LABELS})
_STATES: Final = {
    "pending": MachineState.PENDING,
    "running": MachineState.RUNNING,
    "stopping": MachineState.STOPPED,
    "stopped": MachineState.STOPPED,
    "shutting-down": MachineState.DELETING,
}
DEAD: Final = frozenset({"terminated"})
ENDING: Final = frozenset({"terminated", "shutting-down"})


def client_token(owner: OwnerTags, generation: int) -> str:
    """EC2 remembers a client token for a day, also when its machine is gone: each life has its own. At most 64 long."""
    digest = hashlib.sha256(f"{owner.cluster}/{owner.token}/{generation}".encode()).hexdigest()
    return f"iacorch-{digest[:40]}"


def tags_of(spec: MachineSpec) -> list[dict[str, str]]:
    """All tags of what is made for a machine, as EC2 wants them."""
    return as_list({**spec.labels, **spec.owner.as_tags(), NAME: spec.name, LABELS: _joined(spec.labels)})


def labels_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What was asked for as labels. A machine from before they were named has all tags that are not ours."""
    named = tags[LABELS].split() if LABELS in tags else [name for name in tags if not name.startswith("aws:")]
    return {name: tags[name] for name in named if name in tags and name not in _OURS}


def _joined(labels: Iterable[str]) -> str:
    """A tag's value: at most 256 characters, of which a space is one that no label's name has."""
    return " ".join(sorted(labels))[:TAG_VALUE_CHARACTERS]


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Sorted: the same request has the same bytes, or the client token would not match."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def as_mapping(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def disk_name(number: int) -> str:
    """/dev/sdf to /dev/sdp, as EC2 recommends for data."""
    return f"/dev/sd{chr(ord('f') + number)}"


def run_request(
    spec: MachineSpec, options: AwsOptions, image: Image, *, generation: int, key_name: str, groups: Iterable[str]
) -> dict[str, Any]:
    """Parameters of RunInstances: one machine, tagged with its disks in the same call, metadata only with a token."""
    request: dict[str, Any] = {
        "ImageId": image.id,
        "InstanceType": spec.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": client_token(spec.owner, generation),
        "BlockDeviceMappings": _disks(spec, options, image),
        # One hop: a container of the machine does not get the machine's role.
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags_of(spec)} for kind in ("instance", "volume")],
        "InstanceInitiatedShutdownBehavior": "stop",
    }
    if key_name:
        request["KeyName"] = key_name
    if spec.user_data:
        request["UserData"] = spec.user_data
    placement = {"AvailabilityZone": spec.zone, "GroupName": options.placement_group}
    if found := {name: value for name, value in placement.items() if value}:
        request["Placement"] = found
    if options.instance_profile:
        by = "Arn" if options.instance_profile.startswith("arn:") else "Name"
        request["IamInstanceProfile"] = {by: options.instance_profile}
    if spec.capacity_type is CapacityType.SPOT:
        request["InstanceMarketOptions"] = _spot(spec)
    return request | _network(options, list(groups))


def _disks(spec: MachineSpec, options: AwsOptions, image: Image) -> list[dict[str, Any]]:
    root: dict[str, Any] = {
        "VolumeType": options.root_disk_type,
        "Encrypted": options.encrypted,
        "VolumeSize": gibibytes(max(spec.root_disk_bytes or ROOT_DISK_BYTES, image.root_bytes)),
    }
    disks = [{"DeviceName": image.root_device, "Ebs": {**root, "DeleteOnTermination": True}}]
    for number, disk in enumerate(spec.data_disks):
        # Data outlives a machine that somebody else ends; only a delete with consent takes it along.
        ebs = {
            "VolumeSize": gibibytes(disk.size_bytes),
            "VolumeType": disk.type or "gp3",
            "Encrypted": options.encrypted,
            "DeleteOnTermination": False,
        }
        disks.append({"DeviceName": disk_name(number), "Ebs": ebs})
    return disks


def _spot(spec: MachineSpec) -> dict[str, Any]:
    options: dict[str, Any] = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    if spec.max_price_micros_per_hour:
        options["MaxPrice"] = f"{spec.max_price_micros_per_hour / MICROS_PER_UNIT:.6f}"
    return {"MarketType": "spot", "SpotOptions": options}


def _network(options: AwsOptions, groups: list[str]) -> dict[str, Any]:
    """A public address can be asked for only on the interface, and then everything else stands there too."""
    if options.public_address is None:
        return {"SecurityGroupIds": groups, **({"SubnetId": options.subnet} if options.subnet else {})}
    interface: dict[str, Any] = {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": options.public_address,
        "Groups": groups,
        **({"SubnetId": options.subnet} if options.subnet else {}),
    }
    return {"NetworkInterfaces": [interface]}


def gibibytes(size_bytes: int) -> int:
    """EC2 sells whole GiB: the next one up."""
    return -(-size_bytes // GIB)


def machine(instance: Mapping[str, Any], *, user: str, interruption: Interruption | None = None) -> Machine:
    """What one entry of DescribeInstances says."""
    tags = as_mapping(instance.get("Tags"))
    state = instance["State"]["Name"]
    root = instance.get("RootDeviceName")
    disks = instance.get("BlockDeviceMappings") or ()
    private = instance.get("PrivateIpAddress") or ""
    return Machine(
        id=MachineId(instance["InstanceId"]),
        name=tags.get(NAME, ""),
        state=_STATES.get(state, MachineState.BROKEN),
        instance_type=instance["InstanceType"],
        zone=(instance.get("Placement") or {}).get("AvailabilityZone", ""),
        capacity_type=CapacityType.SPOT if instance.get("InstanceLifecycle") == "spot" else CapacityType.ON_DEMAND,
        owner=OwnerTags.from_tags(tags),
        image=instance.get("ImageId", ""),
        address=instance.get("PublicIpAddress") or private,
        ssh_user=user,
        private_address=private,
        labels=labels_of(tags),
        created_at=instance.get("LaunchTime"),
        data_disks=tuple(d["Ebs"]["VolumeId"] for d in disks if d.get("DeviceName") != root and "Ebs" in d),
        problem=(instance.get("StateReason") or {}).get("Message", "") if state not in ("pending", "running") else "",
        interruption=interruption,
    )
