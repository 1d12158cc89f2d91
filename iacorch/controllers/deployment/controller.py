"""The Deployment controller's edge: what it watches and what its plan gets to see. Decisions are in `plan`."""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, POD, REPLICA_SET
from iacorch.api.objects import Object
from iacorch.api.values import selectors
from iacorch.client.informers import Informers
from iacorch.controllers import pods
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.deployment.observed import Observed, same_template
from iacorch.controllers.deployment.plan import plan
from iacorch.controllers.runtime import Watch, controller_key, own_key
from iacorch.kit.clock import Clock

_BY_OWNER = "deployment/owner"
_BY_NAMESPACE = "deployment/namespace"
_PODS_BY_OWNER = "deployment/pod-owner"


class DeploymentController:
    """Implements `runtime.Controller`."""

    name = "deployment-controller"

    def __init__(self, informers: Informers, *, clock: Clock) -> None:
        self._clock = clock
        self._deployments = informers.of(DEPLOYMENT)
        self._replicasets = informers.of(REPLICA_SET)
        self._pods = informers.of(POD)
        self._replicasets.add_index(_BY_NAMESPACE, lambda obj: (objects.namespace(obj),))
        self._replicasets.add_index(_BY_OWNER, _owner)
        self._deployments.add_index(_BY_NAMESPACE, lambda obj: (objects.namespace(obj),))
        self._pods.add_index(_PODS_BY_OWNER, _owner)
        self.watches = (
            Watch(DEPLOYMENT, own_key),
            Watch(REPLICA_SET, controller_key(DEPLOYMENT)),
            Watch(REPLICA_SET, self._possible_adopters),
            Watch(POD, self._recreating),
        )

    def observe(self, key: Key) -> Observed | None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return None
        mine: list[Object] = []
        taken: set[str] = set()
        for replicaset in self._replicasets.by_index(_BY_NAMESPACE, key[0]):
            if objects.is_controlled_by(replicaset, deployment) or objects.controller_of(replicaset) is None:
                mine.append(replicaset)
            if objects.name(replicaset).startswith(f"{key[1]}-"):
                taken.add(objects.name(replicaset))
        return Observed(
            deployment, tuple(sorted(mine, key=objects.name)), self._has_old_pods(deployment, mine), frozenset(taken)
        )

    async def plan(self, key: Key) -> Plan:
        observed = self.observe(key)
        return plan(observed, now=self._clock.now()) if observed is not None else NOTHING

    def _has_old_pods(self, deployment: Object, replicasets: list[Object]) -> bool:
        if not _recreates(deployment):
            return False
        template = objects.spec(deployment).get("template") or {}
        return any(
            not pods.is_over(pod)
            for replicaset in replicasets
            if objects.is_controlled_by(replicaset, deployment)
            and not same_template(objects.spec(replicaset).get("template") or {}, template)
            for pod in self._pods.by_index(_PODS_BY_OWNER, objects.uid(replicaset))
        )

    def _possible_adopters(self, replicaset: Object) -> Iterable[Key]:
        if objects.controller_of(replicaset) is not None:
            return
        for deployment in self._deployments.by_index(_BY_NAMESPACE, objects.namespace(replicaset)):
            selector = selectors.from_object(objects.spec(deployment).get("selector"))
            if selector.matches(objects.labels(replicaset)):
                yield objects.namespace(deployment), objects.name(deployment)

    def _recreating(self, pod: Object) -> Iterable[Key]:
        """Only Recreate waits for pods; everything else hears of them through the ReplicaSet's status."""
        reference = objects.controller_of(pod)
        if reference is None or reference.get("kind") != REPLICA_SET.kind:
            return
        replicaset = self._replicasets.get(objects.namespace(pod), reference["name"])
        owner = objects.controller_of(replicaset) if replicaset is not None else None
        if owner is None or owner.get("kind") != DEPLOYMENT.kind:
            return
        deployment = self._deployments.get(objects.namespace(pod), owner["name"])
        if deployment is not None and _recreates(deployment):
            yield objects.namespace(pod), owner["name"]


def _recreates(deployment: Object) -> bool:
    return (objects.spec(deployment).get("strategy") or {}).get("type") == "Recreate"


def _owner(obj: Object) -> Iterable[str]:
    reference = objects.controller_of(obj)
    return (reference["uid"],) if reference is not None else ()
