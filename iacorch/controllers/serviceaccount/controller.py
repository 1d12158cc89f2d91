"""Makes the service account `default` in every namespace that stays. Keys are namespaces; writes nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.api import objects
from iacorch.api.catalogue import NAMESPACE, SERVICE_ACCOUNT
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Create, Key, Plan
from iacorch.controllers.runtime import Watch, own_key


def plan(namespace: Object, account: Object | None) -> Plan:
    """`account` is the namespace's `default`, if it is there."""
    if account is not None or objects.is_deleting(namespace):
        return NOTHING
    metadata = {"name": "default", "namespace": objects.name(namespace)}
    obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    return Plan((Create(SERVICE_ACCOUNT, obj),), why="the namespace has none")


class ServiceAccountController:
    """Implements `runtime.Controller`."""

    name = "serviceaccount-controller"

    def __init__(self, informers: Informers) -> None:
        self._namespaces = informers.of(NAMESPACE)
        self._accounts = informers.of(SERVICE_ACCOUNT)
        self.watches = (Watch(NAMESPACE, own_key), Watch(SERVICE_ACCOUNT, _namespace_key))

    async def plan(self, key: Key) -> Plan:
        namespace = self._namespaces.get(*key)
        return plan(namespace, self._accounts.get(key[1], "default")) if namespace is not None else NOTHING


def _namespace_key(account: Object) -> Iterable[Key]:
    if objects.name(account) == "default":
        yield "", objects.namespace(account)
