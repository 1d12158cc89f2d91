"""In which order machines get another build, and why none would. Pure.

In: the machines of the stacks and of node pools, with what the cluster says of them. Out: a `Rollout`. Control planes
come first, one at a time: agents of an older build work with a newer server. Then zone after zone, so that an
application that is spread over zones is never hit in two of them; a zone with nodes that are not ready comes before
healthy ones, and in each zone such nodes come first: they have the least to lose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.infra.bootstrap import marks
from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Snapshot

ZONE: Final = "topology.kubernetes.io/zone"
CORDONED: Final = "iacorch.dev/cordoned-for-upgrade"
"""Annotation of a Node that a rollout has cordoned, and is to uncordon, also when it comes back after a crash."""
Role = Literal["control-plane", "node"]


@dataclass(frozen=True, slots=True)
class Member:
    """One machine. `current`: it runs the wanted build, trusts the CA, and the last run of bootstrap went well.

    `left_cordoned`: by a rollout before. A machine of a node pool has a `claim`: its stack is the provisioner's, which
    is asked through the claim.
    """

    name: str
    urn: str
    stack: str
    role: Role
    zone: str = ""
    current: bool = False
    ready: bool = True
    left_cordoned: bool = False
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Machines that are changed at the same time."""

    role: Role
    zone: str
    members: tuple[Member, ...]

    def __str__(self) -> str:
        where = "control plane" if self.role == "control-plane" else f"zone {self.zone or '(none)'}"
        return f"{where}: {', '.join(m.name + (' (node pool)' if m.claim else '') for m in self.members)}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is done, in order. `current` need nothing; `leftovers` only have to be uncordoned."""

    batches: tuple[Batch, ...]
    current: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


def plan(members: Iterable[Member], *, at_once: int = 1) -> Rollout:
    """`at_once` nodes of one zone at a time."""
    assert at_once >= 1
    everyone = sorted(members, key=lambda member: (member.stack, member.name))
    due = [member for member in everyone if not member.current]
    servers = (Batch("control-plane", m.zone, (m,)) for m in due if m.role == "control-plane")
    return Rollout(
        (*servers, *_by_zone([member for member in due if member.role == "node"], at_once)),
        tuple(member.name for member in everyone if member.current),
        tuple(member.name for member in everyone if member.current and member.left_cordoned),
    )


def _by_zone(nodes: Sequence[Member], at_once: int) -> Iterator[Batch]:
    zones: dict[str, list[Member]] = {}
    for node in nodes:
        zones.setdefault(node.zone, []).append(node)
    for zone, inside in sorted(zones.items(), key=lambda item: (all(node.ready for node in item[1]), item[0])):
        inside.sort(key=lambda node: (node.ready, node.name))
        for start in range(0, len(inside), at_once):
            yield Batch("node", zone, tuple(inside[start : start + at_once]))


def unready(nodes: Iterable[Object], batch: Batch) -> tuple[str, ...]:
    """Nodes that are not ready now and are not about to be changed: a budget counts them."""
    inside = {member.name for member in batch.members if member.role == "node"}
    names = (objects.name(node) for node in nodes if not objects.condition_is(node, "Ready"))
    return tuple(sorted(name for name in names if name not in inside))


def is_cordoned(node: Object) -> bool:
    return bool(objects.spec(node).get("unschedulable"))


def is_ours(node: Object) -> bool:
    """A rollout has cordoned it and is to uncordon it, also if a person has done so since: the mark must go too."""
    return CORDONED in objects.annotations(node)


def members_of(
    stacks: Mapping[str, Snapshot],
    nodes: Iterable[Object],
    claims: Iterable[Object] = (),
    *,
    release: str,
    ca: str = "",
) -> tuple[Member, ...]:
    """The machines that the states and the claims tell of, with what their Nodes say. `ca`: what they should trust."""
    live = {objects.name(node): node for node in nodes}
    wanted = marks.mark(release, ca)
    found = [_claimed(claim, live, wanted) for claim in claims if _is_settled(claim)]
    for stack, snapshot in stacks.items():
        for resource in snapshot.resources:
            if resource.delete or resource.pending_replacement or not resource.custom:
                continue
            inputs = wire.reveal(resource.inputs)
            current = inputs.get("release") == release and not resource.init_errors
            current = current and (not ca or "caCert" not in inputs or marks.is_same_ca(str(inputs["caCert"]), ca))
            match resource.type:
                case "iacorch:index:ControlPlane":
                    name = urns.name_of(resource.urn)
                    found.append(Member(name, resource.urn, stack, "control-plane", current=current))
                case "iacorch:index:Node":
                    name = str(inputs.get("nodeName", ""))
                    found.append(_node(name, resource.urn, stack, current, live.get(name)))
    return tuple(found)


def ca_of(stacks: Mapping[str, Snapshot]) -> str:
    """The CA as the stack with the control plane knows it; "" where there is none."""
    for snapshot in stacks.values():
        for resource in snapshot.resources:
            if resource.type == "iacorch:index:ControlPlane" and not resource.delete:
                return str(wire.reveal(resource.outputs).get("caCert") or "")
    return ""


def _is_settled(claim: Object) -> bool:
    """One that is on its way, or going, will have or need no other build."""
    return objects.condition_is(claim, "Initialized") and not objects.is_deleting(claim)


def _claimed(claim: Object, live: Mapping[str, Object], wanted: str) -> Member:
    status = objects.status(claim)
    name = str(status.get("nodeName") or objects.name(claim))
    current = status.get("build") == wanted
    return replace(_node(name, "", "", current, live.get(name)), claim=objects.name(claim))


def _node(name: str, urn: str, stack: str, current: bool, node: Object | None) -> Member:
    if node is None:
        return Member(name, urn, stack, "node", current=current, ready=False)
    zone, ready = objects.labels(node).get(ZONE, ""), objects.condition_is(node, "Ready")
    return Member(name, urn, stack, "node", zone, current, ready, is_ours(node))
