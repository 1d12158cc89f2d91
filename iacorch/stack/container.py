"""A machine made of a container: systemd, sshd and, later, a Docker Engine of its own, without `--privileged`.

Used by `stacks/local.py` and by the machines of pools (`claim`). What a server has and a container has not is given
here: capabilities, a writable cgroup tree (the host's: nested cgroup namespaces do not exist on cgroup v1; with v2 the
image's `machine-init` makes the machine's own part of it the root), temporary file systems, disks for Docker.
"""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from iacorch.infra.machines.images.build import (
    NODE_CAPABILITIES,
    NODE_DISKS,
    NODE_SECURITY,
    NODE_TMPFS,
    node_reference,
)
from iacorch.stack.ssh_key import SshKey


class ContainerMachine(pulumi.ComponentResource):
    """`publish` maps ports of the address `loopback` of this host to ports of the machine; `labels` are Docker's."""

    def __init__(
        self,
        name: str,
        *,
        network: pulumi.Input[str],
        key: SshKey,
        publish: Mapping[int, int] | None = None,
        loopback: str = "127.0.0.1",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("iacorch:local:ContainerMachine", name)
        child = pulumi.ResourceOptions(parent=self)
        disks = {path: docker.Volume(f"{name}-{path.rsplit('/', 1)[-1]}", opts=child) for path in NODE_DISKS}
        container = docker.Container(
            name,
            image=node_reference(),
            hostname=name,
            envs=[pulumi.Output.concat("AUTHORIZED_KEY=", key.public_key)],
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network, aliases=[name])],
            ports=[
                docker.ContainerPortArgs(ip=loopback, external=outside, internal=inside)
                for outside, inside in (publish or {}).items()
            ],
            volumes=[
                docker.ContainerVolumeArgs(host_path="/sys/fs/cgroup", container_path="/sys/fs/cgroup"),
                *(
                    docker.ContainerVolumeArgs(volume_name=disk.name, container_path=path)
                    for path, disk in disks.items()
                ),
            ],
            labels=[docker.ContainerLabelArgs(label=label, value=value) for label, value in (labels or {}).items()]
            or None,
            tmpfs=NODE_TMPFS,
            cgroupns_mode="host",
            capabilities=docker.ContainerCapabilitiesArgs(adds=list(NODE_CAPABILITIES)),
            security_opts=list(NODE_SECURITY),
            restart="unless-stopped",
            stop_signal="SIGRTMIN+3",
            # published ports cannot be held by the old machine and the new one at once
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.machine_id = container.id
        self.address = container.network_datas.apply(lambda found: str(found[0].ip_address))
        self.container_name = container.name
        self.register_outputs({"address": self.address})
