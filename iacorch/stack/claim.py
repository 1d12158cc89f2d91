"""The program of one NodeClaim's stack: a machine, and the node that it becomes.

In: an order, as JSON in the file that `IACORCH_ORDER` names (written by `iacorch.provision.stacks`). Out: a stack with
a key, a machine made by the class's driver, and a Node. One stack for each claim: one writer for each state file, a
claim that fails blocks nobody, and adding a node costs the same at 3 and at 300.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pulumi

from iacorch.errors import ConfigError
from iacorch.stack.node import Connection, Joining, Node
from iacorch.stack.ssh_key import SshKey

ORDER: Final = "IACORCH_ORDER"


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
    address, machine_id = MAKERS[driver](order, key)
    node = Node(
        order["name"],
        connection=Connection(address, private_key=key.private_key, user=order["template"].get("user", "root")),
        machine_id=machine_id,
        control_plane=_joining(order["joining"]),
        node_name=order["nodeName"],
        labels=order["labels"],
        taints=[_taint(taint) for taint in order["taints"]],
    )
    pulumi.export("address", address)
    pulumi.export("machine_id", machine_id)
    pulumi.export("ssh_key", key.private_key)
    pulumi.export("node", node.node_name)


def _container(order: Mapping[str, Any], key: SshKey) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """A container that behaves like a server, in the Docker network that the class's template names."""
    from iacorch.stack.container import ContainerMachine

    machine = ContainerMachine(order["name"], network=order["template"]["network"], key=key, labels=order["tags"])
    return machine.address, machine.machine_id


MAKERS: Final[dict[str, Callable[[Mapping[str, Any], SshKey], tuple[pulumi.Output[str], pulumi.Output[str]]]]] = {
    "docker": _container,
}
"""By driver: a machine of this order that lets the key in; its address and its ID."""


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
