"""The DriftPolicy controller's edge: keys are policies. Decisions are in `plan`."""

from __future__ import annotations

from iacorch.api.catalogue import DRIFT_POLICY
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.driftpolicy.plan import plan
from iacorch.controllers.runtime import Watch, own_key
from iacorch.kit.clock import Clock


class DriftPolicyController:
    """Implements `runtime.Controller`."""

    name = "driftpolicy-controller"
    watches = (Watch(DRIFT_POLICY, own_key),)

    def __init__(self, informers: Informers, *, clock: Clock) -> None:
        self._policies, self._clock = informers.of(DRIFT_POLICY), clock

    async def plan(self, key: Key) -> Plan:
        policy = self._policies.get(*key)
        return NOTHING if policy is None else plan(policy, now=self._clock.now())
