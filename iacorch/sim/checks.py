"""What must hold after every write: the rules that `disk.CheckedStore` asks at the store's door.

In: each write, with who wrote (`link.WRITER`), what was there and what is now. A broken promise raises `Violation`,
which stops the world with its trace:

    bound once       a pod's nodeName, once set, never changes
    capacity         requests of a node's live pods never exceed what it has
    one writer       only the owner of a field changes it, only its kind's makers make it (`OWNERS`, `MAKERS`)
    kept             what was acknowledged is there, at its revision or a later one, or was deleted later

That watches are in order and without a gap is checked where they are given out, in `disk`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.values.quantity import milli_cpu, units
from iacorch.server.objects.storage import ObjectStore
from iacorch.server.request import Target

LEASES: Final = b"/coordination.k8s.io/leases/"
FINISHED: Final = ("Succeeded", "Failed")


class Violation(AssertionError):
    """A promise was broken; says which, by whom, and on what."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write as the store sees it. `old` is None for a create, `new` for a delete."""

    writer: str
    key: str
    revision: int
    old: Object | None
    new: Object | None

    @property
    def plural(self) -> str:
        return self.key.split("/")[2]

    def changed(self) -> Iterable[str]:
        """Dotted paths, two levels deep, that differ; conditions one by one, as each has a writer of its own."""
        old, new = self.old or {}, self.new or {}
        yield from _conditions(old, new)
        for top in sorted(old.keys() | new.keys()):
            before, after = old.get(top), new.get(top)
            if before == after:
                continue
            if isinstance(before, dict) and isinstance(after, dict):
                yield from (
                    f"{top}.{name}"
                    for name in sorted(before.keys() | after.keys())
                    if before.get(name) != after.get(name) and (top, name) != ("status", "conditions")
                )
            else:
                yield top


def _conditions(old: Object, new: Object) -> Iterable[str]:
    before, after = (
        {entry["type"]: entry for entry in (obj.get("status") or {}).get("conditions") or ()} for obj in (old, new)
    )
    for type_ in sorted(before.keys() | after.keys()):
        if before.get(type_) != after.get(type_):
            yield f"status.conditions[{type_}]"


Owner = str
#: (plural, path prefix) -> who may change it. `agent` means the agent of the object's own node. First match decides.
OWNERS: Final[Mapping[str, tuple[tuple[str, frozenset[Owner]], ...]]] = {
    "pods": (
        ("spec.nodeName", frozenset({"scheduler"})),
        ("status.conditions[PodScheduled]", frozenset({"scheduler"})),
        ("status.conditions[Ready]", frozenset({"agent", "controllers"})),
        ("status", frozenset({"agent"})),
        ("metadata.deletion", frozenset({"agent", "controllers", "user"})),
        ("metadata.finalizers", frozenset({"controllers"})),
        ("metadata.ownerReferences", frozenset({"controllers"})),
        ("metadata.labels", frozenset({"user"})),
        ("metadata", frozenset({"controllers", "user"})),
    ),
    "nodes": (
        ("spec.podCIDR", frozenset({"controllers"})),
        ("spec.taints", frozenset({"controllers"})),
        ("spec.unschedulable", frozenset({"user"})),
        ("status", frozenset({"agent", "controllers"})),
        ("metadata", frozenset({"agent", "controllers"})),
    ),
    "deployments": (
        ("status", frozenset({"controllers"})),
        ("metadata", frozenset({"controllers", "user"})),
        ("spec", frozenset({"user"})),
    ),
    "replicasets": (("", frozenset({"controllers"})),),
    "endpointslices": (("", frozenset({"controllers"})),),
    "leases": (("", frozenset({"agent"})),),
}


#: plural -> who may (make it, remove it).
MAKERS: Final[Mapping[str, tuple[frozenset[Owner], frozenset[Owner]]]] = {
    "pods": (frozenset({"controllers"}), frozenset({"agent", "controllers", "user"})),
    "nodes": (frozenset({"agent"}), frozenset({"user"})),
    "deployments": (frozenset({"user"}), frozenset({"user", "controllers"})),
    "replicasets": (frozenset({"controllers"}), frozenset({"controllers"})),
    "endpointslices": (frozenset({"controllers"}), frozenset({"controllers"})),
    "leases": (frozenset({"agent"}), frozenset({"agent", "controllers"})),
}


@dataclass(slots=True)
class Checks:
    """Keeps what the checkers need to know of the past. One for each world."""

    bound: dict[str, str] = field(default_factory=dict)
    capacity: dict[str, Mapping[str, str]] = field(default_factory=dict)
    requests: dict[str, dict[str, Mapping[str, int]]] = field(default_factory=lambda: defaultdict(dict))
    acknowledged: dict[bytes, int] = field(default_factory=dict)

    def observe(self, write: Write) -> None:
        """Raises Violation."""
        self._one_writer(write)
        if write.plural == "pods":
            self._bound_once(write)
            self._capacity(write)
        elif write.plural == "nodes":
            name = write.key.rsplit("/", 1)[1]
            self.capacity[name] = {} if write.new is None else (write.new.get("status") or {}).get("allocatable") or {}

    def _bound_once(self, write: Write) -> None:
        if write.new is None:
            return
        uid, node = write.new["metadata"]["uid"], (write.new.get("spec") or {}).get("nodeName", "")
        before = self.bound.get(uid, "")
        if before and node != before:
            raise Violation(f"bound once: {write.key} was bound to {before} and is now bound to {node or 'nothing'}")
        if node:
            self.bound[uid] = node

    def _capacity(self, write: Write) -> None:
        pod = write.new or write.old or {}
        node = (pod.get("spec") or {}).get("nodeName", "")
        if not node:
            return
        held, uid = self.requests[node], pod["metadata"]["uid"]
        if write.new is None or (write.new.get("status") or {}).get("phase") in FINISHED:
            held.pop(uid, None)
            return
        if uid in held:
            return
        held[uid] = _requests(write.new)
        for resource, text in self.capacity.get(node, {}).items():
            asked = sum(1 if resource == "pods" else each.get(resource, 0) for each in held.values())
            if asked > _amount(resource, text):
                raise Violation(f"capacity: {node} has {text} {resource}, its pods ask for {asked}")

    def _one_writer(self, write: Write) -> None:
        rules = OWNERS.get(write.plural)
        if rules is None:
            return
        role, _, node = write.writer.partition("/")
        if write.old is None or write.new is None:
            makers = MAKERS[write.plural][write.new is None]
            if role not in makers or (role == "agent" and node != _node_of(write)):
                did = "removed" if write.new is None else "made"
                raise Violation(f"one writer: {write.writer} {did} {write.key}; that is for {sorted(makers)}")
            return
        for path in write.changed():
            if path in ("metadata.generation", "metadata.managedFields"):
                continue
            owners = next((owners for prefix, owners in rules if path.startswith(prefix)), frozenset())
            if role not in owners:
                said = f"one writer: {write.writer} changed {path} of {write.key}"
                raise Violation(f"{said}; it belongs to {sorted(owners)}")
            if role == "agent" and node != _node_of(write):
                said = f"one writer: {write.writer} changed {path} of {write.key}"
                raise Violation(f"{said}, which is on {_node_of(write)}")

    def acknowledge(self, kind: Kind, obj: Object) -> None:
        """The server told a client that `obj` is written. Answers without a version (bindings) are not objects."""
        metadata = obj.get("metadata") or {}
        if revision := int(metadata.get("resourceVersion") or 0):
            key = ObjectStore.key(Target(kind, metadata.get("namespace", ""), metadata["name"]))
            self.acknowledged[key] = max(revision, self.acknowledged.get(key, 0))

    def check_kept(self, there: Mapping[bytes, int], deleted: Mapping[bytes, int]) -> None:
        """`there` is each key's revision as read from the store, `deleted` when those that are gone went."""
        for key, revision in self.acknowledged.items():
            if key.startswith(LEASES):
                continue  # may fall back to an earlier value, as the store's contract says
            found = max(there.get(key, 0), deleted.get(key, 0))
            if found < revision:
                raise Violation(f"kept: {key.decode()} was acknowledged at {revision}, the store has {found}")


def _node_of(write: Write) -> str:
    obj: Mapping[str, Any] = write.new or write.old or {}
    if write.plural == "pods":
        return str((obj.get("spec") or {}).get("nodeName", ""))
    return write.key.rsplit("/", 1)[1]


def _requests(pod: Object) -> Mapping[str, int]:
    """The sum of its containers' requests; init containers of the simulation ask for nothing."""
    total: dict[str, int] = defaultdict(int)
    for container in pod["spec"]["containers"]:
        for resource, text in ((container.get("resources") or {}).get("requests") or {}).items():
            total[resource] += _amount(resource, text)
    return total


def _amount(resource: str, text: str) -> int:
    return milli_cpu(text) if resource == "cpu" else units(text)
