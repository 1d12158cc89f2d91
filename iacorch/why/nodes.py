"""Nodes that are not well, machines that are not made. Pure.

In: a `World`. Out: findings. Called by `explain`. A node that does not answer is said once, with the pods that suffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.kit.text import listed, plural
from iacorch.why.model import Finding, Rank, Step, World, is_over, is_ready, label

_DRIFT_SHOWN: Final = 3
_TOGETHER: Final = "FleetSilent"
"""The reason of nodes that controller `node` holds, as too many went silent at once."""
_POOL_LABEL: Final = "iacorch.dev/nodepool"
_HINDRANCES: Final = frozenset({"ClassMissing", "OffersUnknown", "NoOffering"})
"""Reasons of a pool that somebody should do something about. That it is full, or closed, is as somebody wanted it."""


def findings(world: World) -> Iterator[Finding]:
    waiting = sum(not is_over(pod) for pod in world.pods)
    if not world.nodes and not any(entry.startswith("nodes") for entry in world.unseen):
        yield Finding(
            Rank.CLUSTER,
            "the cluster has no nodes, so no pod can run",
            ("the cluster",),
            steps=(Step("iacorch up", "makes the machines of the program nodes"),
                   Step("iacorch preview", "shows what it would make")),
            so=(f"{plural(waiting, 'pod')} without a node",) if waiting else (),
        )  # fmt: skip
    together = [n for n in world.nodes if (objects.condition(n, "Ready") or {}).get("reason") == _TOGETHER]
    if len(together) > 1:
        yield _fleet(together, world)
    for node in world.nodes:
        yield from _node(node, world, is_said=len(together) > 1 and node in together)
    for pool in world.pools:
        yield from _pool(pool, world)
    for claim in world.claims:
        yield from _claim(claim, world)


def is_lost(node: Object | None) -> bool:
    """Nobody can say what its pods do: it is gone, or it is not Ready."""
    return node is None or not is_ready(node)


def _fleet(together: list[Object], world: World) -> Finding:
    """Many at once: the fault is likelier where all of them are heard than in each of them."""
    names = [objects.name(node) for node in together]
    return Finding(
        Rank.NODE,
        f"{len(together)} of {len(world.nodes)} nodes went silent together: the control plane does not hear them",
        tuple(label(node, "Node") for node in together),
        (f"they are {listed(names)}", *_said(objects.condition(together[0], "Ready") or {})),
        (
            Step("iacorch drift --layer machine", "are the machines there, and the network between?"),
            Step("iacorch drift --layer node", "can they be entered, and do their agents run?"),
        ),
        so=tuple(words for name in names for words in _suffering(name, world)),
    )


def _node(node: Object, world: World, *, is_said: bool) -> Iterator[Finding]:
    """`is_said`: that it is silent has been said already, of many."""
    name = objects.name(node)
    ready = objects.condition(node, "Ready") or {}
    drift = _drift(name, world)
    if is_said:
        pass
    elif ready.get("status") != "True":
        cause, evidence, steps = _not_ready(name, ready)
        yield Finding(
            Rank.NODE, cause, (label(node, "Node"),), (*evidence, *drift), steps, so=tuple(_suffering(name, world))
        )
    elif drift:
        yield Finding(
            Rank.REMARK, f"node {name} is not as bootstrap made it", (label(node, "Node"),), drift,
            (Step("iacorch drift --correct --layer node", "sets it right"), Step("iacorch drift --layer node")),
        )  # fmt: skip
    for entry in objects.conditions(node):
        if entry.get("type") in _PRESSURES and entry.get("status") == "True":
            what, step = _PRESSURES[entry["type"]]
            yield Finding(
                Rank.NODE, f"node {name} {what}", (label(node, "Node"),), _said(entry),
                (step, Step(f"iacorch why node/{name}", "once more, afterwards")),
            )  # fmt: skip
    leaving = {_node_of(claim) for claim in world.claims if objects.is_deleting(claim)}
    if objects.spec(node).get("unschedulable") and name not in leaving:
        by = "iacorch.dev/" if any("upgrade" in key for key in objects.annotations(node)) else ""
        whom = "by an upgrade that is going on or was stopped" if by else "by hand (kubectl cordon or drain)"
        yield Finding(
            Rank.REMARK, f"node {name} is cordoned {whom}: no new pod starts there", (label(node, "Node"),),
            steps=(Step("iacorch upgrade", "goes on with it") if by else Step(f"kubectl uncordon {name}"),),
        )  # fmt: skip


_PRESSURES: Final = {
    "DiskPressure": (
        "has no room on its disk", Step("kubectl get pods -A -o wide", "what runs there; remove what is not needed")
    ),
    "MemoryPressure": ("is short of memory", Step("kubectl describe node", "what its pods ask for")),
    "PIDPressure": ("is short of process IDs", Step("kubectl describe node", "what runs there")),
    "NetworkUnavailable": ("has no pod network", Step("iacorch drift --correct --layer node", "sets its links right")),
}  # fmt: skip


def _not_ready(name: str, ready: dict[str, Any]) -> tuple[str, tuple[str, ...], tuple[Step, ...]]:
    since = f"since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
    look = Step("iacorch drift --layer machine", "is the machine still there?")
    match ready.get("status"), ready.get("reason"):
        case "Unknown", _:
            return (
                f"node {name} is silent: its machine or its agent is down, or the network between",
                (*_said(ready), *((since,) if since else ())),
                (look, Step("iacorch refresh && iacorch up", "makes a machine that is gone anew, as a node"),
                 Step(f"kubectl delete node {name}", "only if the machine is gone for good")),
            )  # fmt: skip
        case "False", "ContainerRuntimeDown":
            return (
                f"node {name} has no container runtime: its Docker Engine does not answer",
                _said(ready),
                (Step("iacorch drift --correct --layer node", "starts its services and runs the roles again"), look),
            )
        case None, _:
            return (
                f"node {name} has joined and its agent has reported nothing yet",
                (),
                (Step(f"kubectl get node {name} --watch"), look),
            )
        case _:
            return (
                f"node {name} is not ready: {ready.get('message') or ready.get('reason') or 'it gives no reason'}",
                _said(ready),
                (Step("iacorch drift --layer node", "what is not as bootstrap made it"), look),
            )


def _suffering(name: str, world: World) -> Iterator[str]:
    there = [pod for pod in world.pods_on(name) if not is_over(pod)]
    if there:
        names = listed((objects.key(pod) for pod in there), most=4)
        yield f"{plural(len(there), 'pod')} on it cannot be counted on: {names}"


def _drift(name: str, world: World) -> tuple[str, ...]:
    """What the last checks found on the node or its machine."""
    found = []
    for report in world.reports:
        for entry in objects.status(report).get("findings") or ():
            is_its = entry.get("node") == name or (entry.get("layer") == "machine" and entry.get("name") == name)
            if (
                is_its
                and entry.get("verdict") != "unknown"
                and entry.get("decision") != "corrected"
                and entry.get("layer") != "workload"
            ):
                paths = ", ".join(str(f.get("path")) for f in entry.get("fields") or ())
                kind = str(entry.get("kind")).rpartition("$")[2].rpartition(":")[2]
                words = f"drift: {kind} {entry.get('name')} is {entry.get('verdict')}"
                found.append(words + (f" ({paths})" if paths else ""))
    unique = tuple(dict.fromkeys(found))
    if not unique:
        return ()
    looked = max(str(objects.status(report).get("checkedTime") or "") for report in world.reports)
    more = f"and {len(unique) - _DRIFT_SHOWN} more, " if len(unique) > _DRIFT_SHOWN else ""
    return (*unique[:_DRIFT_SHOWN], *((f"drift: {more}as it was looked at {looked}",) if looked else ()))


def _pool(pool: Object, world: World) -> Iterator[Finding]:
    """What keeps a pool from mending or making machines."""
    name = objects.name(pool)
    stopped, ready, grows = (objects.condition(pool, type_) or {} for type_ in ("RepairsStopped", "Ready", "CanGrow"))
    if stopped.get("status") == "True":
        mine = [c for c in world.claims if objects.labels(c).get(_POOL_LABEL) == name]
        sick = [_node_of(claim) for claim in mine if not is_ready(claim)]
        yield Finding(
            Rank.CLUSTER,
            f"the repairs of pool {name} have stopped: {stopped.get('message')}",
            (label(pool, "NodePool"), *(label(c, "NodeClaim") for c in mine if not is_ready(c))),
            (f"not Ready: {listed(sick)}",) if sick else (),
            (Step("iacorch drift --layer machine", "what they have in common is likelier at fault than each of them"),
             Step(f"kubectl describe nodepool {name}", "spec.repair.maxUnhealthy says from how many on")),
            so=("none of them is rebooted or replaced until fewer are unhealthy",),
        )  # fmt: skip
    hindered = ready if ready.get("status") == "False" else grows
    if hindered.get("status") == "False" and hindered.get("reason") in _HINDRANCES:
        yield Finding(
            Rank.NODE,
            f"pool {name} cannot make machines: {hindered.get('message')}",
            (label(pool, "NodePool"),),
            (f"{hindered.get('reason')}, since {hindered.get('lastTransitionTime')}",),
            (Step(f"kubectl describe nodepool {name}", "its conditions and events"),
             Step("kubectl get machineclasses -o yaml", "what was refused, and until when")),
        )  # fmt: skip


def _claim(claim: Object, world: World) -> Iterator[Finding]:
    """A machine that a pool asked for and that is not there yet. One that was there is its Node's to explain."""
    if objects.is_deleting(claim) or is_ready(claim):
        return
    if objects.condition_is(claim, "Initialized") and world.node(_node_of(claim)) is not None:
        return
    bad = [c for c in objects.conditions(claim) if c.get("status") == "False" and c.get("message")]
    if not bad:
        return
    name = objects.name(claim)
    yield Finding(
        Rank.NODE,
        f"the machine of NodeClaim {name} does not become a node: {bad[-1]['message']}",
        (label(claim, "NodeClaim"),),
        tuple(f"{c['type']}: {c.get('reason', '')}" for c in bad),
        (Step(f"kubectl describe nodeclaim {name}", "its conditions and events"),
         Step("kubectl get nodepools,nodeclaims,machineclasses")),
    )  # fmt: skip


def _node_of(claim: Object) -> str:
    return str(objects.status(claim).get("nodeName") or objects.name(claim))


def _said(condition: dict[str, Any]) -> tuple[str, ...]:
    words = str(condition.get("message") or "")
    return (f"{condition.get('reason', '')}: {words}",) if words else ()
