"""A fleet of local virtual machines: QEMU boots a cloud image, cloud-init lets the administrator's key in.

Settings: `image` (a cloud image in qcow2 or raw, its path), `workers`, `instance_type`, `folder` (where disks and
sockets are kept); `kernel` and `initrd` for an image of `iacorch image machine`, which has no boot loader;
`accelerator` (`auto`, `kvm`, `tcg`); `bridge`, one of this host's on which the machines are to be; without it they
reach each other on a network that needs no rights; `libvirt`, the URI of one that runs them (`qemu:///system`). This
host reaches them through forwarded ports of 127.0.0.1.
"""

import pulumi

from iacorch.stack import ControlPlane, Node, SshKey, VirtualMachine, whole_number

config = pulumi.Config()
chosen = {name: config.get(name) for name in ("folder", "kernel", "initrd", "accelerator", "libvirt")}
settings = {
    "image": config.require("image"),
    "network": {"bridge": config.get("bridge") or ""},
    **{name: value for name, value in chosen.items() if value},
}
workers = whole_number(config.get("workers"), "workers", usual=1)
api_port = whole_number(config.get("api_port"), "api_port", usual=16443, least=1)
key = SshKey("administrator")
# Machines that are emulated are ten to thirty times slower; every wait grows with these.
patient = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="20m"))


def machine(name: str, forward: dict[str, int]) -> VirtualMachine:
    return VirtualMachine(
        name,
        driver="qemu",
        settings=settings,
        instance_type=config.get("instance_type") or "small",
        ssh_public_key=key.public_key,
        options={"forward": forward},
        opts=patient,
    )


server = machine("control-plane", {str(api_port): 6443})
control_plane = ControlPlane(
    "control-plane",
    connection=server.connection(key.private_key),
    machine_id=server.id,
    advertise=pulumi.Output.concat(server.private_address, ":6443"),
    endpoint=f"127.0.0.1:{api_port}",
    opts=patient,
)
nodes = {}
for number in range(1, workers + 1):
    name = f"worker-{number}"
    worker = machine(name, {})
    Node(
        name,
        connection=worker.connection(key.private_key),
        machine_id=worker.id,
        # Every machine is 10.0.2.15 on its first link; others reach it on the second one.
        node_ip=worker.private_address,
        control_plane=control_plane,
        opts=patient,
    )
    nodes[name] = {"address": worker.address, "port": worker.ssh_port, "user": worker.ssh_user}

pulumi.export("kubeconfig", control_plane.kubeconfig)
pulumi.export("api_endpoint", control_plane.api_endpoint)
pulumi.export("nodes", nodes)
pulumi.export("ssh_key", key.private_key)
