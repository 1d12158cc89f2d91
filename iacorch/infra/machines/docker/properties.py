"""A machine as a container, in pulumi-docker's words. Pure; used by `driver`.

What a server has and a container has not (capabilities, temporary file systems, disks for Docker) stands beside the
image in `images.build`, which `iacorch.stack.container` reads too; the cgroup tree is the host's, since nested cgroup
namespaces do not exist on cgroup v1 (with v2 the image's `machine-init` makes one).
"""

from __future__ import annotations

from typing import Any, Final

from iacorch.infra.machines.images.build import NODE_CAPABILITIES, NODE_DISKS, NODE_SECURITY, NODE_TMPFS

CGROUPS: Final = "/sys/fs/cgroup"
STOP_SIGNAL: Final = "SIGRTMIN+3"
"""systemd's word for halting."""
DEFAULT_NETWORK: Final = "bridge"
"""Every engine has it; it knows no names."""
KEY_VARIABLE: Final = "AUTHORIZED_KEY"
"""Read by the image at its first start, as user data is on a cloud instance."""


def container_inputs(
    *, image: str, hostname: str, authorized_key: str, network: str, cpus: float, memory_mib: int
) -> dict[str, Any]:
    """Inputs of a container in pulumi-docker's words (docker_provider/container_schema.py); 0 bounds nothing."""
    aliases = {} if network == DEFAULT_NETWORK else {"aliases": [hostname]}
    inputs: dict[str, Any] = {
        "image": image,
        "hostname": hostname,
        "envs": [f"{KEY_VARIABLE}={authorized_key}"],
        "networksAdvanced": [{"name": network, **aliases}],
        "volumes": [
            {"hostPath": CGROUPS, "containerPath": CGROUPS},
            *({"containerPath": path} for path in NODE_DISKS),  # without a name: removed with the container
        ],
        "tmpfs": dict(NODE_TMPFS),
        "cgroupnsMode": "host",
        "capabilities": {"adds": list(NODE_CAPABILITIES)},
        "securityOpts": list(NODE_SECURITY),
        "restart": "unless-stopped",
        "stopSignal": STOP_SIGNAL,
    }
    if cpus:
        inputs["cpus"] = str(cpus)
    if memory_mib:
        inputs["memory"] = memory_mib
    return inputs
