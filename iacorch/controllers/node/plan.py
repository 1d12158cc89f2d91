"""What a node's silence, and its taints, mean for the Node object and for the pods on it.

In: the node, the verdict on its silence, its pods, now. Out: a `Plan`. Called by `controller.py`. Writes: Node
condition Ready=Unknown, taints `node.kubernetes.io/*` (what is true of the node, as below, and NoSchedule for
`unschedulable` and for pressure on its disk, memory or process IDs), pod condition Ready=False on
lost nodes; deletes pods that do not tolerate a NoExecute taint. One write for each object and pass.

    verdict, Ready     taints                                 pods
    LOST               unreachable NoSchedule + NoExecute     Ready=False; evicted after their toleration
    HELD               unreachable NoSchedule                 left alone
    HEARD, True        none of ours                           evicted only for taints of others
    HEARD, False       not-ready NoSchedule + NoExecute       evicted after their toleration
    HEARD, Unknown     not-ready NoSchedule                   left alone: the agent is about to report

On a lost node a ReplicaSet's pod is removed at once (grace 0): it is replaceable by definition, and its agent ends it
when it comes back and finds that the API no longer has it. Any other controller's pod is only marked as being deleted,
so that it never runs twice. A pod without a controller would not be replaced, so it stays unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD, REPLICA_SET
from iacorch.api.objects import Object
from iacorch.api.values.tolerations import tolerates
from iacorch.controllers import pods
from iacorch.controllers.actions import Action, Patch, Plan, Say, delete
from iacorch.controllers.node.silence import Verdict
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339

UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
LOST_REASON = "NodeStatusUnknown"
"""Of Ready=Unknown, when the node is lost and not only held; a controller that starts reads it."""
PRESSURES = {
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
"""Conditions of a node that can take no more, and their taints."""
_OURS = (UNREACHABLE, NOT_READY, UNSCHEDULABLE, *PRESSURES.values())
_DEFAULT_SECONDS = {
    UNREACHABLE: limits.UNREACHABLE_TOLERATION_SECONDS,
    NOT_READY: limits.NOT_READY_TOLERATION_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods`: those bound to the node. `suspect` of `fleet` nodes went silent together."""

    node: Object
    verdict: Verdict
    pods: tuple[Object, ...] = ()
    suspect: int = 0
    fleet: int = 1


def plan(observed: Observed, *, now: datetime) -> Plan:
    """The condition first, in a pass of its own; then the taints; then the pods."""
    if (told := _condition(observed, now=now)) is not None:
        return Plan(told, why=f"the node is {observed.verdict}")
    taints = wanted_taints(observed.node, observed.verdict, now=now)
    if taints != (objects.spec(observed.node).get("taints") or []):
        return Plan((_patch_node(observed.node, {"spec": {"taints": taints}}),), why="taints")
    actions: list[Action] = []
    waits: list[float] = []
    for pod in observed.pods:
        if pods.is_over(pod):
            continue
        wait = tolerated_seconds(pod, taints, now=now)
        if wait == 0.0:
            actions += _evict(pod, observed)
        elif wait is not None:
            waits.append(wait)
        if observed.verdict is Verdict.LOST and wait != 0.0 and pods.is_ready(pod):
            actions.append(_not_ready(pod, now=now))
    return Plan(tuple(actions), again_seconds=min(waits) if waits else None, why=f"the node is {observed.verdict}")


def wanted_taints(node: Object, verdict: Verdict, *, now: datetime) -> list[dict[str, Any]]:
    """The node's taints with ours as they should be; taints that stay keep their place and `timeAdded`."""
    wanted: list[tuple[str, str]] = []
    ready = (objects.condition(node, "Ready") or {}).get("status", "Unknown")
    if verdict is not Verdict.HEARD:
        wanted.append((UNREACHABLE, "NoSchedule"))
        if verdict is Verdict.LOST:
            wanted.append((UNREACHABLE, "NoExecute"))
    elif ready != "True":
        wanted.append((NOT_READY, "NoSchedule"))
        if ready == "False":
            wanted.append((NOT_READY, "NoExecute"))
    if objects.spec(node).get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    wanted += [(taint, "NoSchedule") for type_, taint in PRESSURES.items() if objects.condition_is(node, type_)]
    present = objects.spec(node).get("taints") or []
    kept = [entry for entry in present if entry["key"] not in _OURS or (entry["key"], entry["effect"]) in wanted]
    there = {(entry["key"], entry["effect"]) for entry in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": rfc3339(now)}
        for key, effect in wanted
        if (key, effect) not in there
    ]
    return [*kept, *added]


def tolerated_seconds(pod: Object, taints: list[dict[str, Any]], *, now: datetime) -> float | None:
    """How long the pod may stay: 0.0 means evict now, None for ever. NoExecute taints only."""
    waits: list[float] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        seconds = _toleration(pod, taint)
        if seconds is None:
            continue
        since = objects.moment(taint.get("timeAdded")) or now
        waits.append(max(0.0, seconds - (now - since).total_seconds()))
    return min(waits) if waits else None


def _toleration(pod: Object, taint: dict[str, Any]) -> float | None:
    """Seconds the pod tolerates this taint, None for ever; what it says itself counts before the taint's default."""
    said = [entry for entry in objects.spec(pod).get("tolerations") or () if tolerates(entry, taint)]
    if said:
        limited = [entry["tolerationSeconds"] for entry in said if entry.get("tolerationSeconds") is not None]
        return None if len(limited) < len(said) else float(max(0, min(limited)))
    if taint["key"] in _DEFAULT_SECONDS:
        return _DEFAULT_SECONDS[taint["key"]] if objects.controller_of(pod) is not None else None
    return 0.0


def _condition(observed: Observed, *, now: datetime) -> tuple[Action, ...] | None:
    """The write of Ready=Unknown with its Event, or None when the condition is right."""
    node, verdict = observed.node, observed.verdict
    if verdict is Verdict.HEARD:
        return None
    reason, message = LOST_REASON, f"The agent has not renewed its lease for {limits.LEASE_LOST_SECONDS:g} s."
    if verdict is Verdict.HELD:
        reason = "FleetSilent"
        message += " Too many nodes went silent at once: no pod is moved, as the fault may be on this side."
    before = objects.conditions(node)
    conditions = objects.set_condition(before, "Ready", "Unknown", reason=reason, message=message, now=now)
    if conditions == before:
        return None
    if verdict is Verdict.HELD:
        words = f"{observed.suspect} of {observed.fleet} nodes are silent; no pod is moved"
        say = Say(node, "Warning", "FleetSilent", words)
    else:
        say = Say(node, "Warning", "NodeNotReady", f"Node {objects.name(node)} is lost: {message}")
    return _patch_node(node, {"status": {"conditions": conditions}}, subresource="status"), say


def _patch_node(node: Object, patch: dict[str, Any], *, subresource: str = "") -> Patch:
    versioned = patch | {"metadata": {"resourceVersion": objects.resource_version(node)}}
    return Patch(NODE, "", objects.name(node), objects.uid(node), versioned, subresource=subresource)


def _evict(pod: Object, observed: Observed) -> Iterator[Action]:
    node = objects.name(observed.node)
    lost = observed.verdict is Verdict.LOST
    owner = objects.controller_of(pod) or {}
    at_once = lost and owner.get("kind") == REPLICA_SET.kind
    if objects.is_deleting(pod) and not at_once:
        return
    yield delete(POD, pod, grace_seconds=0 if at_once else None)
    reason = f"node {node} is lost" if lost else f"node {node} has a taint that the pod does not tolerate"
    yield Say(
        pod, "Warning" if lost else "Normal", "TaintManagerEviction", f"Deleting pod {objects.key(pod)}: {reason}"
    )


def _not_ready(pod: Object, *, now: datetime) -> Patch:
    conditions = objects.set_condition(
        objects.conditions(pod), "Ready", "False", reason="NodeLost", message="The pod's node is lost.", now=now
    )
    patch = {
        "metadata": {"resourceVersion": objects.resource_version(pod)},
        "status": {"conditions": conditions},
    }
    return Patch(POD, objects.namespace(pod), objects.name(pod), objects.uid(pod), patch, subresource="status")
