"""The program of one NodeClaim's stack: a machine, and the node that it becomes.

In: an order, as JSON in the file that `IACORCH_ORDER` names (written by `iacorch.provision.machines.stacks`). Out: a
stack with a key, a machine made by the class's driver, and a Node. One stack for each claim: one writer for each state
file, a claim that fails blocks nobody, and adding a node costs the same at 3 and at 300.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pulumi

from iacorch.errors import ConfigError
from iacorch.infra.machines.contract import TAG_CLAIM, TAG_CLUSTER
from iacorch.infra.machines.docker.properties import DEFAULT_NETWORK
from iacorch.infra.machines.registry import names
from iacorch.stack.node import Connection, Joining, Node
from iacorch.stack.ssh_key import SshKey
from iacorch.stack.virtual_machine import VirtualMachine

ORDER: Final = "IACORCH_ORDER"
TEMPLATE: Final = (
    "settings",
    "image",
    "user",
    "userData",
    "rootDiskGib",
    "dataDisksGib",
    "maxPricePerHour",
    "labels",
    "options",
)
"""What a class's template may say of a virtual machine, in the words of the provider's VirtualMachine."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was declared: how it is entered, and its ID."""

    connection: Connection
    id: pulumi.Output[str]
    node_ip: pulumi.Output[str] | None = None
    """Where other nodes reach it, where bootstrap cannot find that out."""


def run() -> None:
    """Declare everything of the order."""
    order = json.loads(Path(os.environ[ORDER]).read_text())
    driver = order["driver"]
    if driver not in MAKERS:
        raise ConfigError(
            f"machines of the driver {driver!r} are not made by stacks",
            where=f"MachineClass {order['class']}",
            hint=f"use one of: {', '.join(sorted(MAKERS))}",
        )
    key = SshKey(order["name"])
    machine = MAKERS[driver](order, key)
    node = Node(
        order["name"],
        connection=machine.connection,
        machine_id=machine.id,
        control_plane=_joining(order["joining"]),
        node_name=order["nodeName"],
        node_ip=machine.node_ip,
        labels=order["labels"],
        taints=[_taint(taint) for taint in order["taints"]],
    )
    pulumi.export("address", machine.connection.host)
    pulumi.export("machine_id", machine.id)
    pulumi.export("ssh_key", key.private_key)
    pulumi.export("ssh_user", machine.connection.user)
    pulumi.export("ssh_port", machine.connection.port)
    pulumi.export("node", node.node_name)


def _container(order: Mapping[str, Any], key: SshKey) -> Machine:
    """A container that behaves like a server, in the Docker network that the class names."""
    from iacorch.stack.container import ContainerMachine

    template = order["template"]
    network = template.get("network") or (template.get("settings") or {}).get("network", DEFAULT_NETWORK)
    machine = ContainerMachine(order["name"], network=network, key=key, labels=order["tags"])
    connection = Connection(machine.address, private_key=key.private_key, user=template.get("user", "root"))
    return Machine(connection, machine.machine_id)


def _virtual(order: Mapping[str, Any], key: SshKey) -> Machine:
    """What the class's driver sells as the order's offering."""
    template, offering, tags = order["template"], order["offering"], order["tags"]
    if unknown := sorted(template.keys() - set(TEMPLATE)):
        raise ConfigError(
            f"a template has no {unknown[0]!r}",
            where=f"MachineClass {order['class']}",
            hint=f"it has {', '.join(TEMPLATE)}",
        )
    machine = VirtualMachine(
        order["name"],
        driver=order["driver"],
        settings=template.get("settings"),
        cluster=tags[TAG_CLUSTER],
        claim=tags[TAG_CLAIM],
        instance_type=offering["machineType"],
        capacity_type=offering["capacityType"],
        zone=offering.get("zone"),
        image=template.get("image"),
        ssh_public_key=key.public_key,
        user_data=template.get("userData"),
        root_disk_gib=template.get("rootDiskGib"),
        data_disks_gib=template.get("dataDisksGib"),
        max_price_per_hour=template.get("maxPricePerHour"),
        labels=template.get("labels"),
        options=template.get("options"),
        # what is worth keeping is not on a machine that pools give back
        discard_data=True,
    )
    connection = machine.connection(key.private_key)
    if user := template.get("user"):
        connection = replace(connection, user=user)
    # All of QEMU's machines have the same first address.
    return Machine(connection, machine.id, machine.private_address if order["driver"] == "qemu" else None)


MAKERS: Final[dict[str, Callable[[Mapping[str, Any], SshKey], Machine]]] = {
    **dict.fromkeys(names(), _virtual),
    "docker": _container,
}
"""By driver: a machine of this order that lets the key in."""


def _joining(found: Mapping[str, str]) -> Joining:
    """What lets a machine in stays a secret in the claim's state."""
    return Joining(
        server=found["server"],
        ca_cert=found["ca_cert"],
        join_token=pulumi.Output.secret(found["join_token"]),
        kubeconfig=pulumi.Output.secret(found["kubeconfig"]),
    )


def _taint(taint: Mapping[str, str]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
