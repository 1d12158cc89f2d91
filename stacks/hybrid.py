"""Owned hosts and rented machines in one cluster: the first host carries the control plane, the others are nodes, and
a cloud adds what is missing.

Settings: `hosts` (a list as in the README beside this file), `ssh_private_key` (a secret: opens the hosts),
`cloud_driver`, `cloud_settings`, `cloud_type`, `cloud_workers`, `cloud_secret` (the token or password of one of
libcloud's clouds, kept encrypted; it comes after the settings' `positional`), and `endpoint` (HOST:PORT at which nodes
in the cloud reach the control plane, where that is not the first host's own address).
"""

from typing import Any

import pulumi

from iacorch.stack import ControlPlane, Node, SshKey, VirtualMachine, whole_number

config = pulumi.Config()
hosts: list[dict[str, Any]] = config.require_object("hosts")
hosts_key = config.require_secret("ssh_private_key")
cloud_workers = whole_number(config.get("cloud_workers"), "cloud_workers", usual=0)
cloud: dict[str, Any] = config.get_object("cloud_settings") or {}
if cloud_secret := config.get_secret("cloud_secret"):
    cloud["positional"] = [*cloud.get("positional", []), cloud_secret]


def owned(host: dict[str, Any]) -> VirtualMachine:
    """Adopted, never made and never destroyed: leaving the program gives the host back."""
    return VirtualMachine(
        host["name"],
        driver="ssh",
        settings={"hosts": [host], "private_key": hosts_key},
        instance_type=host.get("instance_type", "owned"),
    )


first, *others = hosts
server = owned(first)
control_plane = ControlPlane(
    "control-plane",
    connection=server.connection(hosts_key),
    machine_id=server.id,
    advertise=config.get("endpoint") or f"{first['address']}:6443",
)
for host in others:
    machine = owned(host)
    Node(
        host["name"],
        connection=machine.connection(hosts_key),
        machine_id=machine.id,
        control_plane=control_plane,
    )

key = SshKey("administrator")
for number in range(1, cloud_workers + 1):
    rented = VirtualMachine(
        f"cloud-{number}",
        driver=config.require("cloud_driver"),
        settings=cloud,
        instance_type=config.require("cloud_type"),
        image=config.get("cloud_image"),
        capacity_type=config.get("cloud_capacity_type"),
        ssh_public_key=key.public_key,
    )
    Node(
        f"cloud-{number}",
        connection=rented.connection(key.private_key),
        machine_id=rented.id,
        control_plane=control_plane,
    )

pulumi.export("kubeconfig", control_plane.kubeconfig)
pulumi.export("api_endpoint", control_plane.api_endpoint)
