"""The properties of `docker:index/container:Container`.

Docker changes restart policy, memory and CPU weight of a container in place; everything else replaces it, as with
pulumi-docker. Read by `schema`'s check, by `changes`, and beside `container_spec`, which translates each of them.
"""

from __future__ import annotations

from typing import Final

from iacorch.infra.machines.docker_provider.schema import (
    LABELS,
    Schema,
    boolean,
    integer,
    mapping,
    string,
    strings,
    struct,
    structs,
)

_DURATION: Final = r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+"
_MODE: Final = r"0[0-7]{3}"

CONTAINER: Final = Schema(
    token="docker:index/container:Container",
    inputs={
        "image": string(required=True),
        "name": string(observed=True),
        # in place
        "restart": string(replaces=False, default="no", observed=True, pattern="no|on-failure|always|unless-stopped"),
        "maxRetryCount": integer(replaces=False, default=0),
        "memory": integer(replaces=False, sticky=True, default=0, observed=True),
        "memorySwap": integer(replaces=False, sticky=True),
        "memoryReservation": integer(replaces=False, sticky=True, default=0),
        "cpuShares": integer(replaces=False, sticky=True, default=0, observed=True),
        "cpuSet": string(replaces=False, sticky=True, default="", observed=True),
        "mustRun": boolean(replaces=False, default=True, observed=True),
        "start": boolean(replaces=False, default=True),
        "rm": boolean(replaces=False, default=False),
        "removeVolumes": boolean(replaces=False, default=True),
        "destroyGraceSeconds": integer(replaces=False),
        "wait": boolean(replaces=False, default=False),
        "waitTimeout": integer(replaces=False, default=60),
        # process
        "command": strings(unordered=False),
        "entrypoints": strings(unordered=False),
        "envs": strings(),
        "user": string(),
        "groupAdds": strings(),
        "workingDir": string(),
        "hostname": string(),
        "domainname": string(),
        "init": boolean(),
        "tty": boolean(default=False),
        "stdinOpen": boolean(default=False),
        "stopSignal": string(),
        "stopTimeout": integer(),
        "labels": LABELS,
        "healthcheck": struct(
            {
                "tests": strings(required=True, unordered=False),
                "interval": string(pattern=_DURATION),
                "timeout": string(pattern=_DURATION),
                "startPeriod": string(pattern=_DURATION),
                "retries": integer(),
            }
        ),
        # isolation
        "privileged": boolean(default=False),
        "readOnly": boolean(default=False),
        "capabilities": struct({"adds": strings(), "drops": strings()}),
        "securityOpts": strings(),
        "cgroupnsMode": string(pattern="private|host"),
        "cgroupParent": string(),
        "ipcMode": string(),
        "pidMode": string(),
        "usernsMode": string(),
        "runtime": string(),
        "sysctls": mapping(),
        "ulimits": structs(
            {"name": string(required=True), "soft": integer(required=True), "hard": integer(required=True)}
        ),
        "devices": structs({"hostPath": string(required=True), "containerPath": string(), "permissions": string()}),
        "shmSize": integer(),
        "cpus": string(pattern=r"\d+(\.\d+)?"),
        "cpuPeriod": integer(),
        "cpuQuota": integer(),
        "logDriver": string(),
        "logOpts": mapping(),
        "storageOpts": mapping(),
        # files
        "tmpfs": mapping(),
        "volumes": structs(
            {
                "containerPath": string(),
                "fromContainer": string(),
                "hostPath": string(),
                "readOnly": boolean(),
                "volumeName": string(),
            }
        ),
        "mounts": structs(
            {
                "target": string(required=True),
                "type": string(required=True, pattern="bind|volume|tmpfs"),
                "source": string(),
                "readOnly": boolean(),
                "bindOptions": struct({"propagation": string()}),
                "tmpfsOptions": struct({"mode": integer(), "sizeBytes": integer()}),
                "volumeOptions": struct(
                    {"driverName": string(), "driverOptions": mapping(), "labels": LABELS, "noCopy": boolean()}
                ),
            }
        ),
        "uploads": structs(
            {
                "file": string(required=True),
                "content": string(),
                "contentBase64": string(),
                "source": string(),
                "sourceHash": string(),
                "executable": boolean(default=False),
                "permissions": string(pattern=_MODE),
            }
        ),
        # network
        "networkMode": string(),
        "networksAdvanced": structs(
            {
                "name": string(required=True),
                "aliases": strings(),
                "ipv4Address": string(),
                "ipv6Address": string(),
            },
            observed=True,
        ),
        "ports": structs(
            {
                "internal": integer(required=True),
                "external": integer(),
                "ip": string(),
                "protocol": string(pattern="tcp|udp|sctp"),
            },
            unordered=False,
        ),
        "publishAllPorts": boolean(default=False),
        "hosts": structs({"host": string(required=True), "ip": string(required=True)}),
        "dns": strings(),
        "dnsOpts": strings(),
        "dnsSearches": strings(),
    },
    computed=("bridge", "exitCode", "networkDatas"),
    known_by_name=True,
)
