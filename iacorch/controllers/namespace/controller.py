"""The Namespace controller's edge. Reads what is left from the API: a namespace may hold kinds that nobody watches."""

from __future__ import annotations

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import NAMESPACE, Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.namespace.plan import Observed, plan
from iacorch.controllers.runtime import Watch, own_key
from iacorch.kit.clock import Clock


class NamespaceController:
    """Implements `runtime.Controller`."""

    name = "namespace-controller"
    watches = (Watch(NAMESPACE, own_key),)

    def __init__(self, informers: Informers, client: Client, *, clock: Clock) -> None:
        self._namespaces, self._client, self._clock = informers.of(NAMESPACE), client, clock

    async def plan(self, key: Key) -> Plan:
        namespace = self._namespaces.get(*key)
        if namespace is None or not objects.is_deleting(namespace):
            return NOTHING
        contents: dict[Kind, tuple[Object, ...]] = {}
        for kind in catalogue.builtin().stored():
            if kind.namespaced and "delete" in kind.verbs:
                contents[kind] = tuple((await self._client.list(kind, key[1])).items)
        return plan(Observed(namespace, contents), now=self._clock.now())
