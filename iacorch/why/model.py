"""What `why` works on, as values: the world as it was observed, findings, and what a person asked about. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import selectors


class Rank(IntEnum):
    """What explains most comes first: a node that is gone before its pods, a pod before its Service."""

    CLUSTER = 0
    NODE = 1
    POD = 2
    WORKLOAD = 3
    TRAFFIC = 4
    REMARK = 5
    """Nothing is broken by it now."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command to type next, and what it is for."""

    command: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause. `about` are labels of the objects that have it, `evidence` is what was read, `so` what follows of it.

    Findings of one `group` (an owner) with the same cause are one: a cause names no pod and counts nothing.
    """

    rank: Rank
    cause: str
    about: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    so: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class Focus:
    """The object that a person asked about; `kind` as in the API, `namespace` empty for cluster kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return label_of(self.kind, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class World:
    """Objects at one moment. `logs`: `namespace/pod/container` -> the last lines; `unseen`: what could not be read."""

    now: datetime
    nodes: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    deployments: tuple[Object, ...] = ()
    replica_sets: tuple[Object, ...] = ()
    services: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()
    claims: tuple[Object, ...] = ()
    pools: tuple[Object, ...] = ()
    reports: tuple[Object, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def node(self, name: str) -> Object | None:
        return next((node for node in self.nodes if objects.name(node) == name), None)

    def pods_on(self, node: str) -> list[Object]:
        return [pod for pod in self.pods if objects.spec(pod).get("nodeName") == node]

    def pods_of(self, owner: Object) -> list[Object]:
        """Of a Deployment those of all its ReplicaSets."""
        owners = {objects.uid(owner)}
        owners |= {objects.uid(rs) for rs in self.replica_sets if _is_owned(rs, owners)}
        return [pod for pod in self.pods if _is_owned(pod, owners)]

    def pods_behind(self, service: Object) -> list[Object]:
        selector = selectors.from_map(objects.spec(service).get("selector"))
        space = objects.namespace(service)
        return [p for p in self.pods if objects.namespace(p) == space and selector.matches(objects.labels(p))]

    def warnings(self, obj: Object, *reasons: str) -> list[Object]:
        """Warning Events about it, the newest first."""
        uid = objects.uid(obj)
        found = [
            event
            for event in self.events
            if event.get("type") == "Warning"
            and (event.get("involvedObject") or {}).get("uid") == uid
            and (not reasons or event.get("reason") in reasons)
        ]
        return sorted(found, key=_last_seen, reverse=True)

    def owner_of(self, pod: Object) -> tuple[str, str]:
        """The kind and name of who keeps it: the Deployment behind a ReplicaSet; empty for a pod of its own."""
        owner = objects.controller_of(pod)
        if owner is None:
            return "", ""
        for rs in self.replica_sets:
            if objects.uid(rs) == owner.get("uid") and (above := objects.controller_of(rs)) is not None:
                return str(above.get("kind", "")), str(above.get("name", ""))
        return str(owner.get("kind", "")), str(owner.get("name", ""))


def label(obj: Object, kind: str) -> str:
    return label_of(kind, objects.namespace(obj), objects.name(obj))


def label_of(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {objects.join_key(namespace, name)}"


def in_namespace(obj: Object) -> str:
    """`-n NAMESPACE ` for kubectl, nothing in the default one."""
    space = objects.namespace(obj)
    return f"-n {space} " if space and space != "default" else ""


def statuses(pod: Object) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """(container, its status, whether it is an init container), in the order in which they start."""
    spec, status = objects.spec(pod), objects.status(pod)
    for field_, told, is_init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        known = {str(entry.get("name")): entry for entry in status.get(told) or ()}
        for container in spec.get(field_) or ():
            yield container, known.get(str(container.get("name")), {}), is_init


def is_over(pod: Object) -> bool:
    return objects.status(pod).get("phase") in ("Succeeded", "Failed")


def is_ready(obj: Object) -> bool:
    return objects.condition_is(obj, "Ready")


def _is_owned(obj: Object, owners: set[str]) -> bool:
    return any(reference.get("uid") in owners for reference in objects.owner_references(obj))


def _last_seen(event: Object) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
