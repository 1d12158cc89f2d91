"""Which pods count: those that wait for a machine, those that would have to move off one, and the daemons.

In: pods. Out: the same, told apart; parsed once for each version of a pod (`Parsed`). Pure, but for filing pods of an
informer under their nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.client.informer import Informer
from iacorch.scheduler.pod import DEFAULT_SCHEDULER, PodInfo, pod_info

_OVER = ("Succeeded", "Failed")
_INDEX = "provision/node"


def index(pods: Informer) -> None:
    """File pods under their nodes."""
    pods.add_index(_INDEX, lambda pod: (objects.spec(pod).get("nodeName") or "",))


def on_node(pods: Informer, node: str) -> list[Object]:
    """Those that would have to move if the node went."""
    return [pod for pod in pods.by_index(_INDEX, node) if would_move(pod)]


def is_over(pod: Object) -> bool:
    return objects.status(pod).get("phase") in _OVER


def is_daemon(pod: Object) -> bool:
    return (objects.controller_of(pod) or {}).get("kind") == "DaemonSet"


def would_move(pod: Object) -> bool:
    return not (is_over(pod) or is_daemon(pod) or objects.is_deleting(pod))


def waits(pod: Object) -> bool:
    """The scheduler has tried it and found no node; a new machine might help."""
    spec = objects.spec(pod)
    if spec.get("nodeName") or spec.get("schedulingGates") or objects.is_deleting(pod) or is_over(pod):
        return False
    if (spec.get("schedulerName") or DEFAULT_SCHEDULER) != DEFAULT_SCHEDULER or is_daemon(pod):
        return False
    if objects.status(pod).get("nominatedNodeName"):
        return False  # it is about to get the place of others
    found = objects.condition(pod, "PodScheduled") or {}
    return found.get("status") == "False" and found.get("reason") == "Unschedulable"


class Parsed:
    """Pods as the scheduler sees them; each version of each pod is parsed once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, PodInfo]] = {}

    def of(self, pod: Object) -> PodInfo:
        uid, version = objects.uid(pod), objects.resource_version(pod)
        known = self._known.get(uid)
        if known is not None and known[0] == version:
            return known[1]
        info = pod_info(pod)
        self._known[uid] = (version, info)
        return info

    def keep(self, pods: Iterable[Object]) -> None:
        """Forget all others."""
        live = {objects.uid(pod) for pod in pods}
        for uid in self._known.keys() - live:
            del self._known[uid]


def daemons(pods: Iterable[Object]) -> Iterator[PodInfo]:
    """One pod of each DaemonSet, without the affinity that pins it to its node by name."""
    seen: set[str] = set()
    for pod in pods:
        owner = objects.controller_of(pod) or {}
        if is_daemon(pod) and owner["uid"] not in seen:
            seen.add(owner["uid"])
            spec = {name: value for name, value in objects.spec(pod).items() if name not in ("affinity", "nodeName")}
            yield pod_info({**pod, "spec": spec})
