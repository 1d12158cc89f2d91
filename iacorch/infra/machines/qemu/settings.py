"""What a person says of this host as a place for virtual machines. Checked by pydantic; offerings follow purely."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from iacorch.api.networks import CLUSTER_NETWORK, SERVICE_NETWORK
from iacorch.infra.machines.contract import Capacity, CapacityType, Offering
from iacorch.infra.machines.settings import checked

MIB: Final = 1024**2
GIB: Final = 1024**3


class Size(BaseModel):
    """One instance type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: int = Field(gt=0)
    memory_mib: int = Field(ge=64)
    disk_gib: int = Field(default=20, gt=0)


SIZES: Final = {
    "small": Size(cores=1, memory_mib=1_024),
    "medium": Size(cores=2, memory_mib=2_048),
    "large": Size(cores=4, memory_mib=8_192),
}


USER_NETWORK: Final = IPv4Network("10.0.2.0/24")
"""QEMU's own, on each machine's first link."""


class Network(BaseModel):
    """On which machines reach each other. `bridge` is one of this host's; without it no rights are needed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    range: IPv4Network = IPv4Network("10.77.0.0/24")
    bridge: str = Field(default="", pattern=r"^[^,/\s]{0,15}$")

    @field_validator("range")
    @classmethod
    def _is_free(cls, found: IPv4Network) -> IPv4Network:
        if found.prefixlen > 29:
            raise ValueError(f"{found} has room for too few machines, expected a /29 or larger")
        for other, whose in ((USER_NETWORK, "QEMU's"), (CLUSTER_NETWORK, "the pods'"), (SERVICE_NETWORK, "Services'")):
            if found.overlaps(other):
                raise ValueError(f"{found} overlaps {whose} {other}")
        return found


class QemuSettings(BaseModel):
    """`image` is a cloud image's path; `kernel` and `initrd` boot a root file system that has no boot loader."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = ""
    folder: Path = Path("~/.local/state/iacorch/machines")
    program: str = "qemu-system-x86_64"
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    network: Network = Network()
    kernel: str = ""
    initrd: str = ""
    kernel_arguments: str = "root=/dev/vda rw console=ttyS0"
    ssh_user: str = "debian"
    libvirt: str = Field(default="", pattern=r"^(|qemu(\+[a-z]+)?:///\S+)$")
    """The URI of a libvirt of this host (`qemu:///system`) that runs the machines; empty: QEMU is started directly."""
    zone: str = "local"
    halt_seconds: float = Field(default=30.0, ge=0)
    """Patience between asking a machine's system to halt and pulling the plug."""
    machines: int | None = Field(default=None, ge=0)
    sizes: dict[str, Size] = Field(default_factory=lambda: dict(SIZES))


class QemuOptions(BaseModel):
    """One machine. `forward` maps ports of 127.0.0.1 to ports of the machine, beside the one for SSH."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forward: dict[int, int] = Field(default_factory=dict)


def settings_of(raw: Mapping[str, Any]) -> QemuSettings:
    """Raises InvalidSpec."""
    return checked(QemuSettings, raw)


def options_of(raw: Mapping[str, Any]) -> QemuOptions:
    """Raises InvalidSpec."""
    return checked(QemuOptions, raw, at="options.")


def offerings(settings: QemuSettings, *, alive: int) -> tuple[Offering, ...]:
    """Pure."""
    free = None if settings.machines is None else max(0, settings.machines - alive)
    sold = (
        Offering(
            name,
            settings.zone,
            CapacityType.OWNED,
            Capacity(size.cores * 1000, size.memory_mib * MIB, size.disk_gib * GIB),
            0,
            free=free,
        )
        for name, size in settings.sizes.items()
    )
    return tuple(sorted(sold, key=lambda offering: offering.key))
