"""The pod garbage collector's edge: keys are pods. Decisions are in `plan`."""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.api import objects
from iacorch.api.catalogue import NODE, POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.controllers import pods
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.podgarbage.plan import Observed, plan
from iacorch.controllers.runtime import Watch, own_key
from iacorch.errors import NotFound
from iacorch.kit import limits

_BY_NODE = "podgarbage/node"
_OVER = "podgarbage/over"


class PodGarbageController:
    """Implements `runtime.Controller`."""

    name = "podgarbage-controller"

    def __init__(self, informers: Informers, client: Client) -> None:
        self._client = client
        self._pods = informers.of(POD)
        self._nodes = informers.of(NODE)
        self._pods.add_index(_BY_NODE, lambda pod: (pods.node_name(pod),))
        self._pods.add_index(_OVER, lambda pod: ("yes",) if pods.is_over(pod) else ())
        self.watches = (Watch(POD, own_key), Watch(NODE, self._pods_of_node))

    async def plan(self, key: Key) -> Plan:
        pod = self._pods.get(*key)
        if pod is None:
            return NOTHING
        exists = await self._exists(pods.node_name(pod))
        return plan(Observed(pod, exists, self._is_surplus(pod)))

    async def _exists(self, node: str) -> bool:
        """A node that the cache lacks is asked for: its pod's news may have come before its own."""
        if not node or self._nodes.get("", node) is not None:
            return True
        try:
            await self._client.get(NODE, "", node)
        except NotFound:
            return False
        return True

    def _is_surplus(self, pod: Object) -> bool:
        if not pods.is_over(pod):
            return False
        over = self._pods.by_index(_OVER, "yes")
        if len(over) <= limits.PODS_OVER_KEPT:
            return False
        oldest = sorted(over, key=lambda entry: str(objects.metadata(entry).get("creationTimestamp")))
        return pod in oldest[: len(over) - limits.PODS_OVER_KEPT]

    def _pods_of_node(self, node: Object) -> Iterable[Key]:
        if self._nodes.get("", objects.name(node)) is None:
            for pod in self._pods.by_index(_BY_NODE, objects.name(node)):
                yield objects.namespace(pod), objects.name(pod)
