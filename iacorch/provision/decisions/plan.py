"""One look at the whole fleet: pools, claims, pods, and what is to be written.

In: `Observed`, everything from the informers and what can be had. Out: a `Plan` for the frame of `controllers.runtime`.
Called by `fleet`. Pure. What it decides itself is only who goes when; how much is wanted is `sizing`'s, what may go is
`disruption`'s.

1. Claims that could not be had are remembered on their class and removed; the next best offer is taken at once.
2. Claims that are interrupted, replaced, or beyond repair are removed. A claim that waits for its replacement is kept,
   and kept for good when the replacement could not be had.
3. Machines for pods that wait, and for pods of machines that are going.
4. Machines that may go (`disrupt`): a replacement is asked for before the claim is marked, the claim is removed when
   the replacement is Ready.
5. What each pool holds and has spent; finalizers of claims whose machine is gone, after their cost was settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.catalogue import MACHINE_CLASS, NODE_CLAIM, NODE_POOL
from iacorch.api.objects import Object
from iacorch.client.recorder import NORMAL, WARNING
from iacorch.controllers.actions import Action, Create, Delete, Patch, Plan, Say, replace_status
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.provision.decisions import disruption, movable, repair
from iacorch.provision.decisions.guard import Guard
from iacorch.provision.decisions.lifecycle import set_condition
from iacorch.provision.decisions.movable import Parsed
from iacorch.provision.decisions.repair import Rung
from iacorch.provision.decisions.sizing import Sizing, Supply, Wanted, size
from iacorch.provision.decisions.virtual import Cluster, Known, build
from iacorch.provision.pools.amounts import Amounts, cpu_text, memory_text, money_text
from iacorch.provision.pools.claim import DISRUPTION, Claim, held, new_claim
from iacorch.provision.pools.money import Refusal, Rent, Spending, month_of, settled
from iacorch.provision.pools.offers import Offer, Refused, kept, refusals_of, remembered, usable
from iacorch.provision.pools.pool import Pool, pool_of
from iacorch.provision.pools.words import Capacity, Condition, PoolCondition
from iacorch.scheduler.pod import PodInfo

_SETTLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Observed:
    """`offers`: by class, what it has; a class that is missing there cannot be asked. `disrupt`: also look for 4."""

    pools: tuple[Object, ...]
    classes: Mapping[str, Object]
    claims: tuple[Claim, ...]
    nodes: Mapping[str, Object]
    pods: tuple[Object, ...]
    offers: Mapping[str, tuple[Offer, ...]]
    budgets: tuple[Object, ...] = ()
    parsed: Parsed = field(default_factory=Parsed)
    disrupt: bool = True


@dataclass(frozen=True, slots=True)
class Decided:
    """`unhelped`: pods that no pool can help, with why; the edge tells each once."""

    plan: Plan
    unhelped: tuple[tuple[PodInfo, str], ...] = ()


def decide(observed: Observed, *, now: datetime) -> Decided:
    return _Decider(observed, now).run()


class _Decider:
    def __init__(self, observed: Observed, now: datetime) -> None:
        self._o, self._now = observed, now
        self._pools = {objects.name(obj): pool_of(obj) for obj in observed.pools}
        self._claims = tuple(sorted(observed.claims, key=lambda claim: claim.name))
        self._refused = {name: refusals_of(obj) for name, obj in observed.classes.items()}
        self._removed: set[str] = set()
        self._spending = {name: self._settled(pool) for name, pool in self._pools.items()}
        self._backoff: dict[str, dict[str, Any]] = {}
        self._known = self._learned()

    def run(self) -> Decided:
        actions: list[Action] = [*self._refusals(), *self._leavers(), *self._released()]
        supplies = {name: self._supply(pool) for name, pool in self._pools.items()}
        sizing = self._sized(supplies)
        actions += self._asked(sizing.wanted)
        if self._o.disrupt:
            actions += self._disrupted(supplies, sizing)
        actions += self._statuses(sizing)
        actions += self._class_statuses()
        words = f"{len(sizing.wanted)} machines to ask for, {len(sizing.unhelped)} pods that none would help"
        return Decided(Plan(tuple(actions), limits.PROVISION_LOOK_SECONDS, words), sizing.unhelped)

    # 1 and 2: what ends

    def _refusals(self) -> Iterator[Action]:
        for claim in self._claims:
            if not claim.failed_to_launch or claim.deleting:
                continue
            known = self._refused.get(claim.class_name)
            if known is not None and not any(r.key == claim.offer.key and r.since >= claim.created for r in known):
                reason, message = claim.reason(Condition.LAUNCHED), claim.message(Condition.LAUNCHED)
                entry = remembered(known, claim.offer.key, reason, message, now=self._now)
                self._refused[claim.class_name] = (*known, entry)
                yield from self._class_status(claim.class_name)
            yield from self._remove(claim, f"{claim.reason(Condition.LAUNCHED)}: {claim.message(Condition.LAUNCHED)}")

    def _leavers(self) -> Iterator[Action]:
        replacing: dict[str, list[Claim]] = {}
        for claim in self._claims:
            if claim.replaces and not claim.deleting and not claim.failed_to_launch:
                replacing.setdefault(claim.replaces, []).append(claim)
        for claim in self._claims:
            if claim.deleting or claim.uid in self._removed:
                continue
            successors = replacing.get(claim.uid, [])
            if claim.has(Condition.INTERRUPTED):
                yield from self._remove(claim, f"Interrupted: {claim.message(Condition.INTERRUPTED)}")
            elif self._is_beyond_repair(claim):
                self._back_off(claim.pool)
                yield from self._remove(claim, f"Repair: {claim.message(Condition.REPAIRING)}")
            elif successors and all(s.has(Condition.READY) for s in successors):
                names = ", ".join(s.name for s in successors)
                yield from self._remove(claim, claim.disruption or f"Replaced: {names} took its place")
            elif claim.disruption and not successors:
                yield self._annotate(claim, None)
                yield Say(claim.obj, NORMAL, "DisruptionCalledOff", "there is no replacement for it")

    def _is_beyond_repair(self, claim: Claim) -> bool:
        """Fenced, or (where removing it is what makes sure) as good as. An owned machine is never taken for off."""
        if not claim.has(Condition.REPAIRING) or claim.reason(Condition.REPAIRING) != Rung.REPLACE:
            return False
        if claim.has(Condition.FENCED):
            return True
        return bool(claim.reason(Condition.FENCED)) and claim.offer.capacity_type != Capacity.OWNED

    def _back_off(self, pool: str) -> None:
        """The next replacement in this pool waits, longer after each."""
        if (found := self._pools.get(pool)) is None or pool in self._backoff:
            return
        before = objects.status(found.obj).get("repair") or {}
        last = objects.moment(before.get("notBefore"))
        forgotten = last is None or self._now - last > timedelta(seconds=limits.REPAIR_BACKOFF_MAX_SECONDS)
        failures = 1 if forgotten else int(before.get("failures") or 0) + 1
        seconds = min(
            limits.REPAIR_BACKOFF_START_SECONDS * 2.0 ** min(failures - 1, 20), limits.REPAIR_BACKOFF_MAX_SECONDS
        )
        self._backoff[pool] = {"failures": failures, "notBefore": rfc3339(self._now + timedelta(seconds=seconds))}

    def _remove(self, claim: Claim, why: str) -> Iterator[Action]:
        self._removed.add(claim.uid)
        if claim.disruption != why:
            yield self._annotate(claim, why)
        yield Delete(NODE_CLAIM, "", claim.name, claim.uid)
        yield Say(claim.obj, NORMAL, "Removing", why)

    def _annotate(self, claim: Claim, why: str | None) -> Patch:
        words = why[: limits.MESSAGE_CHARACTERS] if why is not None else None
        return Patch(NODE_CLAIM, "", claim.name, claim.uid, {"metadata": {"annotations": {DISRUPTION: words}}})

    def _released(self) -> Iterator[Action]:
        """Machines that are gone: their cost is settled first, then their claims may go."""
        gone = [claim for claim in self._claims if claim.terminated is not None and claim.deleting]
        for pool in dict.fromkeys(claim.pool for claim in gone):
            if pool in self._pools:
                yield from self._settle(self._pools[pool])
        for claim in gone:
            finalizers = [name for name in objects.finalizers(claim.obj) if not name.startswith("iacorch.dev/")]
            patch = {"metadata": {"finalizers": finalizers, "resourceVersion": objects.resource_version(claim.obj)}}
            yield Patch(NODE_CLAIM, "", claim.name, claim.uid, patch)

    # 3: what is wanted

    def _supply(self, pool: Pool) -> Supply:
        machine_class, offers = self._o.classes.get(pool.class_name), self._o.offers.get(pool.class_name)
        claims = self._of_pool(pool.name)
        closed = None
        if objects.is_deleting(pool.obj):
            closed = Refusal("Deleting", "it is being deleted")
        elif machine_class is None:
            closed = Refusal("ClassMissing", f"there is no MachineClass {pool.class_name}")
        elif not pool.hours.is_open(self._now):
            closed = Refusal("OfficeHours", "it is closed at this hour")
        elif offers is None:
            closed = Refusal("OffersUnknown", f"it is not known what class {pool.class_name} offers")
        found: tuple[Offer, ...] = ()
        if closed is None:
            matching = [o for o in offers or () if pool.requirements.matches({**o.node_labels, **pool.labels})]
            found = usable(matching, self._refused[pool.class_name], now=self._now)
            if not found:
                words = "none of its offerings meets the requirements"
                if matching:
                    words = "all of its offerings were refused lately: " + ", ".join(
                        sorted({f"{r.key} ({r.reason})" for r in self._refused[pool.class_name]})
                    )
                closed = Refusal("NoOffering", words)
        in_use: dict[tuple[str, str, str], int] = {}
        for claim in self._claims:
            if claim.class_name == pool.class_name and claim.terminated is None:
                in_use[claim.offer.key] = in_use.get(claim.offer.key, 0) + 1
        return Supply(
            pool=pool,
            offers=found,
            held=held(claims),
            spending=self._spending[pool.name],
            closed=closed,
            hash=pool.hash(objects.spec(machine_class)) if machine_class is not None else "",
            in_use=in_use,
        )

    def _staying(self) -> tuple[Claim, ...]:
        """Claims as they will be after what was decided above."""
        return tuple(replace(c, deleting=True) if c.uid in self._removed else c for c in self._claims)

    def _cluster(self, *, with_coming: bool) -> tuple[Cluster, list[PodInfo]]:
        """The cluster as it will be, and the pods that need a place: those that wait, and those that must leave."""
        claims = self._staying()
        leaving = {c.node_name for c in claims if c.deleting or c.has(Condition.INTERRUPTED)}
        placed: list[tuple[PodInfo, str]] = []
        waiting: list[PodInfo] = []
        for pod in self._o.pods:
            node = objects.spec(pod).get("nodeName")
            if not node:
                if movable.waits(pod):
                    waiting.append(self._o.parsed.of(pod))
            elif node not in leaving:
                if not movable.is_over(pod):
                    placed.append((self._o.parsed.of(pod), node))
            elif movable.would_move(pod) and objects.controller_of(pod) is not None:
                waiting.append(self._o.parsed.of(pod))
        if not with_coming:
            claims = tuple(c for c in claims if c.has(Condition.INITIALIZED))
        coming = {c.node_name for c in self._claims} - {c.node_name for c in claims}
        nodes = [node for name, node in self._o.nodes.items() if name not in coming]
        cluster = build(nodes, placed, claims, daemons=movable.daemons(self._o.pods), known=self._known)
        return cluster, waiting

    def _sized(self, supplies: Mapping[str, Supply]) -> Sizing:
        if not any(movable.waits(pod) for pod in self._o.pods) and not self._any_leaving():
            return Sizing()
        cluster, waiting = self._cluster(with_coming=True)
        taken = [claim.name for claim in self._claims]
        # a Node that is nobody's claim has its name, too
        return size(
            cluster, waiting, list(supplies.values()), taken=[*taken, *self._o.nodes], now=self._now, known=self._known
        )

    def _any_leaving(self) -> bool:
        return any(claim.deleting for claim in self._staying())

    def _asked(self, wanted: Iterable[Wanted], *, replaces: str = "") -> Iterator[Action]:
        for each in wanted:
            yield Create(
                NODE_CLAIM,
                new_claim(each.pool, each.offer, each.name, hash_=each.hash, requests=each.requests, replaces=replaces),
            )
            yield Say(each.pool.obj, NORMAL, "Launching", f"{each.name} {each.why}")

    # 4: what may go

    def _disrupted(self, supplies: Mapping[str, Supply], sizing: Sizing) -> Iterator[Action]:
        cluster, waiting = self._cluster(with_coming=False)
        size(cluster, waiting, (), taken=(), now=self._now)
        pods: dict[str, list[PodInfo]] = {}
        for pod in self._o.pods:
            node = objects.spec(pod).get("nodeName")
            if node and movable.would_move(pod):
                pods.setdefault(node, []).append(self._o.parsed.of(pod))
        more = {name: _held_by(sizing.wanted, name) for name in supplies}
        fleet = disruption.Fleet(
            claims=self._staying(),
            supplies={name: replace(supply, held=supply.held + more[name]) for name, supply in supplies.items()},
            nodes=self._o.nodes,
            pods={node: tuple(found) for node, found in pods.items()},
            cluster=cluster,
            guard=Guard(self._o.budgets),
            taken=frozenset([*(w.name for w in sizing.wanted), *self._o.nodes]),
            known=self._known,
        )
        for decision in disruption.plan(fleet, now=self._now):
            if not decision.wanted:
                yield from self._remove(decision.claim, str(decision))
                continue
            # The replacement says what it replaces: if we are cut off here, nothing is forgotten.
            yield from self._asked(decision.wanted, replaces=decision.claim.uid)
            yield self._annotate(decision.claim, str(decision))
            yield Say(decision.claim.obj, NORMAL, "Disrupting", str(decision))

    # 5: what is so

    def _statuses(self, sizing: Sizing) -> Iterator[Action]:
        for name, pool in self._pools.items():
            status = self._status(pool, sizing)
            yield from replace_status(NODE_POOL, pool.obj, status)
            before = objects.condition(pool.obj, PoolCondition.REPAIRS_STOPPED) or {}
            stopped = objects.condition({"status": status}, PoolCondition.REPAIRS_STOPPED) or {}
            if stopped.get("status") == "True" and before.get("status") != "True":
                yield Say(pool.obj, WARNING, "RepairsStopped", f"{name}: {stopped['message']}")

    def _status(self, pool: Pool, sizing: Sizing) -> dict[str, Any]:
        claims = self._of_pool(pool.name)
        total = held(claims)
        closed = self._supply(pool).closed
        conditions = objects.conditions(pool.obj)

        def tell(type_: PoolCondition, good: bool, reason: str, message: str) -> None:
            nonlocal conditions
            status = "True" if good else "False"
            conditions = set_condition(conditions, type_, status, reason, message, now=self._now)

        broken = closed if closed is not None and closed.reason in ("ClassMissing", "OffersUnknown") else None
        tell(
            PoolCondition.READY, broken is None, broken.reason if broken else "Ready", broken.message if broken else ""
        )
        is_open = pool.hours.is_open(self._now)
        tell(
            PoolCondition.OPEN, is_open, "Open" if is_open else "OfficeHours", "" if is_open else "closed at this hour"
        )
        hindered = sizing.cannot_grow.get(pool.name)
        if hindered is None or broken is not None or not is_open:
            hindered = closed if closed is not None and closed.reason == "NoOffering" else None
        tell(
            PoolCondition.CAN_GROW,
            hindered is None,
            hindered.reason if hindered else "CanGrow",
            hindered.message if hindered else "",
        )
        settled_ones = [c for c in claims if c.has(Condition.INITIALIZED) and not c.deleting]
        unhealthy = [c for c in settled_ones if not c.has(Condition.READY)]
        stopped = repair.too_many(pool.repair, repair.Ward(len(settled_ones), len(unhealthy)))
        words = f"{len(unhealthy)} of {len(settled_ones)} machines are unhealthy at once: only gentle repairs are tried"
        tell(
            PoolCondition.REPAIRS_STOPPED,
            stopped,
            "TooManyUnhealthy" if stopped else "AsUsual",
            words if stopped else "",
        )
        status = {
            **objects.status(pool.obj),
            "observedGeneration": objects.generation(pool.obj),
            "machines": total.machines,
            "ready": sum(c.has(Condition.READY) for c in claims),
            "resources": {"cpu": cpu_text(total.cpu), "memory": memory_text(total.memory)},
            "moneyPerHour": money_text(total.money),
            "conditions": conditions,
        }
        if self._is_due(pool):
            status["spending"] = _spending_spec(self._spending[pool.name])
        if pool.name in self._backoff:
            status["repair"] = self._backoff[pool.name]
        return status

    def _settle(self, pool: Pool) -> tuple[Action, ...]:
        status = {**objects.status(pool.obj), "spending": _spending_spec(self._spending[pool.name])}
        if pool.name in self._backoff:
            status["repair"] = self._backoff[pool.name]
        found = replace_status(NODE_POOL, pool.obj, status)
        # the version is used up: what else there is to say of the pool is said in the next look
        self._pools = {name: other for name, other in self._pools.items() if name != pool.name}
        return found

    def _settled(self, pool: Pool) -> Spending:
        whole = self._now.replace(microsecond=0)
        rents = [Rent(c.offer.price, c.created, c.terminated) for c in self._of_pool(pool.name)]
        return settled(pool.spending, rents, now=whole)

    def _is_due(self, pool: Pool) -> bool:
        spending = pool.spending
        return (
            spending is None
            or spending.month != month_of(self._now)
            or (self._now - spending.as_of).total_seconds() >= _SETTLE_SECONDS
        )

    def _class_statuses(self) -> Iterator[Action]:
        for name, obj in sorted(self._o.classes.items()):
            count = len(self._o.offers.get(name, ()))
            written = refusals_of(obj)
            if self._refused[name] != written:
                continue  # it was written above
            if count != int(objects.status(obj).get("offerings") or 0) or kept(written, now=self._now) != written:
                yield from self._class_status(name)

    def _class_status(self, name: str) -> tuple[Action, ...]:
        obj = self._o.classes[name]
        entries: Sequence[Refused] = kept(self._refused[name], now=self._now)
        status = {
            **objects.status(obj),
            "offerings": len(self._o.offers.get(name, ())),
            "refused": [entry.spec() for entry in entries],
        }
        return replace_status(MACHINE_CLASS, obj, status)

    def _of_pool(self, name: str) -> list[Claim]:
        return [claim for claim in self._claims if claim.pool == name]

    def _learned(self) -> Known:
        """What real nodes of each class and type have for pods."""
        known: dict[tuple[str, str], Mapping[str, str]] = {}
        for claim in self._claims:
            node = self._o.nodes.get(claim.node_name)
            allocatable = objects.status(node or {}).get("allocatable")
            if allocatable and claim.has(Condition.INITIALIZED):
                known[claim.class_name, claim.offer.machine_type] = allocatable
        return known


def _held_by(wanted: Iterable[Wanted], pool: str) -> Amounts:
    total = Amounts()
    for each in wanted:
        if each.pool.name == pool:
            total = total + each.offer_amounts
    return total


def _spending_spec(spending: Spending) -> dict[str, Any]:
    return {"month": spending.month, "money": money_text(spending.micros), "asOf": rfc3339(spending.as_of)}
