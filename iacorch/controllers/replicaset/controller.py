"""The ReplicaSet controller's edge: what it watches and what its plan gets to see. Decisions are in `plan`."""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.api import objects
from iacorch.api.catalogue import POD, REPLICA_SET
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.replicaset.plan import Observed, plan
from iacorch.controllers.runtime import Watch, controller_key, own_key
from iacorch.kit.clock import Clock

_BY_OWNER = "replicaset/owner"
_BY_PREFIX = "replicaset/prefix"
_ORPHANS = "replicaset/orphans"


class ReplicaSetController:
    """Implements `runtime.Controller`."""

    name = "replicaset-controller"

    def __init__(self, informers: Informers, *, clock: Clock) -> None:
        self._clock = clock
        self._replicasets = informers.of(REPLICA_SET)
        self._pods = informers.of(POD)
        self._pods.add_index(_BY_OWNER, _owner)
        self._pods.add_index(_BY_PREFIX, _prefix)
        self._pods.add_index(_ORPHANS, _orphan_namespace)
        self._replicasets.add_index("replicaset/namespace", lambda obj: (objects.namespace(obj),))
        self.watches = (
            Watch(REPLICA_SET, own_key),
            Watch(POD, controller_key(REPLICA_SET)),
            Watch(POD, self._possible_adopters),
        )

    def observe(self, key: Key) -> Observed | None:
        replicaset = self._replicasets.get(*key)
        if replicaset is None:
            return None
        namespace, name = key
        owned = self._pods.by_index(_BY_OWNER, objects.uid(replicaset))
        orphans = self._pods.by_index(_ORPHANS, namespace)
        siblings = self._pods.by_index(_BY_PREFIX, f"{namespace}/{name}-")
        taken = frozenset(objects.name(pod) for pod in siblings)
        candidates = sorted((*owned, *orphans), key=objects.name)
        return Observed(replicaset, tuple(candidates), taken)

    async def plan(self, key: Key) -> Plan:
        observed = self.observe(key)
        return plan(observed, now=self._clock.now()) if observed is not None else NOTHING

    def _possible_adopters(self, pod: Object) -> Iterable[Key]:
        if objects.controller_of(pod) is not None:
            return
        for replicaset in self._replicasets.by_index("replicaset/namespace", objects.namespace(pod)):
            selector = selectors.from_object(objects.spec(replicaset).get("selector"))
            if selector.matches(objects.labels(pod)):
                yield objects.namespace(replicaset), objects.name(replicaset)


def _owner(pod: Object) -> Iterable[str]:
    reference = objects.controller_of(pod)
    return (reference["uid"],) if reference is not None else ()


def _prefix(pod: Object) -> Iterable[str]:
    generate = objects.metadata(pod).get("generateName")
    return (f"{objects.namespace(pod)}/{generate}",) if generate else ()


def _orphan_namespace(pod: Object) -> Iterable[str]:
    return (objects.namespace(pod),) if objects.controller_of(pod) is None else ()
