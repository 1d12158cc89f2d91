"""A fleet on EC2: a control plane and workers, each a virtual machine that becomes a node like any other machine.

Settings (`iacorch config set NAME VALUE --stack aws`): region, workers, instance_type, control_plane_type,
capacity_type, image. Credentials are found where AWS's own command finds them. See README.md beside this file.
"""

import pulumi

from iacorch.stack import ControlPlane, Node, SshKey, VirtualMachine, whole_number

config = pulumi.Config()
workers = whole_number(config.get("workers"), "workers", usual=2)
worker_type = config.get("instance_type") or "t3.medium"
settings = {
    "region": config.require("region"),
    "image": config.get("image") or "debian-12",
    "ssh_from": config.get("ssh_from") or "0.0.0.0/0",
    "open_ports": [6443],
    **({"endpoint_url": url} if (url := config.get("endpoint_url")) else {}),
}
key = SshKey("administrator")


def machine(name: str, instance_type: str, capacity_type: str) -> VirtualMachine:
    return VirtualMachine(
        name,
        driver="aws",
        settings=settings,
        instance_type=instance_type,
        capacity_type=capacity_type,
        ssh_public_key=key.public_key,
        labels={"stack": pulumi.get_stack()},
    )


# Workers may be spot: what runs on one that is taken back runs elsewhere. The control plane may not.
server = machine("control-plane", config.get("control_plane_type") or "t3.medium", "on-demand")
machines = {
    f"worker-{number}": machine(f"worker-{number}", worker_type, config.get("capacity_type") or "on-demand")
    for number in range(1, workers + 1)
}
pulumi.export("machines", {name: vm.address for name, vm in {"control-plane": server, **machines}.items()})
pulumi.export("price_per_hour", {name: vm.price_per_hour for name, vm in machines.items()})

# `iacorch config set machines_only true` stops here: machines without nodes, for trying credentials and prices.
if not config.get_bool("machines_only"):
    control_plane = ControlPlane(
        "control-plane",
        connection=server.connection(key.private_key),
        machine_id=server.id,
        advertise=pulumi.Output.concat(server.private_address, ":6443"),
        endpoint=pulumi.Output.concat(server.address, ":6443"),
    )
    for name, vm in machines.items():
        Node(name, connection=vm.connection(key.private_key), machine_id=vm.id, control_plane=control_plane)
    pulumi.export("kubeconfig", control_plane.kubeconfig)
