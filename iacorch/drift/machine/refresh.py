"""The machine layer: what a stack's state says against what a refresh preview found. Pure.

In: the resources of a state and the events of `Deployer.refresh` with `preview_only`. Out: one `Observation` for each
resource that a provider looks after. Called by `source` of this layer.

What differs in a property that the program set (an input) is drift. What differs only in computed properties (an
address, a version) is what the world does, unless the property is one that tells health, one that only somebody's hand
changes (a limit of `docker update`), or one that another resource was made with: a node's address, say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

from iacorch.drift.compare import is_secret, matches
from iacorch.drift.model import HIDDEN, Field, Key, Layer, Observation, Place, Verdict, mark_of, unknown
from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Change, Diagnostic, Event, Op, Progress, ResourceDone, ResourcePre, Severity

HEALTH: Final = frozenset(
    {"reachable", "serviceActive", "ready", "inSync", "running", "mustRun", "state", "status", "instanceState"}
)
"""Computed properties that say that something is wrong."""
SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "docker:index/container:Container": frozenset({"memory", "cpuShares", "cpuSet", "restart"}),
}
"""By type, what a provider reads whether a program sets it or not, and nothing changes by itself."""
RUNNING_PROGRAM: Final = "running the program"
"""What the built-in engine says when a refresh is over and the program begins."""
_INSIDE: Final = ("iacorch:index:Node", "iacorch:index:ControlPlane")
_LABELS: Final = ("labels", "tags")


def observe(stack: str, resources: Iterable[Resource], events: Sequence[Event]) -> tuple[Observation, ...]:
    """In the order of the state. A resource whose provider failed to look is unknown, with the provider's words."""
    found = {e.urn: e for e in events if isinstance(e, ResourcePre | ResourceDone) and e.op in (Op.UPDATE, Op.DELETE)}
    failed = {e.urn: e.error for e in events if isinstance(e, ResourceDone) and e.error}
    failed |= {e.urn: e.message for e in events if isinstance(e, Diagnostic) and e.severity is Severity.ERROR and e.urn}
    resources = tuple(resources)
    users = _users(resources)
    return tuple(
        _one(
            stack, resource, found.get(resource.urn), failed.get(resource.urn, ""), users.get(resource.urn, frozenset())
        )
        for resource in resources
        if is_watched(resource)
    )


def _users(resources: Iterable[Resource]) -> dict[str, frozenset[str]]:
    """URN -> the words in the inputs of those that were made with it."""
    found: dict[str, frozenset[str]] = {}
    for resource in resources:
        words = frozenset(_words(resource.inputs))
        for urn in resource.dependencies:
            found[urn] = found.get(urn, frozenset()) | words
    return found


def _words(value: Any) -> Iterator[str]:
    value = wire.reveal(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)


def after_refresh(events: Sequence[Event]) -> Sequence[Event]:
    """What a preview that refreshes first says of the program: before that, what went is no delete of ours."""
    starts = [at for at, e in enumerate(events) if isinstance(e, Progress) and e.message == RUNNING_PROGRAM]
    return events[starts[-1] :] if starts else events


def all_unknown(stack: str, resources: Iterable[Resource], reason: str) -> tuple[Observation, ...]:
    """A stack that nobody can look at now: somebody writes it, or its provider is away."""
    return tuple(unknown(key_of(stack, r), reason, place_of(stack, r)) for r in resources if is_watched(r))


def is_watched(resource: Resource) -> bool:
    """A provider can read it, and it is the stack's own."""
    return (
        resource.custom
        and not resource.is_provider
        and not resource.external
        and not resource.delete
        and not resource.pending_replacement
    )


def key_of(stack: str, resource: Resource) -> Key:
    # Two resources may have one name under different parents; their qualified types differ then.
    return Key(Layer.MACHINE, stack, urns.qualified_type(resource.urn), urns.name_of(resource.urn))


def is_inside(key: Key) -> bool:
    """The resource is what bootstrap made of a machine, which the node layer looks into piece by piece."""
    return key.kind.rpartition("$")[2] in _INSIDE


def place_of(stack: str, resource: Resource) -> Place:
    node = str(resource.inputs.get("nodeName") or "") if resource.type == "iacorch:index:Node" else ""
    return Place(stack=stack, node=node, urn=resource.urn, labels=_labels(resource))


def _one(
    stack: str, resource: Resource, event: ResourcePre | ResourceDone | None, error: str, used: frozenset[str]
) -> Observation:
    key, place = key_of(stack, resource), place_of(stack, resource)
    if error:
        return unknown(key, error, place)
    if event is None:
        return Observation(key, Verdict.IN_SYNC, place=place, protected=resource.protect)
    if event.op is Op.DELETE:
        return Observation(key, Verdict.MISSING, place=place, reason="its provider does not find it any more")
    fields = tuple(_field(c) for c in event.changes if _counts(c, resource, used))
    verdict = Verdict.DRIFTED if fields else Verdict.IN_SYNC
    return Observation(key, verdict, fields, place=place, protected=resource.protect)


def _counts(change: Change, resource: Resource, used: frozenset[str]) -> bool:
    root = change.path.partition(".")[0].partition("[")[0]
    if matches(change.path, resource.ignore_changes) or root.startswith("__"):
        return False
    if root in resource.inputs or root in HEALTH or root in SETTINGS.get(resource.type, ()):
        return True
    return _is_address(change.old) and change.old in used


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ip_address(value))
    except ValueError:
        return False


def _field(change: Change) -> Field:
    hidden = is_secret(change.path) or HIDDEN in (change.old, change.new)
    return Field(
        change.path,
        HIDDEN if hidden else change.old,
        HIDDEN if hidden else change.new,
        mark=mark_of(change.new),
        secret=hidden,
        replaces=change.replaces,
    )


def _labels(resource: Resource) -> Mapping[str, str]:
    """Labels or tags that the program gave it: a map, or Docker's list of label and value."""
    for name in _LABELS:
        value: Any = wire.reveal(resource.inputs.get(name))
        if isinstance(value, Mapping):
            return {str(k): str(v) for k, v in value.items()}
        if isinstance(value, list):
            return {str(e["label"]): str(e.get("value", "")) for e in value if isinstance(e, Mapping) and "label" in e}
    return {}
