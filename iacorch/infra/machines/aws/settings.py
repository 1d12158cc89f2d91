"""What a person says of an account and region on AWS, and of one machine there. Checked by pydantic.

In: the `settings` of a MachineClass and the `options` of a MachineSpec. Out: frozen values, or InvalidSpec that names
the field. Credentials are no settings: boto3 finds them where AWS's own command does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from iacorch.infra.machines.settings import checked


class AwsSettings(BaseModel):
    """One account in one region. `endpoint_url` is for services that speak EC2's API elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str
    profile: str = ""
    endpoint_url: str = ""
    instance_types: tuple[str, ...] = ()
    """Only these are offered; empty: every type of the price list that the region has."""
    image: str = "debian-12"
    """An alias of `images`, an AMI's ID, or OWNER/NAME-PATTERN (the newest that matches)."""
    ssh_user: str = ""
    """Empty: the administrator of the image's alias, else `admin`."""
    ssh_from: str = "0.0.0.0/0"
    """Who may reach SSH through the security group that is made where none is given."""
    open_ports: tuple[int, ...] = ()
    """Further TCP ports that this group opens to everyone (6443 for a control plane)."""


class AwsOptions(BaseModel):
    """One machine. What is empty is left to the account's defaults, or made (`security_groups`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    instance_profile: str = ""
    """Name or ARN of an IAM instance profile."""
    placement_group: str = ""
    public_address: bool | None = None
    root_disk_type: str = "gp3"
    encrypted: bool = True


def settings_of(raw: Mapping[str, Any]) -> AwsSettings:
    """Raises InvalidSpec."""
    return checked(AwsSettings, raw)


def options_of(raw: Mapping[str, Any]) -> AwsOptions:
    """Raises InvalidSpec."""
    return checked(AwsOptions, raw, at="options.")
