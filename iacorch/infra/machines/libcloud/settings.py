"""What a person says of an account at one of libcloud's clouds. Checked by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from iacorch.infra.machines.settings import checked


class LibcloudSettings(BaseModel):
    """`positional` and `arguments` are those of libcloud's own driver class: keys, secrets, region, host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    """A name of libcloud.compute.types.Provider, such as `digital_ocean`, `openstack`, `vultr`, `ec2`."""
    positional: tuple[Any, ...] = ()
    arguments: dict[str, Any] = {}
    image: str = ""
    ssh_user: str = "root"
    account_keys: bool = False
    """Machines get the keys of the account, or options bring one; a machine's own key is not handed over."""
    prices: dict[str, str] = {}
    """Dollars an hour by instance type, where the cloud's own list has none or is wrong."""

    @field_validator("prices")
    @classmethod
    def _dollars(cls, prices: dict[str, str]) -> dict[str, str]:
        for name, price in prices.items():
            if not price.replace(".", "", 1).isdigit():
                raise ValueError(f"{name} is to cost a number of dollars, not {price!r}")
        return prices


def settings_of(raw: Mapping[str, Any]) -> LibcloudSettings:
    """Raises InvalidSpec."""
    return checked(LibcloudSettings, raw)
