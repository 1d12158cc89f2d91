"""The node life cycle's edge: listens to leases, ticks, and asks `silence` and `plan` what to make of it.

Beside the frame's queue it has a loop of its own, `listen`, because silence is the absence of events. Started by
`controllers.run`. What agents' clocks say is never read: a renewal counts from the moment it is heard here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import LEASE, NODE, POD
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers import pods
from iacorch.controllers.actions import NOTHING, Key, Plan
from iacorch.controllers.node.plan import LOST_REASON, Observed, plan
from iacorch.controllers.node.silence import Hearing, Patience, Silence, Verdict
from iacorch.controllers.runtime import Watch, own_key
from iacorch.kit.clock import Clock

LEASE_NAMESPACE = "kube-node-lease"
_BY_NODE = "node/pods"

log = structlog.get_logger(__name__)


class NodeController:
    """Implements `runtime.Controller`. `listen` must run beside it."""

    name = "node-controller"

    def __init__(self, informers: Informers, *, clock: Clock, patience: Patience | None = None) -> None:
        self._clock = clock
        self._patience = patience or Patience()
        self._silence = Silence(self._patience)
        self._hearing = Hearing({}, 0, 0)
        self._informers = informers
        self._nodes = informers.of(NODE)
        self._pods = informers.of(POD)
        self._pods.add_index(_BY_NODE, lambda pod: (pods.node_name(pod),))
        informers.of(LEASE).on_change(self._lease_changed)
        self._nodes.on_change(self._node_changed)
        self.watches = (Watch(NODE, own_key), Watch(POD, _node_key))

    def observe(self, key: Key) -> Observed | None:
        node = self._nodes.get(*key)
        if node is None:
            return None
        # A node that was heard since the last tick is not to be overruled by an old verdict.
        silent = self._silence.is_silent(key[1])
        return Observed(
            node,
            self._hearing.verdicts.get(key[1], Verdict.HEARD) if silent else Verdict.HEARD,
            tuple(sorted(self._pods.by_index(_BY_NODE, key[1]), key=objects.key)),
            self._hearing.suspect,
            self._hearing.fleet,
        )

    async def plan(self, key: Key) -> Plan:
        observed = self.observe(key)
        return plan(observed, now=self._clock.now()) if observed is not None else NOTHING

    async def listen(self, enqueue: Callable[[Key], None]) -> None:
        """For ever: tick, judge, and enqueue the nodes whose verdict changed."""
        await self._informers.synced()
        while True:
            self._silence.tick(self._clock.monotonic())
            before = self._hearing
            self._hearing = self._silence.judge(objects.name(node) for node in self._nodes.items())
            for node, verdict in self._hearing.verdicts.items():
                was = before.verdicts.get(node, Verdict.HEARD)
                if verdict is not was:
                    log.info("node", node=node, verdict=str(verdict), was=str(was), suspect=self._hearing.suspect)
                    enqueue(("", node))
            await self._clock.sleep(self._patience.tick_seconds)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """Only an agent takes back the Ready=Unknown that was written here, so it was heard. A node that is found with
        it was lost to the controller before this one."""
        if new is None:
            return
        before, after = objects.condition(old, "Ready") if old else None, objects.condition(new, "Ready")
        if old is None and after and (after.get("status"), after.get("reason")) == ("Unknown", LOST_REASON):
            self._silence.remember_lost(objects.name(new))
        if before and after and before.get("status") == "Unknown" and after.get("status") != "Unknown":
            self._silence.heard(objects.name(new))

    def _lease_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and objects.namespace(new) == LEASE_NAMESPACE:
            if old is None:
                self._silence.appeared(objects.name(new))
            else:
                self._silence.heard(objects.name(new))


def _node_key(pod: Object) -> Iterable[Key]:
    if node := pods.node_name(pod):
        yield "", node
