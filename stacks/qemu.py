"""A fleet of local virtual machines: QEMU boots a cloud image, cloud-init lets the administrator's key in.

Settings: `image` (a cloud image in qcow2 or raw, its path), `workers`, `instance_type`, `folder` (where disks and
sockets are kept); `kernel` and `initrd` for an image of `iacorch image machine`, which has no boot loader;
`accelerator` (`tcg`: emulate, where /dev/kvm is there and boots nothing). Machines reach this host at 10.0.2.2 and are
reached through forwarded ports of 127.0.0.1.
"""

import pulumi

from iacorch.stack import ControlPlane, Node, SshKey, VirtualMachine

config = pulumi.Config()
chosen = {name: config.get(name) for name in ("folder", "kernel", "initrd", "accelerator")}
settings = {"image": config.require("image"), **{name: value for name, value in chosen.items() if value}}
workers = config.get_int("workers") or 1
api_port = config.get_int("api_port") or 16443
key = SshKey("administrator")


def machine(name: str, forward: dict[str, int]) -> VirtualMachine:
    return VirtualMachine(
        name,
        driver="qemu",
        settings=settings,
        instance_type=config.get("instance_type") or "small",
        ssh_public_key=key.public_key,
        options={"forward": forward},
    )


server = machine("control-plane", {str(api_port): 6443})
control_plane = ControlPlane(
    "control-plane",
    connection=server.connection(key.private_key),
    machine_id=server.id,
    # User networking has no way between machines: nodes come back through this host.
    advertise=f"10.0.2.2:{api_port}",
    endpoint=f"127.0.0.1:{api_port}",
)
for number in range(1, workers + 1):
    worker = machine(f"worker-{number}", {})
    Node(
        f"worker-{number}",
        connection=worker.connection(key.private_key),
        machine_id=worker.id,
        control_plane=control_plane,
    )

pulumi.export("kubeconfig", control_plane.kubeconfig)
