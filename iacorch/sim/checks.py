"""What must hold after every write, checked at the store's door.

`CheckedStore` is a store that tells its checkers of each write: who (`link.WRITER`), what it was, what it is now. A
violated promise raises `Violation` into the world, which stops with the trace. Promises:

    bound once       a pod's nodeName, once set, never changes
    capacity         requests of a node's live pods never exceed what it has
    one writer       only the owner of a field changes it (the table `OWNERS`)
    kept             what was acknowledged is there at its revision or a later one (`check_acknowledged`)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.api.quantity import milli_cpu, units
from iacorch.server.request import Target
from iacorch.server.storage import ObjectStore
from iacorch.sim.link import WRITER
from iacorch.store.contract import Batch, Entry, Page, Revision, Store

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
        """Dotted paths, two levels deep, that differ."""
        old, new = self.old or {}, self.new or {}
        for top in sorted(old.keys() | new.keys()):
            before, after = old.get(top), new.get(top)
            if before == after:
                continue
            if isinstance(before, dict) and isinstance(after, dict):
                yield from (
                    f"{top}.{name}"
                    for name in sorted(before.keys() | after.keys())
                    if before.get(name) != after.get(name)
                )
            else:
                yield top


class CheckedStore:
    """A store that shows every write to `on_write` before it is acknowledged."""

    def __init__(self, inner: Store, on_write: Callable[[Write], None]) -> None:
        self._inner, self._on_write = inner, on_write
        self.last_write: dict[str, int] = {}

    @property
    def revision(self) -> Revision:
        return self._inner.revision

    async def get(self, key: bytes) -> Entry | None:
        return await self._inner.get(key)

    async def range(self, prefix: bytes, *, after: bytes = b"", limit: int = 0, at: Revision | None = None) -> Page:
        return await self._inner.range(prefix, after=after, limit=limit, at=at)

    async def create(self, key: bytes, value: bytes) -> Revision:
        revision = await self._inner.create(key, value)
        self._tell(key, revision, None, value)
        return revision

    async def update(self, key: bytes, value: bytes, *, expected: Revision, transient: bool = False) -> Revision:
        old = await self._inner.get(key)
        revision = await self._inner.update(key, value, expected=expected, transient=transient)
        self._tell(key, revision, old.value if old else None, value)
        return revision

    async def delete(self, key: bytes, *, expected: Revision) -> Revision:
        old = await self._inner.get(key)
        revision = await self._inner.delete(key, expected=expected)
        self._tell(key, revision, old.value if old else None, None)
        return revision

    def watch(self, prefix: bytes, *, since: Revision) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        return self._inner.watch(prefix, since=since)

    def request_progress(self) -> None:
        self._inner.request_progress()

    async def compact(self, before: Revision) -> None:
        await self._inner.compact(before)

    async def close(self) -> None:
        await self._inner.close()

    def _tell(self, key: bytes, revision: int, old: bytes | None, new: bytes | None) -> None:
        text = key.decode()
        self.last_write[text] = revision
        if key.startswith(LEASES) and old is not None:
            return  # renewals are nine writes in ten, and `one writer` already holds for the lease's creation
        self._on_write(
            Write(
                WRITER.get(),
                text,
                revision,
                orjson.loads(old) if old is not None else None,
                orjson.loads(new) if new is not None else None,
            )
        )


Owner = str
#: (plural, path prefix) -> who may change it. `agent` means the agent of the object's own node. First match decides.
OWNERS: Final[Mapping[str, tuple[tuple[str, frozenset[Owner]], ...]]] = {
    "pods": (
        ("spec.nodeName", frozenset({"scheduler"})),
        ("status", frozenset({"agent", "scheduler", "controllers"})),
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


@dataclass(slots=True)
class Checks:
    """Keeps what the checkers need to know of the past. One for each world."""

    bound: dict[str, str] = field(default_factory=dict)
    capacity: dict[str, Mapping[str, str]] = field(default_factory=dict)
    requests: dict[str, dict[str, Mapping[str, int]]] = field(default_factory=lambda: defaultdict(dict))
    acknowledged: dict[str, int] = field(default_factory=dict)

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
        if rules is None or write.old is None or write.new is None:
            return
        role, _, node = write.writer.partition("/")
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
            key = ObjectStore.key(Target(kind, metadata.get("namespace", ""), metadata["name"])).decode()
            self.acknowledged[key] = max(revision, self.acknowledged.get(key, 0))

    def check_acknowledged(self, last_write: Mapping[str, int]) -> None:
        """Every acknowledged revision of a key is its last write or an earlier one. Raises Violation."""
        for key, revision in self.acknowledged.items():
            if last_write.get(key, 0) < revision:
                raise Violation(f"kept: {key} was acknowledged at {revision}, the store has {last_write.get(key, 0)}")


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
