"""What EC2's error codes mean, as leaves of MachineError. Pure.

In: an error code, its message, the operation, and what the call was about. Out: the leaf to raise. Source: EC2's API
reference, "Error codes". Called by `api` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iacorch.errors import MachineError
from iacorch.infra.machines.errors import (
    CloudRefused,
    CloudUnavailable,
    InsufficientCapacity,
    InvalidSpec,
    MachineExists,
    MachineNotFound,
    MissingCredentials,
    NotPermitted,
    QuotaExceeded,
    Throttled,
    UnknownImage,
    UnknownSize,
    UnknownZone,
)


@dataclass(frozen=True, slots=True)
class About:
    """What a call was about, for the error's fields."""

    id: str = ""
    name: str = ""
    token: str = ""
    instance_type: str = ""
    zone: str = ""
    capacity_type: str = ""
    image: str = ""


LOOKED_IN: Final = (
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE in ~/.aws",
    "the machine's own role",
)
_CREDENTIALS: Final = frozenset(
    {"AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "RequestExpired"}
    | {"UnrecognizedClientException", "InvalidAccessKeyId", "OptInRequired"}
)
_PERMISSIONS: Final = frozenset(
    {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Client.Unauthorized"}
)
_THROTTLES: Final = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "SlowDown"}
)
_CAPACITY: Final = frozenset(
    {"InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "SpotMaxPriceTooLow"}
    | {"InsufficientReservedInstanceCapacity", "Unsupported", "UnfulfillableCapacity"}
)
_QUOTAS: Final = frozenset(
    {"InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded"}
    | {"AddressLimitExceeded", "SecurityGroupLimitExceeded", "MaxIOPSLimitExceeded", "ResourceLimitExceeded"}
)
_BROKEN: Final = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout"})
_FIELDS: Final = {
    "InvalidSubnetID.NotFound": "options.subnet",
    "InvalidSubnet": "options.subnet",
    "InvalidGroup.NotFound": "options.security_groups",
    "InvalidSecurityGroupID.NotFound": "options.security_groups",
    "InvalidPlacementGroup.Unknown": "options.placement_group",
    "InvalidIamInstanceProfile.NotFound": "options.instance_profile",
    "NoSuchEntity": "options.instance_profile",
    "InvalidParameterValue": "spec",
    "InvalidParameterCombination": "spec",
    "InvalidBlockDeviceMapping": "data_disks",
    "InvalidUserData.Malformed": "user_data",
    "InvalidKey.Format": "ssh_public_key",
}


def meaning(operation: str, code: str, message: str, *, status: int, about: About) -> MachineError:
    """The leaf for one answer. `status` is HTTP's, 0 where there is none."""
    if code in _THROTTLES:
        return Throttled(operation)
    if code in _BROKEN or status >= 500:
        return CloudUnavailable(operation, f"{message} ({code})")
    if code in _CREDENTIALS:
        return MissingCredentials("aws", looked_in=LOOKED_IN, found=f"AWS does not take the credentials: {message}")
    if code in _PERMISSIONS:
        return NotPermitted(f"ec2:{operation}", message)
    if code in _CAPACITY:
        return InsufficientCapacity(
            zone=about.zone, instance_type=about.instance_type, capacity_type=about.capacity_type
        )
    if code in _QUOTAS:
        return QuotaExceeded(code, message)
    if code == "IdempotentParameterMismatch":
        return MachineExists(about.name, about.token, f"another machine was asked for under the same token: {message}")
    return _unknown(operation, code, message, about)


def _unknown(operation: str, code: str, message: str, about: About) -> MachineError:
    if code.startswith("InvalidInstanceID"):
        return MachineNotFound(about.id)
    if code.startswith("InvalidAMIID"):
        return UnknownImage(about.image, field="image")
    if code == "InvalidInstanceType" or (code == "InvalidParameterValue" and "InstanceType" in message):
        return UnknownSize(about.instance_type, field="instance_type")
    if code == "InvalidZone.NotFound" or (code == "InvalidParameterValue" and "zone" in message.lower()):
        return UnknownZone(about.zone, field="zone")
    if code in _FIELDS:
        return InvalidSpec(_FIELDS[code], message)
    return CloudRefused(operation, code=code, message=message)
