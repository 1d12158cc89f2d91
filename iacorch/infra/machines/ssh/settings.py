"""The inventory of owned hosts, as a person writes it. Checked by pydantic; offerings follow from it purely."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from iacorch.infra.machines.contract import Capacity, CapacityType, Offering
from iacorch.infra.machines.settings import checked

GIB: Final = 1024**3


class Ipmi(BaseModel):
    """A board that switches the host's power, asked with `ipmitool`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str
    port: int = Field(default=623, gt=0, lt=65536)
    user: str
    password_file: Path


class PowerCommands(BaseModel):
    """Programs with arguments, run here (not on the host), that switch its power. `status` prints on or off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    status: tuple[str, ...] = ()


class Host(BaseModel):
    """One machine in a rack."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    address: str
    port: int = 22
    user: str = "root"
    instance_type: str = "owned"
    """Hosts that may stand in for one another have the same."""
    zone: str = "home"
    cores: int = Field(default=1, gt=0)
    memory_gib: float = Field(default=1, gt=0)
    disk_gib: float = Field(default=0, ge=0)
    arch: str = "amd64"
    host_keys: str = ""
    """Lines of known_hosts; empty: the first answer is trusted and remembered in the ledger."""
    ipmi: Ipmi | None = None
    power: PowerCommands | None = None


class SshSettings(BaseModel):
    """The hosts, the key that opens them, and where is remembered which ones are in use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[Host, ...] = Field(min_length=1)
    private_key: SecretStr = SecretStr("")
    private_key_file: Path | None = None
    ledger: Path = Path("~/.local/state/iacorch/hosts.json")

    @field_validator("hosts")
    @classmethod
    def _named_once(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        names = [host.name for host in hosts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names are given once, found twice: {', '.join(twice)}")
        return hosts


def settings_of(raw: Mapping[str, Any]) -> SshSettings:
    """Raises InvalidSpec."""
    return checked(SshSettings, raw)


def offerings(settings: SshSettings, *, taken: Collection[str]) -> tuple[Offering, ...]:
    """Pure: one for each type and zone, as large as its smallest host, with how many are not in use."""
    groups: dict[tuple[str, str], list[Host]] = {}
    for host in settings.hosts:
        groups.setdefault((host.instance_type, host.zone), []).append(host)
    found = (
        Offering(
            instance_type,
            zone,
            CapacityType.OWNED,
            Capacity(
                min(h.cores for h in hosts) * 1000,
                int(min(h.memory_gib for h in hosts) * GIB),
                int(min(h.disk_gib for h in hosts) * GIB),
            ),
            0,
            arch=hosts[0].arch,
            free=sum(h.name not in taken for h in hosts),
        )
        for (instance_type, zone), hosts in groups.items()
    )
    return tuple(sorted(found, key=lambda offering: offering.key))
