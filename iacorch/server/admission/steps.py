"""Runs the admission steps in order, holding what must be held until the write is stored.

In: user, target, object. Out: the admitted object, inside a context: while it is open, no other write of the same kind
may take the same cluster address or node port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from iacorch.api.objects import Object
from iacorch.kit.ids import Ids
from iacorch.server.admission import node, serviceaccounts
from iacorch.server.admission.addresses import ServiceAddresses
from iacorch.server.admission.namespaces import check_namespace, with_namespace_defaults
from iacorch.server.request import Target, User
from iacorch.server.storage import ObjectStore


class Admission:
    """One for each registry; holds no state but the lock under which addresses are given out."""

    def __init__(self, storage: ObjectStore, ids: Ids) -> None:
        self._storage = storage
        self._addresses = ServiceAddresses(storage, ids)

    @asynccontextmanager
    async def creating(self, user: User, target: Target, obj: Object) -> AsyncIterator[Object]:
        node.check_create(user, target, obj)
        await check_namespace(self._storage, target)
        match (target.kind.group, target.kind.kind):
            case ("", "Service"):
                async with self._addresses.assigned(None, obj) as admitted:
                    yield admitted
            case ("", "Namespace"):
                yield with_namespace_defaults(obj)
            case ("", "Pod"):
                yield serviceaccounts.with_default(obj)
            case _:
                yield obj

    @asynccontextmanager
    async def updating(self, user: User, target: Target, old: Object, new: Object) -> AsyncIterator[Object]:
        node.check_update(user, target, old, new)
        if (target.kind.group, target.kind.kind, target.subresource) == ("", "Service", ""):
            async with self._addresses.assigned(old, new) as admitted:
                yield admitted
        else:
            yield new

    def deleting(self, user: User, target: Target, obj: Object) -> None:
        node.check_delete(user, target, obj)
