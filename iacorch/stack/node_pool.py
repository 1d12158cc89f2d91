"""NodePool, as a stack program sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from iacorch.stack.node import ControlPlane
from iacorch.stack.virtual_machine import MachineClass


class NodePool(pulumi.CustomResource):
    """Machines that the cluster asks for itself when pods fit nowhere; `iacorch provisioner` makes them.

        burst = iac.MachineClass("burst", control_plane=cp, driver="aws", settings={"region": "eu-central-1"})
        iac.NodePool("burst", control_plane=cp, machine_class=burst, limits={"machines": 10, "moneyPerHour": "2.50"})

    Deleting one waits until its machines are given back.
    """

    def __init__(
        self,
        name: str,
        *,
        control_plane: ControlPlane,
        machine_class: MachineClass | pulumi.Input[str],
        pool_name: pulumi.Input[str] | None = None,
        weight: pulumi.Input[int] | None = None,
        limits: pulumi.Input[Mapping[str, Any]] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        taints: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        requirements: pulumi.Input[Sequence[Mapping[str, Any]]] | None = None,
        expire_after: pulumi.Input[str] | None = None,
        time_zone: pulumi.Input[str] | None = None,
        office_hours: pulumi.Input[Sequence[Mapping[str, Any]]] | None = None,
        disruption: pulumi.Input[Mapping[str, Any]] | None = None,
        repair: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        `machine_class` is a MachineClass of this program or the name of one. `taints` are KEY=VALUE:EFFECT; what is
        given as mappings has the words of the NodePool object (docs/pools.md).
        """
        class_name = machine_class.class_name if isinstance(machine_class, MachineClass) else machine_class
        properties: dict[str, Any] = {
            "kubeconfig": control_plane.kubeconfig,
            "className": class_name,
            "poolName": pool_name,
            "weight": weight,
            "limits": limits,
            "labels": labels,
            "taints": taints,
            "requirements": requirements,
            "expireAfter": expire_after,
            "timeZone": time_zone,
            "officeHours": office_hours,
            "disruption": disruption,
            "repair": repair,
            "inSync": None,
        }
        super().__init__("iacorch:index:NodePool", name, properties, opts)
