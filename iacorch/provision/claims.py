"""Each claim's edge: sees what is so, takes one step, starts work, writes the status.

In: claims, nodes and pods from informers, what `operations` knows, what a machine's driver last said. Out: the claim's
status, labels and taints of its node, long work. A `Controller` in the frame of `controllers.runtime`; decisions are in
`lifecycle` and `repair`. It never creates or deletes claims: `fleet` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers.actions import NOTHING, Key, Plan, replace_status
from iacorch.controllers.runtime import Watch, own_key
from iacorch.errors import IacorchError
from iacorch.infra.bootstrap import marks
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.provision.decisions import movable
from iacorch.provision.decisions.lifecycle import Seen, Work, step
from iacorch.provision.decisions.repair import Power, Ward
from iacorch.provision.machines.contract import Order, View
from iacorch.provision.machines.operations import Operations
from iacorch.provision.pools.claim import Claim, claim_of
from iacorch.provision.pools.pool import Pool, pool_of
from iacorch.provision.pools.words import POOL_LABEL, Condition

log = structlog.get_logger(__name__)


class ClaimController:
    """Implements `Controller`; `look` is a loop beside it. `holder` names this provisioner, which takes on claims that
    nobody holds while it `leads`."""

    name = "nodeclaim"

    def __init__(
        self,
        informers: Informers,
        operations: Operations,
        *,
        clock: Clock,
        holder: str,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._claims, self._nodes, self._pods = informers.of(NODE_CLAIM), informers.of(NODE), informers.of(POD)
        self._pools, self._classes = informers.of(NODE_POOL), informers.of(MACHINE_CLASS)
        self._operations, self._clock, self._holder, self._leads = operations, clock, holder, leads
        self._views: dict[str, View] = {}
        self._expected: dict[str, Object] = {}
        movable.index(self._pods)
        self._claims.add_index("uid", lambda obj: (objects.uid(obj),))
        self._claims.add_index("pool", lambda obj: (objects.labels(obj).get(POOL_LABEL, ""),))
        self.watches: tuple[Watch, ...] = (
            Watch(NODE_CLAIM, own_key),
            Watch(NODE, own_key, matters=_node_matters),
            Watch(POD, _node_key, matters=_pod_matters),
            Watch(NODE_POOL, self._claims_of_pool, matters=_spec_changed),
        )

    def key_of(self, uid: str) -> Key | None:
        found = self._claims.by_index("uid", uid)
        return ("", objects.name(found[0])) if found else None

    def _claims_of_pool(self, pool: Object) -> Iterable[Key]:
        return [("", objects.name(obj)) for obj in self._claims.by_index("pool", objects.name(pool))]

    async def plan(self, key: Key) -> Plan:
        obj = self._claims.get(*key)
        if obj is None:
            return NOTHING
        claim = claim_of(obj)
        if not objects.status(obj).get("heldBy") and not self._leads():
            return Plan(again_seconds=limits.LEADER_RENEW_SECONDS, why="another provisioner takes it on")
        if self._expected.get(claim.uid) == objects.status(obj):
            # What the last step wrote is there, so the outcome it was made of has been taken over.
            self._operations.taken(claim.uid)
        self._expected.pop(claim.uid, None)
        if claim.terminated is not None:
            self._operations.forget(claim.uid)
            self._views.pop(claim.uid, None)
        taken = step(claim, self._seen(claim), holder=self._holder, now=self._clock.now())
        order = self._order(claim)
        if taken.work is not None and order is not None:
            self._operations.start(order, taken.work)
        if taken.taken:
            self._expected[claim.uid] = taken.status
        actions = (*replace_status(NODE_CLAIM, obj, taken.status), *taken.actions)
        if taken.taken and not actions:
            self._operations.taken(claim.uid)
        return Plan(actions, again_seconds=taken.again_seconds, why=taken.why)

    def _seen(self, claim: Claim) -> Seen:
        running, progress = self._operations.running(claim.uid)
        view = self._views.get(claim.uid, View())
        pool = self._pool(claim.pool)
        machine_class = self._classes.get("", claim.class_name)
        return Seen(
            node=self._nodes.get("", claim.node_name),
            pods=len(movable.on_node(self._pods, claim.node_name)),
            running=running,
            progress=progress,
            outcome=self._operations.outcome(claim.uid),
            power=view.power,
            interruption=view.interruption,
            pool=pool,
            wanted_hash=pool.hash(objects.spec(machine_class)) if pool is not None and machine_class else "",
            ward=self._ward(claim, pool),
        )

    def _ward(self, claim: Claim, pool: Pool | None) -> Ward:
        """Of the claims whose nodes were Ready once."""
        others = [claim_of(obj) for obj in self._claims.by_index("pool", claim.pool)]
        settled = [c for c in others if c.has(Condition.INITIALIZED) and not c.deleting]
        unhealthy = [c for c in settled if not objects.condition_is(self._nodes.get("", c.node_name) or {}, "Ready")]
        on_ladder = [c for c in others if c.uid != claim.uid and c.has(Condition.REPAIRING)]
        status = (objects.status(pool.obj).get("repair") or {}) if pool is not None else {}
        updating = [c for c in others if c.uid != claim.uid and self._operations.running(c.uid)[0] is Work.UPDATE]
        before = objects.moment(status.get("notBefore"))
        return Ward(len(settled), len(unhealthy), len(on_ladder), before, len(updating))

    def _pool(self, name: str) -> Pool | None:
        obj = self._pools.get("", name)
        return pool_of(obj) if obj is not None else None

    def _order(self, claim: Claim) -> Order | None:
        machine_class = self._classes.get("", claim.class_name)
        if machine_class is None:
            known = [order for order in self._operations.journal.read() if order.uid == claim.uid]
            return known[0] if known else None
        return Order(
            uid=claim.uid,
            name=claim.name,
            pool=claim.pool,
            machine_class=machine_class,
            offer=claim.offer,
            labels={**claim.labels, POOL_LABEL: claim.pool},
            taints=claim.taints,
            node_name=claim.node_name,
            machine_id=str(objects.status(claim.obj).get("machineID") or ""),
            build=marks.wanted_by(claim.wish),
        )

    async def look(self) -> list[Key]:
        """One question for each class; the keys of claims whose machine is another than before.

        Errors say nothing about a machine: it stays as it was seen last, and its power is not known.
        """
        claims = [claim_of(obj) for obj in self._claims.items()]
        for uid in self._views.keys() - {claim.uid for claim in claims}:
            del self._views[uid]
        asked = [claim for claim in claims if claim.launched is not None and not claim.deleting]
        surveys: dict[str, Mapping[str, View] | None] = {}
        for name in sorted({claim.class_name for claim in asked}):
            machine_class = self._classes.get("", name)
            if machine_class is not None:
                surveys[name] = await _answered(self._operations.machines.survey(machine_class), name)
        return [("", claim.name) for claim in asked if await self._is_changed(claim, surveys.get(claim.class_name))]

    async def _is_changed(self, claim: Claim, survey: Mapping[str, View] | None) -> bool:
        order = self._order(claim)
        if order is None or self._operations.running(claim.uid)[0] is not None:
            return False  # what is seen of a machine that is being changed says nothing
        before = self._views.get(claim.uid, View())
        view = survey.get(claim.uid) if survey is not None else replace(before, power=Power.UNKNOWN)
        if view is None:
            view = await _answered(self._operations.machines.look(order), claim.name)
        if view is None or self._operations.running(claim.uid)[0] is not None:
            return False
        self._views[claim.uid] = view
        return before != view


T = TypeVar("T")


async def _answered(asking: Awaitable[T], about: str) -> T | None:
    """The answer of a driver, or None when there is none."""
    try:
        async with asyncio.timeout(limits.CLOUD_CALL_SECONDS):
            return await asking
    except (IacorchError, TimeoutError) as error:
        log.info("machines not seen", about=about, error=str(error))
        return None


def _node_key(pod: Object) -> Iterable[Key]:
    node = objects.spec(pod).get("nodeName")
    return (("", node),) if node else ()


def _node_matters(old: Object | None, new: Object | None) -> bool:
    def seen(node: Object) -> tuple[object, ...]:
        ready = objects.condition(node, "Ready") or {}
        return (ready.get("status"), objects.labels(node), objects.spec(node), "allocatable" in objects.status(node))

    return old is None or new is None or seen(old) != seen(new)


def _pod_matters(old: Object | None, new: Object | None) -> bool:
    """Whether a pod came to a node, left it, or ended there."""

    def seen(pod: Object) -> tuple[object, ...]:
        return (objects.spec(pod).get("nodeName"), objects.status(pod).get("phase"), objects.is_deleting(pod))

    return old is None or new is None or seen(old) != seen(new)


def _spec_changed(old: Object | None, new: Object | None) -> bool:
    return (
        old is None
        or new is None
        or objects.spec(old) != objects.spec(new)
        or (objects.status(old).get("repair") != objects.status(new).get("repair"))
    )
