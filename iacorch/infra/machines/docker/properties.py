"""What a server has and a container has not, as values. Pure data, used by `driver` and by `stacks/_machine.py`.

systemd, sshd and, later, a Docker Engine of its own, without `--privileged`: capabilities, a writable cgroup tree (the
host's: nested cgroup namespaces do not exist on cgroup v1), temporary file systems, disks for Docker.
"""

from __future__ import annotations

from typing import Any, Final

CAPABILITIES: Final = (
    "NET_ADMIN",
    "SYS_ADMIN",
    "SYS_PTRACE",
    "SYS_CHROOT",
    "NET_RAW",
    "MKNOD",
    "DAC_READ_SEARCH",
    "AUDIT_READ",
    "SYSLOG",
    "IPC_LOCK",
    "SYS_NICE",
    "SYS_BOOT",
)
SECURITY_OPTIONS: Final = ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")
TEMPORARY: Final = {"/run": "", "/run/lock": "", "/tmp": "exec"}
CGROUPS: Final = "/sys/fs/cgroup"
DISKS: Final = ("/var/lib/docker", "/var/lib/containerd")
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
            *({"containerPath": path} for path in DISKS),  # without a name: removed with the container
        ],
        "tmpfs": dict(TEMPORARY),
        "cgroupnsMode": "host",
        "capabilities": {"adds": list(CAPABILITIES)},
        "securityOpts": list(SECURITY_OPTIONS),
        "restart": "unless-stopped",
        "stopSignal": STOP_SIGNAL,
    }
    if cpus:
        inputs["cpus"] = str(cpus)
    if memory_mib:
        inputs["memory"] = memory_mib
    return inputs
