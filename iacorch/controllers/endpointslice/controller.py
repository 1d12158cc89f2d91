"""The EndpointSlice controller's edge: keys are Services. Decisions are in `plan`."""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.api import objects
from iacorch.api.catalogue import ENDPOINT_SLICE, NODE, POD, SERVICE
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.client.informers import Informers
from iacorch.controllers import pods
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.endpointslice.plan import MANAGED_BY, MANAGED_BY_LABEL, SERVICE_LABEL, Observed, plan
from iacorch.controllers.runtime import Watch, own_key

_BY_NAMESPACE = "endpointslice/namespace"
_BY_SERVICE = "endpointslice/service"
_ZONE = "topology.kubernetes.io/zone"


class EndpointSliceController:
    """Implements `runtime.Controller`."""

    name = "endpointslice-controller"

    def __init__(self, informers: Informers) -> None:
        self._services = informers.of(SERVICE)
        self._pods = informers.of(POD)
        self._slices = informers.of(ENDPOINT_SLICE)
        self._nodes = informers.of(NODE)
        self._services.add_index(_BY_NAMESPACE, lambda obj: (objects.namespace(obj),))
        self._pods.add_index(_BY_NAMESPACE, lambda obj: (objects.namespace(obj),))
        self._slices.add_index(_BY_SERVICE, _service_of)
        self.watches = (
            Watch(SERVICE, own_key),
            Watch(POD, self._services_of),
            Watch(ENDPOINT_SLICE, _service_key),
        )

    def observe(self, key: Key) -> Observed | None:
        service = self._services.get(*key)
        if service is None:
            return None
        selector = selectors.from_map(objects.spec(service).get("selector"))
        matching = tuple(
            pod for pod in self._pods.by_index(_BY_NAMESPACE, key[0]) if selector.matches(objects.labels(pod))
        )
        zones: dict[str, str] = {}
        for node in {pods.node_name(pod) for pod in matching}:
            found = self._nodes.get("", node)
            if found is not None and (zone := objects.labels(found).get(_ZONE)):
                zones[node] = zone
        return Observed(service, matching, tuple(self._slices.by_index(_BY_SERVICE, "/".join(key))), zones)

    async def plan(self, key: Key) -> Plan:
        observed = self.observe(key)
        # The slices of a Service that is gone are the garbage collector's.
        return plan(observed) if observed is not None else NOTHING

    def _services_of(self, pod: Object) -> Iterable[Key]:
        for service in self._services.by_index(_BY_NAMESPACE, objects.namespace(pod)):
            if selectors.from_map(objects.spec(service).get("selector")).matches(objects.labels(pod)):
                yield objects.namespace(service), objects.name(service)


def _service_key(entry: Object) -> Iterable[Key]:
    if (name := objects.labels(entry).get(SERVICE_LABEL)) and objects.labels(entry).get(MANAGED_BY_LABEL) == MANAGED_BY:
        yield objects.namespace(entry), name


def _service_of(entry: Object) -> Iterable[str]:
    return ("/".join(key) for key in _service_key(entry))
