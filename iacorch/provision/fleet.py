"""The fleet's edge: one key, looked at when something changes and now and then anyway.

In: pools, classes, claims, nodes, pods and disruption budgets from informers; offers from the makers of machines. Out:
claims made and removed, statuses of pools and classes, Events. A `Controller` in the frame of `controllers.runtime`; it
decides nothing, `plan` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.client.recorder import WARNING
from iacorch.controllers.actions import Key, Plan, Say
from iacorch.controllers.runtime import Watch
from iacorch.errors import IacorchError
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.provision.decisions.movable import Parsed
from iacorch.provision.decisions.plan import Observed, decide
from iacorch.provision.machines.contract import Machines
from iacorch.provision.pools.claim import claim_of
from iacorch.provision.pools.offers import Offer

log = structlog.get_logger(__name__)
FLEET: Key = ("", "fleet")
DISRUPTION_BUDGET = catalogue.builtin().by_kind("policy/v1", "PodDisruptionBudget")


@dataclass(frozen=True, slots=True)
class _Known:
    """Offers of a class as it was at `generation`, asked for at `asked` (monotonic)."""

    generation: int
    asked: float
    offers: tuple[Offer, ...]


class FleetController:
    """Implements `Controller`."""

    name = "fleet"

    def __init__(
        self, informers: Informers, machines: Machines, *, clock: Clock, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._informers, self._machines, self._clock, self._leads = informers, machines, clock, leads
        self._offers: dict[str, _Known] = {}
        self._parsed = Parsed()
        self._told: dict[str, str] = {}
        self._looked = self._disrupted = float("-inf")
        kinds = [NODE_POOL, MACHINE_CLASS, NODE_CLAIM]
        watches = [Watch(kind, _fleet) for kind in kinds]
        watches += [Watch(NODE, _fleet, matters=_node_matters), Watch(POD, _fleet, matters=_pod_matters)]
        if DISRUPTION_BUDGET is not None:
            watches.append(Watch(DISRUPTION_BUDGET, _fleet, matters=lambda old, new: False))
        self.watches: tuple[Watch, ...] = tuple(watches)

    async def plan(self, key: Key) -> Plan:
        """At most one decision a second: what arrives together is decided together."""
        if not self._leads():
            return Plan(again_seconds=limits.LEADER_RENEW_SECONDS, why="another provisioner decides")
        wait = self._looked + limits.PROVISION_BATCH_SECONDS - self._clock.monotonic()
        if wait > 0:
            return Plan(again_seconds=wait, why="batch")
        classes = {objects.name(obj): obj for obj in self._informers.of(MACHINE_CLASS).items()}
        await self._refresh(classes)
        began = self._looked = self._clock.monotonic()
        disrupt = began - self._disrupted >= limits.PROVISION_LOOK_SECONDS
        if disrupt:
            self._disrupted = began
        pods = tuple(self._informers.of(POD).items())
        budgets = tuple(self._informers.of(DISRUPTION_BUDGET).items()) if DISRUPTION_BUDGET is not None else ()
        observed = Observed(
            pools=tuple(sorted(self._informers.of(NODE_POOL).items(), key=objects.name)),
            classes=classes,
            claims=tuple(claim_of(obj) for obj in self._informers.of(NODE_CLAIM).items()),
            nodes={objects.name(node): node for node in self._informers.of(NODE).items()},
            pods=tuple(sorted(pods, key=objects.key)),
            offers={name: known.offers for name, known in self._offers.items() if name in classes},
            budgets=budgets,
            parsed=self._parsed,
            disrupt=disrupt,
        )
        decided = decide(observed, now=self._clock.now())
        self._parsed.keep(pods)
        words = {info.uid: (info.pod, why) for info, why in decided.unhelped}
        fresh = [Say(pod, WARNING, "NoMachine", why) for uid, (pod, why) in words.items() if self._told.get(uid) != why]
        self._told = {uid: why for uid, (_, why) in words.items()}
        return replace(decided.plan, actions=(*decided.plan.actions, *fresh[: limits.ACTIONS_PER_PASS]))

    async def _refresh(self, classes: dict[str, Object]) -> None:
        """Ask what can be had where that is not known, or not any more. What was known stands while nobody answers."""
        now = self._clock.monotonic()
        for name, obj in classes.items():
            known = self._offers.get(name)
            generation = objects.generation(obj)
            fresh = known is not None and now - known.asked < limits.OFFERS_FRESH_SECONDS
            if fresh and known is not None and known.generation == generation:
                continue
            try:
                async with asyncio.timeout(limits.CLOUD_CALL_SECONDS):
                    offers = await self._machines.offers(obj)
            except (IacorchError, TimeoutError) as error:
                log.warning("offers are not known", machine_class=name, error=str(error))
                if known is not None:
                    self._offers[name] = replace(known, asked=now - limits.OFFERS_FRESH_SECONDS / 2)
                continue
            self._offers[name] = _Known(generation, now, offers)


def _fleet(obj: Object) -> Iterable[Key]:
    return (FLEET,)


def _node_matters(old: Object | None, new: Object | None) -> bool:
    def seen(node: Object) -> tuple[object, ...]:
        ready = objects.condition(node, "Ready") or {}
        status = objects.status(node)
        return (ready.get("status"), objects.labels(node), objects.spec(node), status.get("allocatable"))

    return old is None or new is None or seen(old) != seen(new)


def _pod_matters(old: Object | None, new: Object | None) -> bool:
    def seen(pod: Object) -> tuple[object, ...]:
        scheduled = objects.condition(pod, "PodScheduled") or {}
        status = objects.status(pod)
        return (
            objects.spec(pod).get("nodeName"),
            status.get("phase"),
            scheduled.get("reason"),
            objects.is_deleting(pod),
            status.get("nominatedNodeName"),
        )

    return old is None or new is None or seen(old) != seen(new)
