"""A container's inputs as the Docker Engine API's request bodies. Pure; called by `container`.

Sizes are in MiB in pulumi-docker and bytes in the API; durations are text there and nanoseconds here.
Reference: Docker Engine API v1.41, operations ContainerCreate and ContainerUpdate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_MIB: Final = 1024 * 1024
_NANOSECONDS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_OPEN_PATHS: Final = "systempaths=unconfined"
"""A security option that clients translate: the engine itself knows only lists of paths."""

Inputs = Mapping[str, Any]


def create_body(inputs: Inputs, *, labels: Mapping[str, str]) -> dict[str, Any]:
    """The body of ContainerCreate; `labels` are ours and are added to the program's."""
    ports = inputs.get("ports") or []
    body = {
        "Image": inputs["image"],
        "Cmd": inputs.get("command"),
        "Entrypoint": inputs.get("entrypoints"),
        "Env": inputs.get("envs"),
        "User": inputs.get("user"),
        "WorkingDir": inputs.get("workingDir"),
        "Hostname": inputs.get("hostname"),
        "Domainname": inputs.get("domainname"),
        "Tty": inputs.get("tty"),
        "OpenStdin": inputs.get("stdinOpen"),
        "StopSignal": inputs.get("stopSignal"),
        "StopTimeout": inputs.get("stopTimeout"),
        "Healthcheck": _healthcheck(inputs.get("healthcheck")),
        "Labels": label_map(inputs.get("labels")) | dict(labels),
        "ExposedPorts": {_port(port): {} for port in ports},
        "Volumes": {
            v["containerPath"]: {}
            for v in inputs.get("volumes") or []
            if "containerPath" in v and not v.get("hostPath") and not v.get("volumeName")
        },
        "HostConfig": _host_config(inputs),
        "NetworkingConfig": _first_network(inputs),
    }
    return _given(body)


def update_body(inputs: Inputs) -> dict[str, Any]:
    """The body of ContainerUpdate: everything Docker changes in place; what is absent, 0 or "" stays as it is.

    A memory limit always travels with a swap limit (twice as much, Docker's default at creation), because raising one
    above the other is refused.
    """
    memory, swap = _mib(inputs.get("memory")) or 0, _mib(inputs.get("memorySwap"))
    return {
        "RestartPolicy": _restart(inputs),
        "Memory": memory,
        "MemorySwap": 2 * memory if swap is None else swap,
        "MemoryReservation": _mib(inputs.get("memoryReservation")) or 0,
        "CpuShares": inputs.get("cpuShares") or 0,
        "CpusetCpus": inputs.get("cpuSet") or "",
    }


def networks(inputs: Inputs) -> Sequence[Mapping[str, Any]]:
    """The wanted attachments, the first of which is made with the container."""
    return inputs.get("networksAdvanced") or []


def endpoint(network: Mapping[str, Any]) -> dict[str, Any]:
    """One attachment's EndpointSettings."""
    addresses = _given({"IPv4Address": network.get("ipv4Address"), "IPv6Address": network.get("ipv6Address")})
    return _given({"Aliases": network.get("aliases"), "IPAMConfig": addresses or None})


def label_map(labels: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """pulumi-docker's list of labels as Docker's map."""
    return {label["label"]: label["value"] for label in labels or []}


def nanoseconds(text: str) -> int:
    """A Go duration such as `1m30s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    return int(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


def _host_config(inputs: Inputs) -> dict[str, Any]:
    capabilities = inputs.get("capabilities") or {}
    security = list(inputs.get("securityOpts") or [])
    open_paths = _OPEN_PATHS in security
    volumes = inputs.get("volumes") or []
    return _given(
        {
            **update_body(inputs),
            "AutoRemove": inputs.get("rm"),
            "Privileged": inputs.get("privileged"),
            "ReadonlyRootfs": inputs.get("readOnly"),
            "CapAdd": capabilities.get("adds"),
            "CapDrop": capabilities.get("drops"),
            "SecurityOpt": [option for option in security if option != _OPEN_PATHS],
            "MaskedPaths": [] if open_paths else None,
            "ReadonlyPaths": [] if open_paths else None,
            "CgroupnsMode": inputs.get("cgroupnsMode"),
            "CgroupParent": inputs.get("cgroupParent"),
            "IpcMode": inputs.get("ipcMode"),
            "PidMode": inputs.get("pidMode"),
            "UsernsMode": inputs.get("usernsMode"),
            "Runtime": inputs.get("runtime"),
            "Sysctls": inputs.get("sysctls"),
            "GroupAdd": inputs.get("groupAdds"),
            "Init": inputs.get("init"),
            "ShmSize": _mib(inputs.get("shmSize")),
            "NanoCpus": int(float(inputs["cpus"]) * 10**9) if inputs.get("cpus") else None,
            "CpuPeriod": inputs.get("cpuPeriod"),
            "CpuQuota": inputs.get("cpuQuota"),
            "StorageOpt": inputs.get("storageOpts"),
            "LogConfig": _given({"Type": inputs.get("logDriver"), "Config": inputs.get("logOpts")}) or None,
            "Ulimits": [{"Name": u["name"], "Soft": u["soft"], "Hard": u["hard"]} for u in inputs.get("ulimits") or []],
            "Devices": [
                {
                    "PathOnHost": d["hostPath"],
                    "PathInContainer": d.get("containerPath") or d["hostPath"],
                    "CgroupPermissions": d.get("permissions") or "rwm",
                }
                for d in inputs.get("devices") or []
            ],
            "Tmpfs": inputs.get("tmpfs"),
            "Binds": [_bind(v) for v in volumes if v.get("hostPath") or v.get("volumeName")],
            "VolumesFrom": [_from(v) for v in volumes if v.get("fromContainer")],
            "Mounts": [_mount(m) for m in inputs.get("mounts") or []],
            "NetworkMode": _network_mode(inputs),
            "PortBindings": _bindings(inputs.get("ports") or []),
            "PublishAllPorts": inputs.get("publishAllPorts"),
            "ExtraHosts": [f"{h['host']}:{h['ip']}" for h in inputs.get("hosts") or []],
            "Dns": inputs.get("dns"),
            "DnsOptions": inputs.get("dnsOpts"),
            "DnsSearch": inputs.get("dnsSearches"),
        }
    )


def _network_mode(inputs: Inputs) -> str | None:
    attachments = networks(inputs)
    return attachments[0]["name"] if attachments else inputs.get("networkMode")


def _first_network(inputs: Inputs) -> dict[str, Any] | None:
    attachments = networks(inputs)
    return {"EndpointsConfig": {attachments[0]["name"]: endpoint(attachments[0])}} if attachments else None


def _restart(inputs: Inputs) -> dict[str, Any]:
    policy = {"Name": inputs.get("restart") or "no"}
    return policy | ({"MaximumRetryCount": inputs["maxRetryCount"]} if inputs.get("maxRetryCount") else {})


def _healthcheck(check: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not check:
        return None
    durations = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "startPeriod"}
    return {
        "Test": check["tests"],
        "Retries": check.get("retries") or 0,
        **{key: nanoseconds(check[name]) for key, name in durations.items() if check.get(name)},
    }


def _port(port: Mapping[str, Any]) -> str:
    return f"{port['internal']}/{port.get('protocol') or 'tcp'}"


def _bindings(ports: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        host = {"HostIp": port.get("ip") or "0.0.0.0", "HostPort": str(port.get("external") or "")}
        bindings.setdefault(_port(port), []).append(host)
    return bindings


def _bind(volume: Mapping[str, Any]) -> str:
    source = volume.get("hostPath") or volume.get("volumeName")
    return f"{source}:{volume['containerPath']}:{'ro' if volume.get('readOnly') else 'rw'}"


def _from(volume: Mapping[str, Any]) -> str:
    return f"{volume['fromContainer']}:{'ro' if volume.get('readOnly') else 'rw'}"


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    bind, tmpfs, volume = (mount.get(f"{kind}Options") or {} for kind in ("bind", "tmpfs", "volume"))
    driver = _given({"Name": volume.get("driverName"), "Options": volume.get("driverOptions")})
    return _given(
        {
            "Target": mount["target"],
            "Source": mount.get("source"),
            "Type": mount["type"],
            "ReadOnly": mount.get("readOnly"),
            "BindOptions": _given({"Propagation": bind.get("propagation")}) or None,
            "TmpfsOptions": _given({"SizeBytes": tmpfs.get("sizeBytes"), "Mode": tmpfs.get("mode")}) or None,
            "VolumeOptions": _given(
                {
                    "NoCopy": volume.get("noCopy"),
                    "Labels": label_map(volume.get("labels")) or None,
                    "DriverConfig": driver or None,
                }
            )
            or None,
        }
    )


def _mib(size: int | None) -> int | None:
    return None if size is None else size if size < 0 else size * _MIB


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
