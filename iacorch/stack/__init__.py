"""What a stack program imports: machines that become nodes, and what runs on them.

    import iacorch.stack as iac

    key = iac.SshKey("fleet")
    cp = iac.ControlPlane("cp", connection=iac.Connection("10.0.0.1", private_key=key.private_key))
    for number, host in enumerate(["10.0.0.2", "10.0.0.3"], start=1):
        iac.Node(f"worker-{number}", connection=iac.Connection(host, private_key=key.private_key), control_plane=cp)
    iac.Manifest("app", control_plane=cp, yaml=open("app.yaml").read())

Each class but the component `Cluster` is a plain Pulumi custom resource of the plugin `pulumi-resource-iacorch`
(`iacorch.infra.provider`), which says what every property means (`pulumi schema`).
"""

from iacorch.stack.cluster import Cluster
from iacorch.stack.manifest import Manifest
from iacorch.stack.node import Connection, ControlPlane, Joining, Node
from iacorch.stack.node_pool import NodePool
from iacorch.stack.settings import whole_number
from iacorch.stack.ssh_key import SshKey
from iacorch.stack.virtual_machine import MachineClass, VirtualMachine

__all__ = [
    "SshKey",
    "VirtualMachine",
    "Connection",
    "ControlPlane",
    "Joining",
    "Node",
    "Cluster",
    "Manifest",
    "MachineClass",
    "NodePool",
    "whole_number",
]
