"""Hosts that you own, as one cluster: the first carries the control plane, the others run containers.

Settings: `hosts`, a list of {name, address, user, port} of which the last two may be left out; `ssh_private_key` (a
secret), which opens them as root or as a user with sudo that asks no password; `first_is_node`, whether the first host
runs containers as well. `iacorch new` writes them.
"""

from typing import Any

import pulumi

import iacorch.stack as iac

config = pulumi.Config()
key = config.require_secret("ssh_private_key")
hosts: list[dict[str, Any]] = config.require_object("hosts")
machines = {
    host["name"]: iac.Connection(
        host["address"], user=host.get("user", "root"), port=host.get("port", 22), private_key=key
    )
    for host in hosts
}

first = hosts[0]["name"]
nodes = {name: machine for name, machine in machines.items() if name != first or config.get_bool("first_is_node")}
cluster = iac.Cluster("cluster", control_plane=machines[first], nodes=nodes)

pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("api_endpoint", cluster.control_plane.api_endpoint)
