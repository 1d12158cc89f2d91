"""Cluster: a control plane and nodes as one component, from machines of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from iacorch.stack.node import Connection, ControlPlane, Node
from iacorch.stack.virtual_machine import VirtualMachine


class Cluster(pulumi.ComponentResource):
    """One machine that carries the control plane, and machines that become nodes under their names.

        machines = {name: iac.VirtualMachine(name, ...) for name in ("cp", "worker-1", "worker-2")}
        cluster = iac.Cluster("fleet", control_plane=machines.pop("cp"), nodes=machines, private_key=key.private_key)
        iac.Manifest("app", control_plane=cluster.control_plane, yaml=...)

    A machine is a VirtualMachine, which `private_key` opens, or a Connection to anything that SSH reaches.
    """

    def __init__(
        self,
        name: str,
        *,
        control_plane: VirtualMachine | Connection,
        nodes: Mapping[str, VirtualMachine | Connection],
        private_key: pulumi.Input[str] = "",
        advertise: pulumi.Input[str] | None = None,
        endpoint: pulumi.Input[str] | None = None,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`advertise` and `endpoint` as in ControlPlane; `labels` by node."""
        super().__init__("iacorch:stack:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.control_plane = ControlPlane(
            name, advertise=advertise, endpoint=endpoint, opts=child, **_entered(control_plane, private_key)
        )
        self.nodes = {
            node: Node(
                node,
                control_plane=self.control_plane,
                labels=(labels or {}).get(node),
                opts=child,
                **_entered(machine, private_key),
            )
            for node, machine in nodes.items()
        }
        self.register_outputs({"kubeconfig": self.control_plane.kubeconfig})

    @property
    def kubeconfig(self) -> pulumi.Output[str]:
        """The administrator's."""
        return self.control_plane.kubeconfig


def _entered(machine: VirtualMachine | Connection, private_key: pulumi.Input[str]) -> dict[str, Any]:
    """How a machine is reached, and what tells it from another one at the same address."""
    if isinstance(machine, VirtualMachine):
        return {"connection": machine.connection(private_key), "machine_id": machine.id}
    return {"connection": machine}
