"""What a plan is made of: actions as values.

In: nothing. Out: `Plan` and the closed union `Action`. Every `plan.py` returns a `Plan`; `runtime` carries it out. A
plan prints on one line, compares by value and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType, Propagation

Key: TypeAlias = tuple[str, str]
"""(namespace, name) of the object a controller works on; the namespace of a cluster-wide object is ""."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make `obj`. That it exists already means that the cache is behind: look again."""

    kind: Kind
    obj: Object

    def __str__(self) -> str:
        return f"create {self.kind.kind} {objects.name(self.obj)}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object that has this UID, and no other of the same name. Gone already is fine."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    grace_seconds: int | None = None
    propagation: Propagation | None = None

    def __str__(self) -> str:
        return f"delete {self.kind.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Patch:
    """Change some fields of the object that has this UID. The patch may carry metadata.resourceVersion."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    patch: Mapping[str, Any]
    subresource: str = ""
    patch_type: PatchType = PatchType.MERGE

    def __str__(self) -> str:
        return f"patch {self.kind.kind} {self.name} {self.subresource}".rstrip()


@dataclass(frozen=True, slots=True)
class Replace:
    """Write `obj`, which carries the resource version it was based on."""

    kind: Kind
    obj: Object
    subresource: str = ""

    def __str__(self) -> str:
        return f"replace {self.kind.kind} {objects.name(self.obj)} {self.subresource}".rstrip()


@dataclass(frozen=True, slots=True)
class Say:
    """Record an Event about an object."""

    about: Object
    type: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"say {self.reason}"


Action: TypeAlias = Create | Delete | Patch | Replace | Say


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to do now, in order; when to look again without being woken; why, in words for a log."""

    actions: tuple[Action, ...] = ()
    again_seconds: float | None = None
    why: str = ""

    def __str__(self) -> str:
        text = "; ".join(str(action) for action in self.actions) or "nothing to do"
        return f"{text} ({self.why})" if self.why else text


NOTHING = Plan()


def replace_status(kind: Kind, obj: Object, status: Mapping[str, Any]) -> tuple[Action, ...]:
    """A write of `obj`'s status, unless it is as wanted."""
    if objects.status(obj) == status:
        return ()
    return (Replace(kind, objects.with_status(obj, status), subresource="status"),)


def delete(kind: Kind, obj: Object, *, grace_seconds: int | None = None) -> Delete:
    return Delete(kind, objects.namespace(obj), objects.name(obj), objects.uid(obj), grace_seconds=grace_seconds)
