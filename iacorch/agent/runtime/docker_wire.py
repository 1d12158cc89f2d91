"""Docker's JSON to and from the runtime's values: pure.

In: `SandboxSpec` and `ContainerSpec`, or what the engine answered. Out: bodies for /containers/create, or
`ContainerState`s. `docker.py` calls it. Field names are those of the Docker Engine API 1.41.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from iacorch.agent.runtime import pause
from iacorch.agent.runtime.contract import (
    SANDBOX,
    ContainerSpec,
    ContainerState,
    Listed,
    MemoryVolume,
    Mount,
    Owner,
    Phase,
    Resources,
    RuntimeEvent,
    SandboxSpec,
    Security,
)
from iacorch.kit import limits

LABEL: Final = "iacorch.dev/"
NODE_LABEL: Final = LABEL + "node"
_POD_UID: Final = LABEL + "pod-uid"
_POD_NAMESPACE: Final = LABEL + "pod-namespace"
_POD_NAME: Final = LABEL + "pod-name"
_CONTAINER: Final = LABEL + "container-name"
_ATTEMPT: Final = LABEL + "attempt"
_CRASHES: Final = LABEL + "crashes"
_SPEC_HASH: Final = LABEL + "spec-hash"
_SANDBOX_ID: Final = LABEL + "sandbox-id"
_CPU_PERIOD_MICROSECONDS: Final = 100_000
_LOGS: Final = {
    "Type": "json-file",
    "Config": {"max-size": f"{limits.CONTAINER_LOG_BYTES // 1024}k", "max-file": str(limits.CONTAINER_LOG_FILES)},
}


def container_name(owner: Owner) -> str:
    """Deterministic, so that creating twice collides visibly: `iacorch_NAME_POD_NAMESPACE_UID_ATTEMPT`."""
    name = owner.name or "sandbox"
    return f"iacorch_{name}_{owner.pod_name}_{owner.pod_namespace}_{owner.pod_uid}_{owner.attempt}"


def labels_of(owner: Owner, node: str, sandbox_id: str = "") -> dict[str, str]:
    return {
        NODE_LABEL: node,
        _POD_UID: owner.pod_uid,
        _POD_NAMESPACE: owner.pod_namespace,
        _POD_NAME: owner.pod_name,
        _CONTAINER: owner.name,
        _ATTEMPT: str(owner.attempt),
        _CRASHES: str(owner.crashes),
        _SPEC_HASH: owner.spec_hash,
        _SANDBOX_ID: sandbox_id,
    }


def owner_of(labels: Mapping[str, str]) -> Owner:
    return Owner(
        pod_uid=labels.get(_POD_UID, ""),
        pod_namespace=labels.get(_POD_NAMESPACE, ""),
        pod_name=labels.get(_POD_NAME, ""),
        name=labels.get(_CONTAINER, SANDBOX),
        attempt=_number(labels.get(_ATTEMPT)),
        crashes=_number(labels.get(_CRASHES)),
        spec_hash=labels.get(_SPEC_HASH, ""),
    )


def sandbox_body(spec: SandboxSpec, node: str) -> dict[str, Any]:
    """Network `none`: an empty network namespace, which the agent's own network fills."""
    host_config: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else "none",
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "LogConfig": {"Type": "none"},
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges:true"],
        "CapDrop": ["ALL"],
        "Mounts": [_mount(Mount(volume, f"/volumes/{index}")) for index, volume in enumerate(spec.memory_volumes)],
    }
    if spec.sysctls:
        host_config["Sysctls"] = dict(spec.sysctls)
    body: dict[str, Any] = {
        "Image": pause.IMAGE,
        "Labels": labels_of(spec.owner, node),
        "HostConfig": host_config,
    }
    if not spec.host_network:
        body["Hostname"] = spec.hostname
    return body


def container_body(spec: ContainerSpec, node: str) -> dict[str, Any]:
    joined = f"container:{spec.sandbox_id}"
    host_config: dict[str, Any] = {
        "NetworkMode": joined,
        "IpcMode": joined,
        "PidMode": "host" if spec.host_pid else joined if spec.share_pid else "",
        "OomScoreAdj": spec.oom_score_adj,
        "LogConfig": _LOGS,
        "Mounts": [_mount(mount) for mount in spec.mounts],
        **_resources(spec.resources),
        **_security(spec.security),
    }
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": labels_of(spec.owner, node, spec.sandbox_id),
        "OpenStdin": spec.stdin,
        "Tty": spec.tty,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host_config,
    }
    if spec.command:
        body["Entrypoint"] = list(spec.command)
    if spec.args:
        body["Cmd"] = list(spec.args)
    if spec.working_dir:
        body["WorkingDir"] = spec.working_dir
    if spec.security.user:
        body["User"] = spec.security.user
    return body


def _mount(mount: Mount) -> dict[str, Any]:
    if isinstance(mount.source, MemoryVolume):
        options = {"type": "tmpfs", "device": "tmpfs"}
        if mount.source.size_bytes:
            options["o"] = f"size={mount.source.size_bytes}"
        return {
            "Type": "volume",
            "Source": mount.source.name,
            "Target": mount.target,
            "ReadOnly": mount.read_only,
            "VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": options}},
        }
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": mount.propagation},
    }


def _resources(resources: Resources) -> dict[str, Any]:
    fields: dict[str, Any] = {"CpuShares": max(2, resources.cpu_request_milli * 1024 // 1000)}
    if resources.cpu_limit_milli:
        fields["CpuPeriod"] = _CPU_PERIOD_MICROSECONDS
        fields["CpuQuota"] = max(1000, resources.cpu_limit_milli * _CPU_PERIOD_MICROSECONDS // 1000)
    if resources.memory_limit_bytes:
        fields["Memory"] = resources.memory_limit_bytes
        fields["MemorySwap"] = resources.memory_limit_bytes  # the same: no swap on top
    if resources.pids_limit:
        fields["PidsLimit"] = resources.pids_limit
    return fields


def _security(security: Security) -> dict[str, Any]:
    options = []
    if security.no_new_privileges:
        options.append("no-new-privileges:true")
    if security.seccomp_unconfined:
        options.append("seccomp=unconfined")
    return {
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "CapAdd": list(security.capabilities_add),
        "CapDrop": list(security.capabilities_drop),
        "GroupAdd": [str(group) for group in security.supplemental_groups],
        "SecurityOpt": options,
    }


def container_state(answer: Mapping[str, Any]) -> ContainerState:
    """From /containers/ID/json."""
    config, state = answer["Config"], answer["State"]
    labels = config.get("Labels") or {}
    error = state.get("Error") or ""
    phase = _phase(state.get("Status", ""))
    started, finished = _time(state.get("StartedAt")), _time(state.get("FinishedAt"))
    exit_code = int(state.get("ExitCode", 0))
    if phase is Phase.CREATED and error:
        # The engine leaves what it could not start in `created`. For a pod that is an attempt that failed.
        phase, finished = Phase.EXITED, finished or _time(answer.get("Created"))
        exit_code = exit_code or 128
    return ContainerState(
        id=answer["Id"],
        owner=owner_of(labels),
        phase=phase,
        image=config.get("Image", ""),
        image_id=answer.get("Image", ""),
        sandbox_id=labels.get(_SANDBOX_ID, ""),
        created_at=_time(answer.get("Created")),
        started_at=started,
        finished_at=finished if phase is Phase.EXITED else None,
        exit_code=exit_code if phase is Phase.EXITED else 0,
        oom_killed=bool(state.get("OOMKilled")),
        message=error,
        pid=int(state.get("Pid", 0)),
        tty=bool(config.get("Tty")),
    )


def listed(entry: Mapping[str, Any]) -> Listed:
    """From one entry of /containers/json."""
    return Listed(entry["Id"], (entry.get("Labels") or {}).get(_POD_UID, ""), _phase(entry.get("State", "")))


def event(message: Mapping[str, Any]) -> RuntimeEvent:
    actor = message.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    return RuntimeEvent(str(actor.get("ID", "")), str(attributes.get(_POD_UID, "")), str(message.get("Action", "")))


def _phase(status: str) -> Phase:
    match status:
        case "running" | "paused" | "restarting":
            return Phase.RUNNING
        case "created":
            return Phase.CREATED
        case _:
            return Phase.EXITED


def _time(text: str | None) -> datetime | None:
    """Docker writes nanoseconds, and the year 1 for never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
