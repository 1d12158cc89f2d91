"""Runs the admission steps in order, holding what must be held until the write is stored.

In: user, target, object. Out: the admitted object. What is given out once (cluster addresses, node ports) is given
inside a context: while it is open, no other write may take the same.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from iacorch.api.catalogue import CONFIG_MAP, POD, SECRET, SERVICE
from iacorch.api.objects import Object
from iacorch.kit.ids import Ids
from iacorch.server.admission import node, serviceaccounts
from iacorch.server.admission.addresses import ServiceAddresses
from iacorch.server.admission.namespaces import check_namespace, check_not_immortal
from iacorch.server.objects.storage import ObjectStore
from iacorch.server.request import Target, User


class Admission:
    """One for each registry; holds no state but the lock under which addresses are given out."""

    def __init__(self, storage: ObjectStore, ids: Ids) -> None:
        self._storage = storage
        self._addresses = ServiceAddresses(storage, ids)

    async def reading(self, user: User, target: Target) -> None:
        """An agent reads the Secrets and ConfigMaps that pods on its node refer to."""
        if user.node_name and target.kind in (SECRET, CONFIG_MAP):
            prefix = self._storage.prefix(POD, target.namespace)
            page = await self._storage.store.range(prefix)
            mark = user.node_name.encode()
            pods = (self._storage.opened(POD, entry).decode() for entry in page.entries if mark in entry.value)
            node.check_read(user, target, pods)

    async def creating(self, user: User, target: Target, obj: Object) -> Object:
        """Raises Forbidden, NotFound; returns the object with what it is given at its birth."""
        node.check_create(user, target, obj)
        await check_namespace(self._storage, target)
        return serviceaccounts.with_default(obj) if target.kind == POD else obj

    def updating(self, user: User, target: Target, old: Object, new: Object) -> None:
        node.check_update(user, target, old, new)

    def allocating(self, target: Target, old: Object | None, new: Object) -> AbstractAsyncContextManager[Object]:
        """The valid object with what is given out once. Store it inside the block, or not at all."""
        if target.kind == SERVICE and not target.subresource:
            return self._addresses.assigned(old, new)
        return nullcontext(new)

    def deleting(self, user: User, target: Target, obj: Object) -> None:
        check_not_immortal(target)
        node.check_delete(user, target, obj)
