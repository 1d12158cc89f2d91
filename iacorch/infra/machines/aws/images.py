"""Which AMI an image's name means. The choice is pure, the question is not.

In: an alias (`debian-12`), an AMI's ID, or OWNER/NAME-PATTERN, and an architecture. Out: the newest image that matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from iacorch.infra.machines.aws.api import Ec2
from iacorch.infra.machines.aws.failures import About
from iacorch.infra.machines.errors import UnknownImage


@dataclass(frozen=True, slots=True)
class Alias:
    """A publisher's account, the pattern of its images' names (with {arch}), and the administrator they come with."""

    owner: str
    pattern: str
    user: str
    arches: Mapping[str, str]


_DEBIAN: Final = {"amd64": "amd64", "arm64": "arm64"}
ALIASES: Final[Mapping[str, Alias]] = {
    "debian-12": Alias("136693071363", "debian-12-{arch}-*", "admin", _DEBIAN),
    "debian-13": Alias("136693071363", "debian-13-{arch}-*", "admin", _DEBIAN),
    "ubuntu-24.04": Alias(
        "099720109477", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*", "ubuntu", _DEBIAN
    ),
}
DEFAULT_USER: Final = "admin"
_ARCHES: Final = {"amd64": "x86_64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """What is needed of an AMI."""

    id: str
    root_device: str
    root_bytes: int
    """What the image needs; a smaller disk is refused by EC2."""
    user: str
    arch: str


async def resolve(ec2: Ec2, name: str, *, arch: str) -> Image:
    """Raises UnknownImage."""
    alias = ALIASES.get(name)
    about = About(image=name)
    if name.startswith("ami-"):
        found = await ec2.pages("describe_images", "Images", about=about, ImageIds=[name])
    else:
        owner, _, pattern = name.partition("/")
        if alias is not None:
            owner, pattern = alias.owner, alias.pattern.format(arch=alias.arches[arch])
        if not pattern:
            raise UnknownImage(name, known=ALIASES, field="image")
        filters = [
            {"Name": "name", "Values": [pattern]},
            {"Name": "architecture", "Values": [_ARCHES[arch]]},
            {"Name": "state", "Values": ["available"]},
        ]
        found = await ec2.pages("describe_images", "Images", about=about, Owners=[owner], Filters=filters)
    newest = choose(found)
    if newest is None:
        # an alias that is known is no typing error: say what was looked for
        raise UnknownImage(name if name.startswith("ami-") else f"{owner}/{pattern}", field="image")
    root = newest.get("RootDeviceName") or "/dev/xvda"
    disks = newest.get("BlockDeviceMappings") or ()
    sizes = [d["Ebs"].get("VolumeSize", 0) for d in disks if d.get("DeviceName") == root and "Ebs" in d]
    return Image(
        newest["ImageId"],
        root,
        max(sizes, default=0) * 1024**3,
        alias.user if alias else DEFAULT_USER,
        "arm64" if newest.get("Architecture") == "arm64" else "amd64",
    )


def choose(found: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The newest; equally new ones by ID, so that two askers agree."""
    return max(found, key=lambda image: (image.get("CreationDate", ""), image["ImageId"]), default=None)
