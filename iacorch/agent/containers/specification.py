"""From a container of a pod to the runtime's specification: pure.

In: the pod, the container, its environment and mounts, the image. Out: `ContainerSpec`, `SandboxSpec`. The worker calls
it right before it creates them. Source: Kubernetes API reference, Container and SecurityContext.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from iacorch.agent.containers.environment import ConfigMissing, expand
from iacorch.agent.lifecycle.machine import spec_hash
from iacorch.agent.lifecycle.observed import StartContainer
from iacorch.agent.runtime.contract import (
    SANDBOX,
    ContainerSpec,
    ImageState,
    MemoryVolume,
    Mount,
    Owner,
    Resources,
    SandboxSpec,
    Security,
)
from iacorch.api.objects import Object
from iacorch.api.qos import qos_class
from iacorch.api.values import quantity

_HOSTNAME_LENGTH: Final = 63
_OOM_BEST_EFFORT: Final = 1000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was looked up for one container."""

    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    image: ImageState
    node_memory_bytes: int = 0


def owner_of(pod: Object, name: str = SANDBOX, *, attempt: int = 0, crashes: int = 0, hash_: str = "") -> Owner:
    metadata = pod["metadata"]
    return Owner(metadata["uid"], metadata["namespace"], metadata["name"], name, attempt, crashes, hash_)


def hostname_of(pod: Object) -> str:
    """`spec.hostname`, or the pod's name cut to what a hostname may have."""
    spec = pod.get("spec") or {}
    return str(spec.get("hostname") or pod["metadata"]["name"])[:_HOSTNAME_LENGTH].rstrip("-.")


def sandbox_spec(pod: Object, attempt: int, memory_volumes: tuple[MemoryVolume, ...] = ()) -> SandboxSpec:
    spec = pod["spec"]
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    return SandboxSpec(
        owner=owner_of(pod, attempt=attempt),
        hostname=hostname_of(pod),
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        sysctls={entry["name"]: str(entry["value"]) for entry in sysctls},
        memory_volumes=memory_volumes,
    )


def container_spec(pod: Object, container: Mapping[str, Any], start: StartContainer, inputs: Inputs) -> ContainerSpec:
    """Raises ConfigMissing when the security context cannot be honoured."""
    spec, name = pod["spec"], container["name"]

    def expanded(field: str) -> tuple[str, ...]:
        return tuple(expand(str(word), inputs.environment) for word in container.get(field) or ())

    return ContainerSpec(
        owner=owner_of(pod, name, attempt=start.attempt, crashes=start.crashes, hash_=spec_hash(dict(container))),
        sandbox_id=start.sandbox_id,
        image=container["image"],
        command=expanded("command"),
        args=expanded("args"),
        environment=inputs.environment,
        working_dir=container.get("workingDir") or "",
        mounts=inputs.mounts,
        resources=_resources(container),
        security=_security(pod, container, inputs.image),
        host_pid=bool(spec.get("hostPID")),
        share_pid=bool(spec.get("shareProcessNamespace")),
        stdin=bool(container.get("stdin")),
        tty=bool(container.get("tty")),
        oom_score_adj=_oom_score(pod, container, inputs.node_memory_bytes),
    )


def _resources(container: Mapping[str, Any]) -> Resources:
    resources = container.get("resources") or {}
    requests, bounds = resources.get("requests") or {}, resources.get("limits") or {}
    cpu_limit = quantity.milli_cpu(bounds.get("cpu"))
    return Resources(
        cpu_request_milli=quantity.milli_cpu(requests.get("cpu")) or cpu_limit,
        cpu_limit_milli=cpu_limit,
        memory_limit_bytes=quantity.units(bounds.get("memory")),
    )


def _security(pod: Object, container: Mapping[str, Any], image: ImageState) -> Security:
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    user = own.get("runAsUser", of_pod.get("runAsUser"))
    group = own.get("runAsGroup", of_pod.get("runAsGroup"))
    if own.get("runAsNonRoot", of_pod.get("runAsNonRoot")):
        _refuse_root(user, image)
    capabilities = own.get("capabilities") or {}
    groups = [int(g) for g in of_pod.get("supplementalGroups") or ()]
    if (fs_group := of_pod.get("fsGroup")) is not None:
        groups.append(int(fs_group))
    name = "" if user is None else str(user)
    if group is not None:
        name = f"{name or image.user.partition(':')[0] or '0'}:{group}"
    profile = own.get("seccompProfile") or of_pod.get("seccompProfile") or {}
    return Security(
        user=name,
        supplemental_groups=tuple(dict.fromkeys(groups)),
        capabilities_add=tuple(capabilities.get("add") or ()),
        capabilities_drop=tuple(capabilities.get("drop") or ()),
        privileged=bool(own.get("privileged")),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        seccomp_unconfined=profile.get("type") == "Unconfined",
    )


def _refuse_root(user: Any, image: ImageState) -> None:
    if user is not None:
        if int(user) == 0:
            raise ConfigMissing("container's runAsUser breaks non-root policy")
        return
    name = image.user.partition(":")[0]
    if name in ("", "0", "root"):
        raise ConfigMissing("container has runAsNonRoot and image will run as root")
    if not name.isdigit():
        raise ConfigMissing(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )


def _oom_score(pod: Object, container: Mapping[str, Any], node_memory_bytes: int) -> int:
    """The less of its node a container asked for, the sooner the kernel takes it; as Kubernetes, but never below 0."""
    match qos_class(pod["spec"]):
        case "Guaranteed":
            return 0
        case "BestEffort":
            return _OOM_BEST_EFFORT
        case _:
            request = quantity.units(((container.get("resources") or {}).get("requests") or {}).get("memory"))
            score = 1000 - 1000 * request // max(node_memory_bytes, 1)
            return min(max(score, 2), _OOM_BEST_EFFORT - 1)
