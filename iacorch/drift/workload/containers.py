"""Containers against pods: what a node's engine says against what its pods ask for. Pure.

In: the pods of one node as the API has them, and `docker inspect` of every container there that carries our labels.
Out: one `Observation` for each container that should be, and one for each that should not. What is wanted is made by
the very functions the agent makes containers with, so that the two cannot disagree.

A container that ended, or was taken away, is its agent's to start again (`settles`); one that runs with another
configuration than it was made with is nobody's but ours: it is removed, and its agent makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from iacorch.agent.containers.environment import ConfigMissing
from iacorch.agent.containers.specification import Inputs, container_spec, sandbox_spec
from iacorch.agent.lifecycle.observed import StartContainer
from iacorch.agent.runtime import docker_wire
from iacorch.agent.runtime.contract import SANDBOX, ImageState
from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.drift.compare import Rules, difference, differences
from iacorch.drift.model import Field, Key, Layer, Observation, Place, Verdict, in_sync, unknown

KIND: Final = "Container"
_NOT_OURS: Final = ("HostConfig.OomScoreAdj", "HostConfig.Mounts", "HostConfig.LogConfig", "Labels.*crashes*")
"""What needs the node's own knowledge to say: its memory, its folders, what happened before."""
_UNSET: Final[Mapping[str, Any]] = {
    "Privileged": False, "Memory": 0, "CpuQuota": 0, "PidsLimit": 0, "PidMode": "", "CapAdd": [], "Devices": [],
    "Binds": [], "PortBindings": {}, "VolumesFrom": [], "UTSMode": "", "UsernsMode": "",
    "MemoryReservation": 0, "NanoCpus": 0, "CpuPeriod": 0, "CpusetCpus": "", "CpusetMems": "", "BlkioWeight": 0,
    "RestartPolicy": "no",
}  # fmt: skip
"""What a container has that was made without saying anything about it: nothing."""
_BACKING_OFF: Final = frozenset(
    {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CreateContainerError"}
)


def observe(
    node: str, pods: Iterable[Object], containers: Sequence[Mapping[str, Any]], later: Iterable[Object] = ()
) -> tuple[Observation, ...]:
    """Pods that are ending, over, or not begun are not asked for; their containers are no surprise either.

    Nor are those of pods that came to the node only while it was looked at: `later` are the pods as they were after.
    """
    bound = [pod for pod in pods if objects.spec(pod).get("nodeName") == node]
    known = {objects.uid(pod): pod for pod in bound}
    found: list[Observation] = []
    claimed: set[str] = set()
    new = {objects.uid(pod) for pod in later if objects.spec(pod).get("nodeName") == node} - known.keys()
    claimed.update(_id(c) for c in containers if _owner(c).pod_uid in new)
    for pod in bound:
        if not _should_run(pod):
            claimed.update(_id(c) for c in containers if _owner(c).pod_uid == objects.uid(pod))
            continue
        mine = [c for c in containers if _owner(c).pod_uid == objects.uid(pod)]
        for name in (SANDBOX, *(c["name"] for c in objects.spec(pod).get("containers") or ())):
            attempts = sorted((c for c in mine if _is_named(c, name)), key=lambda c: _owner(c).attempt)
            claimed.update(_id(c) for c in attempts)
            found.append(_one(node, pod, name, attempts[-1] if attempts else None))
        inits = {c["name"] for c in objects.spec(pod).get("initContainers") or ()}
        claimed.update(_id(c) for c in mine if _owner(c).name in inits and _is_named(c, _owner(c).name))
    for container in containers:
        if _id(container) not in claimed:
            found.append(_unexpected(node, container, known))
    return tuple(found)


def nobody_looks(node: str, pods: Iterable[Object], reason: str) -> tuple[Observation, ...]:
    """The same containers, on a node that cannot be asked."""
    return tuple(
        unknown(_key(node, pod, name), reason, _place(node, pod))
        for pod in pods
        if objects.spec(pod).get("nodeName") == node and _should_run(pod)
        for name in (SANDBOX, *(c["name"] for c in objects.spec(pod).get("containers") or ()))
    )


def ids_of(seen: Observation, found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The IDs of the containers that an observation speaks of: the newest of its pod's container, or by its name."""
    named = [c for c in found if str(c.get("Name", "")).lstrip("/") == seen.key.name]
    if named:
        return [_id(c) for c in named]
    mine = [c for c in found if _name(c) == seen.key.name and _is_named(c, _owner(c).name)]
    return [_id(c) for c in sorted(mine, key=lambda c: _owner(c).attempt)[-1:]]


def _name(container: Mapping[str, Any]) -> str:
    owner = _owner(container)
    return f"{objects.join_key(owner.pod_namespace, owner.pod_name)}/{owner.name or 'sandbox'}"


def _one(node: str, pod: Object, name: str, container: Mapping[str, Any] | None) -> Observation:
    key, place = _key(node, pod, name), _place(node, pod)
    waiting = _waiting(pod, name)
    agent = f"the agent of {node}"
    if container is None:
        if waiting:
            return unknown(key, f"its agent reports {waiting}", place)
        return Observation(key, Verdict.MISSING, place=place, settles=agent, reason="no container of this pod is there")
    state = container["State"]
    status = str(state.get("Status", ""))
    if status in ("exited", "created", "dead", "removing"):
        if waiting or _may_stay_ended(pod, name, state):
            return in_sync(key, place)
        stopped = Field("State.Status", "running", status, mark=status)
        return Observation(key, Verdict.DRIFTED, (stopped,), place=place, settles=agent)
    fields = list(_configuration(node, pod, name, container))
    if status != "running":
        fields.insert(0, Field("State.Status", "running", status, mark=status))
    return Observation(key, Verdict.DRIFTED if fields else Verdict.IN_SYNC, tuple(fields), place=place)


def _configuration(node: str, pod: Object, name: str, container: Mapping[str, Any]) -> Iterable[Field]:
    try:
        wanted = _wanted(node, pod, name, container)
    except ConfigMissing as error:
        return (Field("spec", None, None, mark=str(error)),)
    seen = _seen(container)
    # Another image under the same name is what the engine resolved; what was asked for is compared.
    rules = Rules(ignore=_NOT_OURS, closed=("Networks", "HostConfig.PortBindings"))
    return differences(wanted, seen, rules) + _environment(pod, name, container)


def _wanted(node: str, pod: Object, name: str, container: Mapping[str, Any]) -> dict[str, Any]:
    owner = _owner(container)
    if name == SANDBOX:
        body = docker_wire.sandbox_body(sandbox_spec(pod, owner.attempt), node)
        networks: dict[str, Any] = {} if body["HostConfig"]["NetworkMode"] == "host" else {"none": "attached"}
    else:
        spec = next(c for c in objects.spec(pod)["containers"] if c["name"] == name)
        sandbox = str((container["Config"].get("Labels") or {}).get(f"{docker_wire.LABEL}sandbox-id", ""))
        start = StartContainer(name, owner.attempt, owner.crashes, sandbox)
        made = container_spec(pod, spec, start, Inputs({}, (), ImageState("", ())))
        body = docker_wire.container_body(made, node)
        networks = {}
        for field in ("Cmd", "Entrypoint"):
            if any("$(" in word for word in body.get(field) or ()):
                body.pop(field)  # names in it are replaced by values that only the agent knows
    asked = {field: value for field, value in body["HostConfig"].items() if field not in ("LogConfig", "Mounts")}
    host = {**_UNSET, **asked}
    kept = {field: body[field] for field in ("Image", "Cmd", "Entrypoint", "User", "WorkingDir") if body.get(field)}
    return {**kept, "Labels": body["Labels"], "HostConfig": host, "Networks": networks}


def _seen(container: Mapping[str, Any]) -> dict[str, Any]:
    config, host = container["Config"], dict(container["HostConfig"])
    host["CapAdd"] = [c.removeprefix("CAP_") for c in host.get("CapAdd") or ()]
    host["CapDrop"] = [c.removeprefix("CAP_") for c in host.get("CapDrop") or ()]
    host["RestartPolicy"] = (host.get("RestartPolicy") or {}).get("Name")  # the agent starts what ended, not the engine
    host |= {field: host.get(field) or value for field, value in _UNSET.items()}
    settings = (container.get("NetworkSettings") or {}).get("Networks") or {}
    mode = str(host.get("NetworkMode", ""))
    networks: dict[str, Any] = {} if mode == "host" else dict.fromkeys(settings, "attached")
    return {**config, "HostConfig": host, "Networks": networks}


def _environment(pod: Object, name: str, container: Mapping[str, Any]) -> tuple[Field, ...]:
    """Plain values that the pod itself says; those from elsewhere are their agent's to refresh."""
    entries = (c for c in objects.spec(pod).get("containers") or () if c["name"] == name)
    spec: Mapping[str, Any] = next(entries, {})
    have = dict(entry.partition("=")[::2] for entry in container["Config"].get("Env") or ())
    rules = Rules()
    found = []
    for entry in spec.get("env") or ():
        value = entry.get("value")
        if value is not None and "$" not in value and have.get(entry["name"]) != value:
            found.append(difference(f"Env.{entry['name']}", value, have.get(entry["name"]), rules))
    return tuple(found)


def _unexpected(node: str, container: Mapping[str, Any], known: Mapping[str, Object]) -> Observation:
    owner = _owner(container)
    name = str(container.get("Name", "")).lstrip("/") or _id(container)[:12]
    why = "carries our labels, and the API has no such pod on this node"
    if owner.pod_uid in known:
        why = f"says that it is of pod {objects.key(known[owner.pod_uid])}, which has no such container"
    # What the agent made and nobody asks for any more, it ends by itself, and more gently.
    agents = f"the agent of {node}" if _is_named(container, owner.name) else ""
    place = Place(node=node, namespace=owner.pod_namespace, labels={})
    mark = Field("Id", None, _id(container)[:12], mark=_id(container)[:12])
    return Observation(Key(Layer.WORKLOAD, node, KIND, name), Verdict.UNEXPECTED, (mark,), why, place, settles=agents)


def _is_named(container: Mapping[str, Any], name: str) -> bool:
    """Made by the agent for this container of the pod: its name follows from its labels."""
    owner = _owner(container)
    return owner.name == name and str(container.get("Name", "")).lstrip("/") == docker_wire.container_name(owner)


def _should_run(pod: Object) -> bool:
    """Past its beginning, before its end: then every container of it should be there."""
    if objects.is_deleting(pod) or objects.status(pod).get("phase") not in ("Running",):
        return False
    initialized = objects.condition(pod, "Initialized")
    return initialized is None or initialized.get("status") == "True"


def _waiting(pod: Object, name: str) -> str:
    for entry in objects.status(pod).get("containerStatuses") or ():
        if entry.get("name") == name:
            reason = ((entry.get("state") or {}).get("waiting") or {}).get("reason", "")
            return reason if reason in _BACKING_OFF else ""
    return ""


def _may_stay_ended(pod: Object, name: str, state: Mapping[str, Any]) -> bool:
    """Its restart policy does not start it again."""
    policy = objects.spec(pod).get("restartPolicy") or "Always"
    return name != SANDBOX and (policy == "Never" or (policy == "OnFailure" and state.get("ExitCode") == 0))


def _key(node: str, pod: Object, name: str) -> Key:
    return Key(Layer.WORKLOAD, node, KIND, f"{objects.key(pod)}/{name or 'sandbox'}")


def _place(node: str, pod: Object) -> Place:
    return Place(node=node, namespace=objects.namespace(pod), labels=objects.labels(pod))


def _owner(container: Mapping[str, Any]) -> Any:
    return docker_wire.owner_of(container["Config"].get("Labels") or {})


def _id(container: Mapping[str, Any]) -> str:
    return str(container["Id"])
