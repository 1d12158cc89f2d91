"""VirtualMachine and MachineClass, as a stack program sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from iacorch.stack.node import Connection, ControlPlane

_SEEN = ("machineId", "state", "address", "sshPort", "sshUser", "privateAddress", "placedIn", "pricePerHour")


class VirtualMachine(pulumi.CustomResource):
    """A machine from a cloud, a hypervisor, a Docker Engine or an inventory of owned hosts.

        vm = iac.VirtualMachine(
            "worker-1",
            driver="aws",
            settings={"region": "eu-central-1"},
            instance_type="m7i.large",
            capacity_type="spot",
            ssh_public_key=key.public_key,
        )
        iac.Node("worker-1", connection=vm.connection(key.private_key), machine_id=vm.id, control_plane=cp)

    Import one with `pulumi import iacorch:index:VirtualMachine NAME 'aws?region=eu-central-1#i-0123'`.
    """

    def __init__(
        self,
        name: str,
        *,
        driver: pulumi.Input[str],
        instance_type: pulumi.Input[str],
        settings: pulumi.Input[Mapping[str, Any]] | None = None,
        cluster: pulumi.Input[str] | None = None,
        claim: pulumi.Input[str] | None = None,
        machine_name: pulumi.Input[str] | None = None,
        capacity_type: pulumi.Input[str] | None = None,
        zone: pulumi.Input[str] | None = None,
        image: pulumi.Input[str] | None = None,
        ssh_public_key: pulumi.Input[str] | None = None,
        user_data: pulumi.Input[str] | None = None,
        root_disk_gib: pulumi.Input[int] | None = None,
        data_disks_gib: pulumi.Input[Sequence[pulumi.Input[int]]] | None = None,
        max_price_per_hour: pulumi.Input[str] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        options: pulumi.Input[Mapping[str, Any]] | None = None,
        discard_data: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        `settings` are the driver's (account, region, inventory), `options` its settings of this one machine. A change
        of `labels` or `discard_data` is made in place; every other one makes another machine. `discard_data` is the
        consent to lose `data_disks_gib` when the machine is deleted.
        """
        properties: dict[str, Any] = {
            "driver": driver,
            "settings": settings,
            "cluster": cluster,
            "claim": claim,
            "name": machine_name,
            "instanceType": instance_type,
            "capacityType": capacity_type,
            "zone": zone,
            "image": image,
            "sshPublicKey": ssh_public_key,
            "userData": user_data,
            "rootDiskGib": root_disk_gib,
            "dataDisksGib": data_disks_gib,
            "maxPricePerHour": max_price_per_hour,
            "labels": labels,
            "options": options,
            "discardData": discard_data,
            **dict.fromkeys(_SEEN),
        }
        super().__init__("iacorch:index:VirtualMachine", name, properties, opts)

    def connection(self, private_key: pulumi.Input[str]) -> Connection:
        """How `Node` and `ControlPlane` reach it."""
        return Connection(self.address, private_key=private_key, port=self.ssh_port, user=self.ssh_user)

    @property
    def address(self) -> pulumi.Output[str]:
        """Where SSH reaches it."""
        return pulumi.get(self, "address")  # type: ignore[no-any-return]

    @property
    def ssh_port(self) -> pulumi.Output[int]:
        """The port of its SSH server."""
        return pulumi.get(self, "sshPort")  # type: ignore[no-any-return]

    @property
    def ssh_user(self) -> pulumi.Output[str]:
        """Who is let in."""
        return pulumi.get(self, "sshUser")  # type: ignore[no-any-return]

    @property
    def private_address(self) -> pulumi.Output[str]:
        """Where other machines reach it."""
        return pulumi.get(self, "privateAddress")  # type: ignore[no-any-return]

    @property
    def state(self) -> pulumi.Output[str]:
        """What it was when it was last looked at."""
        return pulumi.get(self, "state")  # type: ignore[no-any-return]

    @property
    def placed_in(self) -> pulumi.Output[str]:
        """The zone it is in."""
        return pulumi.get(self, "placedIn")  # type: ignore[no-any-return]

    @property
    def price_per_hour(self) -> pulumi.Output[str]:
        """In dollars, as the price list said when it was made."""
        return pulumi.get(self, "pricePerHour")  # type: ignore[no-any-return]


class MachineClass(pulumi.CustomResource):
    """What the machines of a pool are made from, as an object of the cluster with the driver's offerings.

    iac.MachineClass("burst", control_plane=cp, driver="aws", settings={"region": "eu-central-1"},
                     instance_types=["m7i.large", "m7a.large"], capacity_types=["spot", "on-demand"])
    """

    def __init__(
        self,
        name: str,
        *,
        control_plane: ControlPlane,
        driver: pulumi.Input[str],
        settings: pulumi.Input[Mapping[str, Any]] | None = None,
        template: pulumi.Input[Mapping[str, Any]] | None = None,
        class_name: pulumi.Input[str] | None = None,
        instance_types: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        zones: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        capacity_types: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`template` is what every machine gets (image, userData, ...); the lists narrow what the driver offers."""
        properties: dict[str, Any] = {
            "kubeconfig": control_plane.kubeconfig,
            "className": class_name,
            "driver": driver,
            "settings": settings,
            "template": template,
            "instanceTypes": instance_types,
            "zones": zones,
            "capacityTypes": capacity_types,
            **dict.fromkeys(("offerings", "cheapestPerHour", "inSync")),
        }
        super().__init__("iacorch:index:MachineClass", name, properties, opts)

    @property
    def class_name(self) -> pulumi.Output[str]:
        """The object's name."""
        return pulumi.get(self, "className")  # type: ignore[no-any-return]

    @property
    def offerings(self) -> pulumi.Output[Any]:
        """What can be had, as the MachineClass object says it."""
        return pulumi.get(self, "offerings")  # type: ignore[no-any-return]
