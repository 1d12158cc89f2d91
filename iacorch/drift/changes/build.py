"""What would happen, as `Step`s, from what previews and the API say. Pure.

In: the events of each stack's preview, the states, the live objects and pods. Out: steps on three layers: resources as
the engine plans them; nodes that are made, set up again, drained; objects that are made, changed, removed, and pods
that move with all that. Called by `collect`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.drift.changes.model import Step, Verb
from iacorch.drift.changes.money import PriceList, price
from iacorch.drift.compare import differences
from iacorch.drift.machine.refresh import after_refresh
from iacorch.drift.model import HIDDEN, Layer
from iacorch.drift.reports import diff
from iacorch.errors import ConfigError
from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot
from iacorch.infra.engine.contract import Change, Event, Op, ResourceDone, ResourcePre
from iacorch.infra.provider.resources import manifest_plan
from iacorch.infra.provider.resources.manifest_plan import Reference

_VERBS: Final = {
    Op.IMPORT: Verb.IMPORT, Op.CREATE: Verb.CREATE, Op.UPDATE: Verb.CHANGE, Op.REPLACE: Verb.REPLACE,
    Op.DELETE: Verb.DELETE,
}  # fmt: skip
_NODE: Final = "iacorch:index:Node"
_CONTROL_PLANE: Final = "iacorch:index:ControlPlane"
_MANIFEST: Final = "iacorch:index:Manifest"
_KEEPS_DATA: Final = ("volume", "disk", "bucket", "database", "filesystem", "snapshot")
"""Words in the type of what holds data that is not made again."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the API has. Empty where nobody answers."""

    live: Mapping[Reference, Object | None] = field(default_factory=dict)
    pods: Sequence[Object] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """One stack: its state and the events of its preview."""

    stack: str
    snapshot: Snapshot
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Planned:
    """One resource that the engine would touch."""

    stack: str
    urn: str
    type: str
    verb: Verb
    changes: tuple[Change, ...]
    inputs: Mapping[str, Any]
    old: Resource | None

    @property
    def name(self) -> str:
        return urns.name_of(self.urn)


def build(previews: Iterable[Preview], cluster: Cluster, listed: PriceList) -> tuple[Step, ...]:
    """Machines, then nodes, then workloads."""
    planned = [p for preview in previews for p in planned_of(preview)]
    machines = [_machine_step(p, listed) for p in planned]
    nodes = [step for p in planned for step in _node_steps(p)]
    workloads = [step for p in planned if p.type == _MANIFEST for step in _object_steps(p, cluster)]
    workloads += _moving_pods(planned, workloads, cluster)
    return (*machines, *nodes, *workloads)


def planned_of(preview: Preview) -> list[Planned]:
    """What the engine would do after the refresh, in its order; one entry a resource."""
    old = {r.urn: r for r in preview.snapshot.resources if not r.delete}
    found: dict[str, Planned] = {}
    for event in after_refresh(preview.events):
        if not isinstance(event, ResourcePre | ResourceDone) or event.op not in _VERBS:
            continue
        if _is_furniture(event):
            continue
        verb, before = _VERBS[event.op], found.get(event.urn)
        inputs = event.inputs if isinstance(event, ResourcePre) else {}
        if before is not None:
            # The delete that belongs to a replacement, and the end of what has begun.
            verb = Verb.REPLACE if {verb, before.verb} == {Verb.REPLACE, Verb.DELETE} else before.verb
            inputs = before.inputs or inputs
        changes = event.changes or (before.changes if before else ())
        found[event.urn] = Planned(preview.stack, event.urn, event.type, verb, changes, inputs, old.get(event.urn))
    return list(found.values())


def _is_furniture(event: ResourcePre | ResourceDone) -> bool:
    """The stack itself and the providers: nothing a person would call a change."""
    return event.type == urns.STACK_TYPE or urns.is_provider(event.type)


def _machine_step(p: Planned, listed: PriceList) -> Step:
    loses = p.verb in (Verb.DELETE, Verb.REPLACE) and any(word in p.type.lower() for word in _KEEPS_DATA)
    return Step(
        Layer.MACHINE,
        p.verb,
        urns.qualified_type(p.urn).rsplit("$", 1)[-1],
        p.name,
        p.stack,
        tuple(_detail(c.path, c.old, c.new, "replaces" if c.replaces else "") for c in p.changes),
        _price_change(p, listed),
        "what is stored in it" if loses else "",
    )


def _detail(path: str, old: Any, new: Any, note: str = "") -> str:
    """One difference; of a long text the lines that differ."""
    return "\n".join(diff.lines(path, old, new, words=diff.PLANNED, whole=True, note=note))


def _price_change(p: Planned, listed: PriceList) -> int | None:
    if p.verb is Verb.IMPORT:  # it is there and paid for already; what it was is known to nobody here
        return None if p.changes else 0
    before = after = 0
    if p.old is not None and p.verb is not Verb.CREATE:
        old = price(p.type, wire.reveal(p.old.inputs), wire.reveal(p.old.outputs), listed)
        if old is None:
            return None
        before = old
    if p.verb is not Verb.DELETE:
        inputs = p.inputs or ({} if p.old is None else wire.reveal(p.old.inputs))
        new = price(p.type, inputs, {}, listed)
        if new is None:
            return None
        after = new
    return after - before


def _node_steps(p: Planned) -> Iterator[Step]:
    if p.type not in (_NODE, _CONTROL_PLANE):
        return
    kind = "node" if p.type == _NODE else "control plane"
    name = _node_name(p)
    words = {
        Verb.IMPORT: ("taken over as it is", "roles run again where they differ"),
        Verb.CREATE: ("bootstrap", "facts, roles, join"),
        Verb.CHANGE: ("roles run again", "only what differs is changed"),
        Verb.REPLACE: ("drained, then bootstrapped anew", "its pods move"),
        Verb.DELETE: ("drained, then reset", "its pods move"),
    }[p.verb]
    loses = "the cluster's objects" if kind == "control plane" and p.verb in (Verb.DELETE, Verb.REPLACE) else ""
    yield Step(Layer.NODE, p.verb, kind, name, p.stack, words, data=loses)


def _node_name(p: Planned) -> str:
    given = p.inputs.get("nodeName") or (p.old.inputs.get("nodeName") if p.old is not None else "")
    return str(given or p.name)


def _object_steps(p: Planned, cluster: Cluster) -> Iterator[Step]:
    """A Manifest object by object, against what is live."""
    old = _documents(wire.reveal(p.old.inputs)) if p.old is not None and p.verb is not Verb.CREATE else {}
    new = _documents(p.inputs) if p.verb is not Verb.DELETE else {}
    because = f"Manifest {p.name}"
    for ref, wanted in new.items():
        live = cluster.live.get(ref)
        place = objects.join_key(ref.namespace, ref.name)
        if live is None:
            yield Step(Layer.WORKLOAD, Verb.CREATE, ref.kind, place, p.stack, because=because)
        elif fields := differences(wanted, {**live, "apiVersion": ref.api_version, "kind": ref.kind}):
            details = tuple(_detail(f.path, f.seen, f.wanted) for f in fields)
            yield Step(Layer.WORKLOAD, Verb.CHANGE, ref.kind, place, p.stack, details, because=because)
    for ref in old:
        if ref not in new and cluster.live.get(ref) is not None:
            place = objects.join_key(ref.namespace, ref.name)
            loses = "its contents" if ref.kind in ("Secret", "ConfigMap", "PersistentVolumeClaim", "Namespace") else ""
            yield Step(Layer.WORKLOAD, Verb.DELETE, ref.kind, place, p.stack, data=loses, because=because)


def documents_of(inputs: Mapping[str, Any]) -> list[Object]:
    """A Manifest's objects; none where the text is not known yet or cannot be read."""
    text, given = inputs.get("yaml"), inputs.get("objects")
    if HIDDEN in (text, given) or wire.has_unknown([text, given]) or "[unknown]" in (text, given):
        return []
    try:
        return manifest_plan.documents(
            str(text or ""), given or (), namespace=str(inputs.get("namespace") or "default")
        )
    except ConfigError:
        return []


def _documents(inputs: Mapping[str, Any]) -> dict[Reference, Object]:
    return {manifest_plan.reference(obj): obj for obj in documents_of(inputs)}


def _moving_pods(planned: Sequence[Planned], steps: Sequence[Step], cluster: Cluster) -> list[Step]:
    """Pods whose node goes away, or whose Deployment gets another template."""
    leaving = {_node_name(p): p.verb for p in planned if p.type == _NODE and p.verb in (Verb.DELETE, Verb.REPLACE)}
    rolled = {
        step.name
        for step in steps
        if step.kind == "Deployment" and step.verb is Verb.CHANGE and any("spec.template" in d for d in step.details)
    }
    found = []
    for pod in cluster.pods:
        node, place = str(objects.spec(pod).get("nodeName") or ""), objects.key(pod)
        owner = objects.controller_of(pod) or {}
        if node in leaving and owner.get("kind") != "DaemonSet":
            alone = "" if owner else "it has no controller: nothing starts it again"
            why = f"node {node} is to be {leaving[node]}d"
            found.append(Step(Layer.WORKLOAD, Verb.MOVE, "Pod", place, data=alone, because=why))
        elif (deployment := _deployment_of(pod, owner)) in rolled:
            why = f"Deployment {deployment} gets another template"
            found.append(Step(Layer.WORKLOAD, Verb.MOVE, "Pod", place, because=why))
    return found


def _deployment_of(pod: Object, owner: Mapping[str, Any]) -> str:
    """By the name of its ReplicaSet, which is the Deployment's and a hash."""
    if owner.get("kind") != "ReplicaSet":
        return ""
    return objects.join_key(objects.namespace(pod), str(owner.get("name", "")).rpartition("-")[0])
