"""What a person says of a Docker Engine that carries machines. Checked by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from iacorch.infra.machines.contract import Capacity, CapacityType, Offering
from iacorch.infra.machines.docker.properties import DEFAULT_NETWORK
from iacorch.infra.machines.settings import checked

MIB: Final = 1024**2


class Size(BaseModel):
    """One instance type: how much of the host a machine may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: float = Field(gt=0)
    memory_mib: int = Field(ge=64)


SIZES: Final = {
    "small": Size(cores=1, memory_mib=1_024),
    "medium": Size(cores=2, memory_mib=2_048),
    "large": Size(cores=4, memory_mib=4_096),
}


class DockerSettings(BaseModel):
    """One engine. `network` is an existing one to join (Docker gives a name twice, so none is made here)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = ""
    """As in DOCKER_HOST; empty: the engine that `docker` itself would use."""
    network: str = DEFAULT_NETWORK
    image: str = ""
    """Empty: the machine image of `stacks/local`."""
    zone: str = "local"
    machines: int | None = Field(default=None, ge=0)
    """How many this host may carry at once."""
    sizes: dict[str, Size] = Field(default_factory=lambda: dict(SIZES))


def settings_of(raw: Mapping[str, Any]) -> DockerSettings:
    """Raises InvalidSpec."""
    return checked(DockerSettings, raw)


def offerings(settings: DockerSettings, *, alive: int, cores: int, memory_bytes: int) -> tuple[Offering, ...]:
    """Pure: the sizes that one host of `cores` and `memory_bytes` can carry, at no price."""
    free = None if settings.machines is None else max(0, settings.machines - alive)
    sold = (
        Offering(
            name,
            settings.zone,
            CapacityType.OWNED,
            Capacity(int(size.cores * 1000), size.memory_mib * MIB),
            0,
            free=free,
        )
        for name, size in settings.sizes.items()
        if size.memory_mib * MIB <= memory_bytes
    )
    return tuple(sorted(sold, key=lambda offering: offering.key))
