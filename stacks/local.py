"""The local fleet: a control plane and some workers, each a container that behaves like a small Debian server.

Docker makes the machines, and from there on nothing is special: iacorch enters each by SSH, as it would enter a server
in a rack or a cloud. Settings: `iacorch config set workers 3`.
"""

import pulumi
import pulumi_docker as docker

from iacorch.stack import Connection, ControlPlane, Node, SshKey, whole_number
from iacorch.stack.container import ContainerMachine

config = pulumi.Config()
workers = whole_number(config.get("workers"), "workers", usual=2)
api_port = whole_number(config.get("api_port"), "api_port", usual=6443, least=1)
first_node_port = whole_number(config.get("first_node_port"), "first_node_port", usual=30080, least=1)
# NodePort -> the port of this host's loopback addresses that leads to it
published = {inside: first_node_port + number for number, inside in enumerate(range(30080, 30084))}

key = SshKey("administrator")
network = docker.Network("fleet")


def connection(machine: ContainerMachine) -> Connection:
    return Connection(machine.address, private_key=key.private_key)


# One machine runs the API, the controllers and the scheduler. People reach it at 127.0.0.1.
server = ContainerMachine(
    "control-plane", network=network.name, key=key, publish={api_port: 6443}, loopback="127.0.0.1"
)
control_plane = ControlPlane(
    "control-plane",
    connection=connection(server),
    machine_id=server.machine_id,
    endpoint=f"127.0.0.1:{api_port}",
)

# The others run containers. Worker 1 publishes its NodePorts at 127.0.0.1, worker 2 at 127.0.0.2, and so on.
nodes = {}
for number in range(1, workers + 1):
    name, loopback = f"worker-{number}", f"127.0.0.{number}"
    machine = ContainerMachine(
        name,
        network=network.name,
        key=key,
        publish={outside: inside for inside, outside in published.items()},
        loopback=loopback,
    )
    Node(name, connection=connection(machine), machine_id=machine.machine_id, control_plane=control_plane)
    nodes[name] = {
        "machine": machine.container_name,
        "address": machine.address,
        "loopback": loopback,
        "published": {str(inside): outside for inside, outside in published.items()},
    }

pulumi.export("kubeconfig", control_plane.kubeconfig)
pulumi.export("api_endpoint", control_plane.api_endpoint)
pulumi.export("nodes", nodes)
pulumi.export("ssh_key", key.private_key)
# What `iacorch provisioner` needs to make further nodes of this cluster.
pulumi.export("network", network.name)
pulumi.export("joining", control_plane.joining)
