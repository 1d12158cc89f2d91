"""The garbage collector's edge: one graph over every kind that can be deleted. Decisions are in `plan`.

Keys are (`<apiVersion> <kind>`, `<namespace>/<name>`), because kinds share this queue. That an owner is gone is
believed only when the API says so too: a cache that is behind must not cost anybody an object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.garbage.plan import FOREGROUND, ORPHAN, Dependent, Observed, Owner, plan
from iacorch.controllers.runtime import Watch
from iacorch.errors import NotFound

_BY_OWNER = "garbage/owner"
_NEVER_OWNED = ("Event", "Namespace")


class GarbageController:
    """Implements `runtime.Controller`."""

    name = "garbage-controller"

    def __init__(self, informers: Informers, client: Client) -> None:
        self._informers, self._client = informers, client
        self._kinds = tuple(
            kind
            for kind in catalogue.builtin().stored()
            if kind.kind not in _NEVER_OWNED and {"delete", "watch", "patch"} <= set(kind.verbs)
        )
        for kind in self._kinds:
            informers.of(kind).add_index(_BY_OWNER, _owner_uids)
        self.watches = tuple(Watch(kind, self._keys_of(kind), matters=_matters) for kind in self._kinds)

    async def plan(self, key: Key) -> Plan:
        kind = catalogue.builtin().by_kind(*key[0].split(" "))
        assert kind is not None
        obj = self._informers.of(kind).get(*_split(key[1]))
        if obj is None:
            return NOTHING
        owners = () if objects.is_deleting(obj) else await self._owners(obj)
        return plan(Observed(kind, obj, owners, tuple(self._dependents(obj))))

    async def _owners(self, obj: Object) -> tuple[Owner, ...]:
        return tuple([await self._owner(obj, reference) for reference in objects.owner_references(obj)])

    async def _owner(self, obj: Object, reference: dict[str, Any]) -> Owner:
        kind = catalogue.builtin().by_kind(reference.get("apiVersion", ""), reference.get("kind", ""))
        if kind is None:
            return Owner.LIVING  # not for us to judge
        namespace = objects.namespace(obj) if kind.namespaced else ""
        found = self._informers.of(kind).get(namespace, reference["name"]) if kind in self._kinds else None
        if found is None or objects.uid(found) != reference["uid"]:
            try:
                found = await self._client.get(kind, namespace, reference["name"])
            except NotFound:
                return Owner.GONE
            if objects.uid(found) != reference["uid"]:
                return Owner.GONE
        if objects.is_deleting(found) and FOREGROUND in objects.finalizers(found):
            return Owner.WAITING
        return Owner.LIVING

    def _dependents(self, obj: Object) -> Iterator[Dependent]:
        for kind in self._kinds:
            for dependent in self._informers.of(kind).by_index(_BY_OWNER, objects.uid(obj)):
                yield Dependent(kind, dependent)

    def _keys_of(self, kind: Kind) -> Callable[[Object], Iterable[Key]]:
        """The object itself; its dependents when it goes; its owners when they wait for it."""

        def keys(obj: Object) -> Iterator[Key]:
            if objects.owner_references(obj) or {ORPHAN, FOREGROUND} & set(objects.finalizers(obj)):
                yield _key(kind, obj)
            for dependent in self._dependents(obj):
                yield _key(dependent.kind, dependent.obj)
            for reference in objects.owner_references(obj):
                owner = catalogue.builtin().by_kind(reference.get("apiVersion", ""), reference.get("kind", ""))
                if owner is not None:
                    namespace = objects.namespace(obj) if owner.namespaced else ""
                    yield f"{owner.api_version} {owner.kind}", f"{namespace}/{reference['name']}"

        return keys


def _matters(old: Object | None, new: Object | None) -> bool:
    """Only coming, going, and changes of who owns it and what holds it."""
    if old is None or new is None:
        return True
    before, after = objects.metadata(old), objects.metadata(new)
    fields = ("uid", "ownerReferences", "finalizers", "deletionTimestamp")
    return any(before.get(field) != after.get(field) for field in fields)


def _owner_uids(obj: Object) -> Iterable[str]:
    return (reference["uid"] for reference in objects.owner_references(obj))


def _key(kind: Kind, obj: Object) -> Key:
    return f"{kind.api_version} {kind.kind}", f"{objects.namespace(obj)}/{objects.name(obj)}"


def _split(text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    return namespace, name
