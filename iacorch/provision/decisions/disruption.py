"""Which machines are to go, or to make way for a better one, without anybody having asked for it.

In: `Fleet`, the whole picture. Out: `Decision`s, each with its reason in words. Called by `fleet` after sizing. Pure.

| reason        | when                                                   | its pods                                  |
|---------------|--------------------------------------------------------|-------------------------------------------|
| OfficeHours   | the pool is closed                                     | wait, or go where there is room           |
| OverLimit     | the pool costs more than its money limits              | wait, or go where there is room           |
| Expired       | older than `expireAfter`                               | a replacement first, where limits allow   |
| Drifted       | its pool or class asks for something else by now       | the same                                  |
| Empty         | nothing but daemons on it for `consolidateAfter`       | none                                      |
| Underutilized | its pods fit elsewhere, or on one cheaper machine, and | all have a place before anything moves    |
|               | that is worth the disruption                           |                                           |

A move is worth it when the share of the pool's money that it saves is at least half the share of the pool's pods that
it disturbs. Budgets bound how many machines of a pool are disrupted at one time, whatever the cause: those that are
going or are not healthy count. The first two reasons obey only budgets that name them: a limit of money is a limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from iacorch.api.objects import Object
from iacorch.kit import limits
from iacorch.provision.decisions.guard import Guard
from iacorch.provision.decisions.sizing import Supply, Wanted, size
from iacorch.provision.decisions.virtual import Cluster, Known
from iacorch.provision.pools.amounts import Amounts, money_text
from iacorch.provision.pools.claim import Claim, held
from iacorch.provision.pools.money import over_money
from iacorch.provision.pools.pool import NEVER, WHEN_UNDERUSED, Pool
from iacorch.provision.pools.words import Capacity, Condition, Reason
from iacorch.scheduler.plan import Placement
from iacorch.scheduler.plan import plan as schedule
from iacorch.scheduler.pod import PodInfo

FIRM: Final = frozenset({Reason.OFFICE_HOURS, Reason.OVER_LIMIT})


@dataclass(frozen=True, slots=True)
class Decision:
    """`claim` is to go for `reason`; where `wanted` is not empty, once those are Ready."""

    claim: Claim
    reason: Reason
    why: str
    wanted: tuple[Wanted, ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}: {self.why}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """`cluster` has no machines that are on their way; it is changed. `pods`: by node, what would have to move."""

    claims: tuple[Claim, ...]
    supplies: Mapping[str, Supply]
    nodes: Mapping[str, Object]
    pods: Mapping[str, tuple[PodInfo, ...]]
    cluster: Cluster
    guard: Guard
    taken: frozenset[str] = frozenset()
    known: Known = field(default_factory=dict)


def plan(fleet: Fleet, *, now: datetime) -> tuple[Decision, ...]:
    """The same fleet gives the same decisions, in the same order."""
    return tuple(_Planner(fleet, now).run())


class _Planner:
    def __init__(self, fleet: Fleet, now: datetime) -> None:
        self._fleet, self._now = fleet, now
        self._snapshot = fleet.cluster.snapshot
        self._by_pool: dict[str, list[Claim]] = {}
        for claim in fleet.claims:
            self._by_pool.setdefault(claim.pool, []).append(claim)
        self._disrupted = Counter(c.pool for c in fleet.claims if c.is_going or c.is_updating or self._is_unhealthy(c))
        self._decided: set[str] = set()
        self._received: set[str] = set()
        self._promises: dict[str, Amounts] = {}
        self._taken = set(fleet.taken) | {claim.name for claim in fleet.claims}
        self._pods_of_pool = Counter({n: sum(len(self._pods(c)) for c in cs) for n, cs in self._by_pool.items()})
        self._worth = {name: held(claims).worth for name, claims in self._by_pool.items()}

    def run(self) -> Iterator[Decision]:
        yield from self._closed()
        yield from self._over_limit()
        yield from self._outdated(Reason.EXPIRED, Condition.EXPIRED)
        yield from self._outdated(Reason.DRIFTED, Condition.DRIFTED)
        yield from self._empty()
        yield from self._underutilized()

    # The reasons

    def _closed(self) -> Iterator[Decision]:
        for name, claims in sorted(self._by_pool.items()):
            pool = self._pool(name)
            if pool is not None and not pool.hours.is_open(self._now):
                for claim in self._by_burden(claims):
                    if self._takes(claim, Reason.OFFICE_HOURS):
                        yield self._remove(claim, Reason.OFFICE_HOURS, f"pool {name} is closed at this hour")

    def _over_limit(self) -> Iterator[Decision]:
        for name, claims in sorted(self._by_pool.items()):
            supply = self._fleet.supplies.get(name)
            if supply is None:
                continue
            left = held([claim for claim in claims if not claim.is_going and claim.uid not in self._decided])
            for claim in self._by_burden(claims):
                found = over_money(supply.pool.limits, left, supply.spending, now=self._now)
                if found is None:
                    break
                if claim.offer.price and self._takes(claim, Reason.OVER_LIMIT):
                    left = left - claim.amounts
                    yield self._remove(claim, Reason.OVER_LIMIT, f"{found.reason}: {found.message}")

    def _outdated(self, reason: Reason, condition: Condition) -> Iterator[Decision]:
        for claim in sorted(self._fleet.claims, key=lambda c: (c.created, c.name)):
            if claim.has(condition) and self._takes(claim, reason) and not self._blocked(claim):
                yield self._make_way(claim, reason, claim.message(condition) or f"the machine is {condition.lower()}")

    def _empty(self) -> Iterator[Decision]:
        for claim in sorted(self._fleet.claims, key=lambda c: (-c.offer.price, c.name)):
            pool = self._pool(claim.pool)
            if pool is None or pool.consolidation == NEVER or claim.node_name in self._received:
                continue
            if self._pods(claim) or not self._long_enough(claim, Condition.EMPTY, pool):
                continue
            if self._takes(claim, Reason.EMPTY) and not self._blocked(claim):
                seconds = pool.consolidate_after_seconds or 0
                yield self._remove(claim, Reason.EMPTY, f"nothing but daemons has run on it for {seconds:g} s")

    def _underutilized(self) -> Iterator[Decision]:
        tried = 0
        for claim in self._candidates():
            if tried == limits.CONSOLIDATION_CANDIDATES:
                return
            if not self._takes(claim, Reason.UNDERUTILIZED) or claim.node_name in self._received:
                continue
            tried += 1
            if not self._blocked(claim) and (decision := self._consolidated(claim)) is not None:
                yield decision

    def _candidates(self) -> list[Claim]:
        """Those that save most for each pod that moves come first."""
        found = []
        for claim in self._fleet.claims:
            pool = self._pool(claim.pool)
            if (
                pool is not None
                and pool.consolidation == WHEN_UNDERUSED
                and claim.offer.capacity_type != Capacity.OWNED
                and self._pods(claim)
                and self._long_enough(claim, Condition.READY, pool)
            ):
                found.append(claim)
        return sorted(found, key=lambda c: (-c.amounts.worth / (1 + len(self._pods(c))), c.name))

    def _consolidated(self, claim: Claim) -> Decision | None:
        pods = self._pods(claim)
        if not self._is_worth(claim, claim.amounts):
            return None  # not even taking it away for nothing would be
        trial = _Trial(self._fleet.cluster, claim.node_name, pods)
        left = trial.rehome()
        if not left:
            self._accept(claim, trial)
            words = f"its {len(pods)} pods fit on other machines; saves {_saving(claim.amounts)}"
            return self._remove(claim, Reason.UNDERUTILIZED, words)
        wanted = self._cheaper(claim, left, trial)
        if wanted is None or not self._is_worth(claim, claim.amounts - wanted.offer_amounts):
            trial.undo()
            return None
        self._accept(claim, trial)
        self._taken.add(wanted.name)
        saved = claim.amounts - wanted.offer_amounts
        words = f"its {len(pods)} pods fit on {wanted.offer} and machines that are there; saves {_saving(saved)}"
        return self._decide(Decision(claim, Reason.UNDERUTILIZED, words, (wanted,)))

    def _cheaper(self, claim: Claim, left: Sequence[PodInfo], trial: _Trial) -> Wanted | None:
        """One machine for what fits nowhere else, that costs clearly less."""
        bound = claim.offer.price * (100 - limits.CONSOLIDATION_SAVING_PERCENT) // 100
        supplies = [
            replace(
                self._less_decided(supply),
                offers=tuple(o for o in supply.offers if o.price < claim.offer.price and o.price <= bound),
            )
            for supply in self._fleet.supplies.values()
        ]
        if not any(supply.offers for supply in supplies):
            return None
        sizing = size(self._fleet.cluster, left, supplies, taken=self._taken, now=self._now, known=self._fleet.known)
        trial.added = [wanted.name for wanted in sizing.wanted]
        return sizing.wanted[0] if len(sizing.wanted) == 1 and not sizing.unhelped else None

    def _is_worth(self, claim: Claim, saved: Amounts) -> bool:
        total, pods = self._worth[claim.pool], self._pods_of_pool[claim.pool]
        if saved.worth <= 0 or not total or not pods:
            return False
        return limits.CONSOLIDATION_WORTH * saved.worth / total >= len(self._pods(claim)) / pods

    def _make_way(self, claim: Claim, reason: Reason, words: str) -> Decision:
        """Its pods have a place before it goes. Where the limits have no room for both, it goes first."""
        trial = _Trial(self._fleet.cluster, claim.node_name, self._pods(claim))
        left = trial.rehome()
        wanted: tuple[Wanted, ...] = ()
        if left:
            supplies = [self._less_decided(supply) for supply in self._fleet.supplies.values()]
            sizing = size(
                self._fleet.cluster, left, supplies, taken=self._taken, now=self._now, known=self._fleet.known
            )
            trial.added = [w.name for w in sizing.wanted]
            if sizing.unhelped:
                words += "; there is no room for a replacement beside it, so it goes first"
            else:
                wanted = sizing.wanted
        self._accept(claim, trial)
        self._taken.update(w.name for w in wanted)
        return self._decide(Decision(claim, reason, words, wanted))

    def _less_decided(self, supply: Supply) -> Supply:
        """Room that replacements decided in this look have taken already."""
        return replace(supply, held=supply.held + self._promises.get(supply.pool.name, Amounts()))

    # Budgets and bookkeeping

    def _takes(self, claim: Claim, reason: Reason) -> bool:
        """Whether the claim may be disrupted for this now, as far as its state and the budgets say."""
        if claim.is_going or claim.is_updating or claim.uid in self._decided or claim.has(Condition.INTERRUPTED):
            return False
        pool = self._pool(claim.pool)
        if pool is None:
            return False
        if reason not in FIRM and not claim.has(Condition.READY):
            return False
        total = len(self._by_pool[claim.pool])
        if reason in FIRM:
            named = [b for b in pool.budgets if reason in b.reasons]
            allowed = replace(pool, budgets=tuple(named)).allowed(reason, total, now=self._now)
        else:
            allowed = pool.allowed(reason, total, now=self._now)
        return self._disrupted[claim.pool] < allowed

    def _blocked(self, claim: Claim) -> bool:
        node = self._fleet.nodes.get(claim.node_name)
        return self._fleet.guard.blocks(node, self._pods(claim)) is not None

    def _remove(self, claim: Claim, reason: Reason, why: str) -> Decision:
        return self._decide(Decision(claim, reason, why))

    def _decide(self, decision: Decision) -> Decision:
        claim = decision.claim
        self._decided.add(claim.uid)
        self._disrupted[claim.pool] += 1
        self._fleet.guard.spend(self._pods(claim))
        if (row := self._snapshot.rows.get(claim.node_name)) is not None:
            self._snapshot.present[row] = False  # no place for the pods of the next one
        for wanted in decision.wanted:
            before = self._promises.get(wanted.pool.name, Amounts())
            self._promises[wanted.pool.name] = before + wanted.offer_amounts
        return decision

    def _accept(self, claim: Claim, trial: _Trial) -> None:
        self._received |= trial.received
        self._decided.add(claim.uid)

    def _pool(self, name: str) -> Pool | None:
        supply = self._fleet.supplies.get(name)
        return supply.pool if supply is not None else None

    def _pods(self, claim: Claim) -> tuple[PodInfo, ...]:
        return self._fleet.pods.get(claim.node_name, ())

    def _by_burden(self, claims: Sequence[Claim]) -> list[Claim]:
        """The least disturbing first, of those the dearest."""
        return sorted(claims, key=lambda c: (len(self._pods(c)), -c.offer.price, c.name))

    def _is_unhealthy(self, claim: Claim) -> bool:
        return claim.has(Condition.INITIALIZED) and not claim.has(Condition.READY)

    def _long_enough(self, claim: Claim, condition: Condition, pool: Pool) -> bool:
        since = claim.since(condition)
        return (
            claim.has(condition)
            and since is not None
            and pool.consolidate_after_seconds is not None
            and (self._now - since).total_seconds() >= pool.consolidate_after_seconds
        )


@dataclass(slots=True)
class _Trial:
    """What if this node were gone: its pods are put elsewhere on the cluster, and can be put back."""

    cluster: Cluster
    node: str
    pods: Sequence[PodInfo]
    added: list[str] = field(default_factory=list)
    received: set[str] = field(default_factory=set)

    def rehome(self) -> list[PodInfo]:
        """The pods that fit nowhere."""
        snapshot = self.cluster.snapshot
        if (row := snapshot.rows.get(self.node)) is not None:
            snapshot.present[row] = False
        for pod in self.pods:
            snapshot.remove(pod.uid)
        left = []
        for pod in sorted(self.pods, key=lambda p: (-p.priority, p.namespace, p.name)):
            verdict = schedule(pod, snapshot)
            if isinstance(verdict, Placement):
                snapshot.place(pod, verdict.node)
                self.received.add(verdict.node)
            else:
                left.append(pod)
        return left

    def undo(self) -> None:
        snapshot = self.cluster.snapshot
        for name in self.added:
            snapshot.remove_node(name)
        for pod in self.pods:
            snapshot.remove(pod.uid)
            snapshot.place(pod, self.node)
        if (row := snapshot.rows.get(self.node)) is not None:
            snapshot.present[row] = True


def _saving(saved: Amounts) -> str:
    return f"{money_text(saved.money)} an hour" if saved.money else "a machine"
