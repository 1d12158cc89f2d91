"""Which machines to ask for, so that the pods that wait can run.

In: the cluster as it will be, waiting pods, pools with their offers and room. Out: `Sizing`: new claims, each with its
pods and why; pods that no pool can help, each with why; pools that could not grow, each with why. Called by `fleet` for
pods that wait and by `disruption` for pods of a machine that is to go. Pure.

1. Every pod is shown to the real scheduler (`scheduler.plan`) on the cluster as it will be: most need nothing new.
2. What is left is grouped by shape. Which offers of which pools a shape may use is asked of the scheduler's filters,
   on one thought-up node per pool and offer.
3. For the most important pod left, the pools of the highest weight that can take it are compared. Owned machines go
   first; otherwise the machine that is cheapest for what it would carry of all that is left. It is added to the
   cluster, filled by the scheduler's filters, and the next pod is looked at.

A machine is therefore sized by what it will run, and never made for a pod that the scheduler would not put there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from iacorch.kit import limits
from iacorch.provision.decisions.virtual import Cluster, Known, fits, nominal, virtual_node
from iacorch.provision.pools.amounts import GIB, Amounts, capacity_amounts
from iacorch.provision.pools.money import Refusal, Spending, refused
from iacorch.provision.pools.offers import Offer
from iacorch.provision.pools.pool import Pool
from iacorch.scheduler import filters
from iacorch.scheduler.plan import Placement
from iacorch.scheduler.plan import plan as schedule
from iacorch.scheduler.pod import CPU, MEMORY, PodInfo, amounts
from iacorch.scheduler.snapshot import Snapshot

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]
_PLENTY = np.iinfo(np.int64).max
_AFFINITY = "InterPodAffinity"


@dataclass(frozen=True, slots=True)
class Supply:
    """One pool and what it may ask for now: usable offers, the preferred first; empty with a `closed` reason."""

    pool: Pool
    offers: tuple[Offer, ...]
    held: Amounts
    spending: Spending
    closed: Refusal | None = None
    hash: str = ""
    in_use: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """How many of each offer (by key) the class's claims use already: counts are of machines, not of free ones."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One machine to ask for."""

    pool: Pool
    offer: Offer
    name: str
    hash: str
    pods: tuple[PodInfo, ...]
    why: str

    @property
    def offer_amounts(self) -> Amounts:
        return capacity_amounts(self.offer.capacity, self.offer.price)

    @property
    def requests(self) -> dict[str, str]:
        """What its pods ask for together."""
        total: Counter[str] = Counter()
        for pod in self.pods:
            total.update(dict(pod.requests))
        return {name: f"{amount}m" if name == CPU else str(amount) for name, amount in sorted(total.items())}


@dataclass(frozen=True, slots=True)
class Sizing:
    """`unhelped`: (pod, why). `cannot_grow`: pool name -> the limit that was in the way of something."""

    wanted: tuple[Wanted, ...] = ()
    unhelped: tuple[tuple[PodInfo, str], ...] = ()
    cannot_grow: Mapping[str, Refusal] = field(default_factory=dict)

    @property
    def price(self) -> int:
        return sum(wanted.offer.price for wanted in self.wanted)


def size(
    cluster: Cluster,
    waiting: Iterable[PodInfo],
    supplies: Sequence[Supply],
    *,
    taken: Iterable[str],
    now: datetime,
    known: Known | None = None,
) -> Sizing:
    """Changes `cluster`: the waiting pods are placed on it. `taken` are the names that claims already have."""
    left = _place(cluster, sorted(waiting, key=_importance))
    if not left:
        return Sizing()
    return _Sizer(cluster, left, supplies, set(taken), now, known or {}).run()


def _importance(pod: PodInfo) -> tuple[int, float, str, str]:
    """High priority first, then large: small ones fill the gaps."""
    return (-pod.priority, -weight(pod.requests), pod.namespace, pod.name)


def weight(requests: Iterable[tuple[str, int]]) -> float:
    """One number for how large a pod or machine is: a core weighs as much as 8 GiB."""
    found = dict(requests)
    return max(found.get(CPU, 0) / 1000 + found.get(MEMORY, 0) / GIB / 8, 0.01)


def shape(pod: PodInfo) -> PodInfo:
    """Equal for pods that the scheduler cannot tell apart."""
    return replace(pod, uid="", name="", pod={})


def _place(cluster: Cluster, pods: Iterable[PodInfo]) -> list[PodInfo]:
    """What fits on the cluster as it will be is put there; the rest is returned. Placing only takes room away, so a
    shape that failed once fails again, unless it wants to be near others.
    """
    left, failed = [], set()
    for pod in pods:
        form = shape(pod)
        if form not in failed and _fits_somewhere(form, cluster.snapshot):
            verdict = schedule(pod, cluster.snapshot)
            assert isinstance(verdict, Placement)
            cluster.place(pod, verdict.node)
            continue
        if not pod.affinity:
            failed.add(form)
        left.append(pod)
    return left


def _fits_somewhere(pod: PodInfo, snapshot: Snapshot) -> bool:
    """The scheduler's verdict without its reasons, which nobody reads here."""
    fitting = snapshot.present
    for entry in filters.ALL:
        if (mask := entry.check(pod, snapshot)) is not None:
            fitting = fitting & mask
            if not fitting.any():
                return False
    return bool(fitting.any())


@dataclass(slots=True)
class _Template:
    """One pool and offer, and how many more of it there are."""

    supply: Supply
    offer: Offer
    allocatable: dict[str, int]
    amounts: Amounts
    count: int


class _Sizer:
    """One decision. Rows of arrays are groups of equal pods, columns are templates."""

    def __init__(
        self,
        cluster: Cluster,
        left: list[PodInfo],
        supplies: Sequence[Supply],
        taken: set[str],
        now: datetime,
        known: Known,
    ) -> None:
        self._cluster, self._now, self._taken, self._known = cluster, now, taken, known
        self._supplies = supplies
        self._held = {supply.pool.name: supply.held for supply in supplies}
        self._cannot: dict[str, Refusal] = {s.pool.name: s.closed for s in supplies if s.closed is not None}
        groups: dict[PodInfo, list[PodInfo]] = {}
        for pod in left:
            groups.setdefault(shape(pod), []).append(pod)
        self._shapes = list(groups)
        self._pods = [pods[::-1] for pods in groups.values()]  # popped from the end, the first first
        self._templates = [
            _Template(
                supply,
                offer,
                amounts(dict(known.get((offer.class_name, offer.machine_type)) or nominal(offer.capacity))),
                capacity_amounts(offer.capacity, offer.price),
                _PLENTY if offer.count is None else offer.count - supply.in_use.get(offer.key, 0),
            )
            for supply in supplies
            for offer in supply.offers
        ]
        self._resources = sorted({name for form in self._shapes for name, _ in form.requests})
        self._wants: Whole = np.array(
            [[dict(form.requests).get(name, 0) for name in self._resources] for form in self._shapes], dtype=np.int64
        ).reshape(len(self._shapes), len(self._resources))
        self._weights = np.array([weight(form.requests) for form in self._shapes])
        self._alone = np.array([_keeps_to_itself(form) for form in self._shapes], dtype=np.bool_)
        self._gives: Whole = np.array(
            [[t.allocatable.get(name, 0) for name in self._resources] for t in self._templates], dtype=np.int64
        ).reshape(len(self._templates), len(self._resources))
        self._left = np.array([len(pods) for pods in self._pods], dtype=np.int64)
        self._open_columns = np.array([t.count > 0 for t in self._templates], dtype=np.bool_)
        self._owned = np.array([not t.offer.rank[0] for t in self._templates], dtype=np.bool_)
        self._pool_weights = np.array([t.supply.pool.weight for t in self._templates], dtype=np.int64)
        self._costs = np.array([_cost(t) for t in self._templates])
        ranked = sorted(range(len(self._templates)), key=lambda n: (self._templates[n].offer.rank, n))
        self._order = np.argsort(np.array(ranked, dtype=np.intp)) if ranked else np.zeros(0, dtype=np.intp)
        self._numbers: dict[str, int] = {}
        self._may = self._compatible()

    def run(self) -> Sizing:
        wanted: list[Wanted] = []
        unhelped: list[tuple[PodInfo, str]] = []
        row = 0
        while row < len(self._shapes):
            if not self._pods[row]:
                row += 1
                continue
            choice = self._choose(row)
            if isinstance(choice, tuple):
                made = self._open(*choice)
                if made.pods:
                    wanted.append(made)
                    continue
                # The filters refuse on the real cluster what they allow on an empty one: affinity to what is not there.
                self._forget(choice[0], made)
                choice = "a new machine would not satisfy its affinity to other pods"
            unhelped += [(pod, choice) for pod in reversed(self._pods[row])]
            self._pods[row] = []
            self._left[row] = 0
        return Sizing(tuple(wanted), tuple(unhelped), self._cannot)

    # Which offer

    def _compatible(self) -> Mask:
        """Groups x templates: may a pod of the group run on an empty node of the template at all?"""
        snapshot, rows = Snapshot(), []
        for number, template in enumerate(self._templates):
            node = self._node(f"template-{number}", template)
            snapshot.set_node(node)
            rows.append(snapshot.rows[f"template-{number}"])
        may = np.zeros((len(self._shapes), len(self._templates)), dtype=np.bool_)
        for number, form in enumerate(self._shapes):
            passes = snapshot.present.copy()
            for entry in filters.ALL:
                if entry.name != _AFFINITY and (mask := entry.check(form, snapshot)) is not None:
                    passes &= mask
            may[number] = passes[rows]
        return may

    def _node(self, name: str, template: _Template) -> dict[str, object]:
        pool, offer = template.supply.pool, template.offer
        allocatable = self._known.get((offer.class_name, offer.machine_type))
        return virtual_node(name, offer, pool.labels, pool.taints, allocatable)

    def _choose(self, row: int) -> tuple[int, str] | str:
        """The template for the pod of a row, and why; or why there is none."""
        able = np.flatnonzero(self._may[row])
        open_ = able[self._open_columns[able]]
        while len(open_):
            weights = self._pool_weights[open_]
            best = open_[weights == weights.max()]
            owned = best[self._owned[best]]
            candidates = owned if len(owned) else best
            cost = self._costs[candidates] / np.maximum(self._estimate(row, candidates), 1e-9)
            # by cost; equally good ones in the order of preference
            for at in np.lexsort((self._order[candidates], np.round(cost, 9))):
                column = int(candidates[at])
                if self._has_room(column):
                    return column, f"the cheapest of {len(able)} offerings for what it carries"
            open_ = open_[self._open_columns[open_]]
        blockers = sorted({self._templates[n].supply.pool.name for n in able} & self._cannot.keys())
        return "; ".join(f"pool {name}: {self._cannot[name].message}" for name in blockers) or self._nothing_fits(row)

    def _has_room(self, column: int) -> bool:
        """Limits leave less and less room while machines are added: what is closed stays closed."""
        template = self._templates[column]
        pool = template.supply.pool
        found = refused(pool.limits, self._held[pool.name], template.amounts, template.supply.spending, now=self._now)
        if found is not None:
            self._cannot.setdefault(pool.name, found)
        self._open_columns[column] = found is None and template.count > 0
        return bool(self._open_columns[column])

    def _nothing_fits(self, row: int) -> str:
        closed = [f"pool {s.pool.name}: {s.closed.message}" for s in self._supplies if s.closed is not None]
        if not self._templates:
            return "; ".join(closed) or "no pool has an offering that may be tried now"
        words = f"none of {len(self._templates)} offerings of {len(self._supplies)} pools would take it"
        return "; ".join([words, *closed])

    def _estimate(self, first: int, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """How much weight of what is left each template could carry, filled in the order of importance."""
        free = self._gives[columns].copy()
        carried = np.zeros(len(columns))
        seen = 0
        for row in range(first, len(self._shapes)):
            count = int(self._left[row])
            if not count:
                continue
            wants = self._wants[row]
            asked = wants > 0
            room = (free[:, asked] // wants[asked]).min(axis=1) if asked.any() else np.full(len(columns), count)
            number = np.minimum(room, 1 if self._alone[row] else count) * self._may[row, columns]
            free -= number[:, None] * wants
            carried += number * self._weights[row]
            seen += 1
            if seen == limits.PROVISION_GROUPS_AHEAD:
                break
        return carried

    # Open a machine and fill it

    def _open(self, column: int, why: str) -> Wanted:
        template = self._templates[column]
        pool = template.supply.pool
        name = self._free_name(pool.name)
        self._cluster.add_virtual(self._node(name, template))
        pods = self._fill(name, column)
        template.count -= 1
        self._held[pool.name] = self._held[pool.name] + template.amounts
        listed = ", ".join(f"{pod.namespace}/{pod.name}" for pod in pods[: limits.PROVISION_LISTED_PODS])
        more = len(pods) - limits.PROVISION_LISTED_PODS
        words = f"for {listed}" + (f" and {more} more pods" if more > 0 else "") + f": {template.offer}, {why}"
        return Wanted(pool, template.offer, name, template.supply.hash, tuple(pods), words)

    def _forget(self, column: int, made: Wanted) -> None:
        """Nothing went onto it after all."""
        template = self._templates[column]
        self._cluster.snapshot.remove_node(made.name)
        self._taken.discard(made.name)
        self._numbers.pop(made.pool.name, None)
        self._held[made.pool.name] = self._held[made.pool.name] - template.amounts
        template.count += 1

    def _fill(self, name: str, column: int) -> list[PodInfo]:
        snapshot = self._cluster.snapshot
        row = snapshot.rows[name]
        free = np.array([self._free(snapshot, resource, row) for resource in self._resources], dtype=np.int64)
        able = np.flatnonzero(self._may[:, column] & (self._left > 0))
        placed: list[PodInfo] = []
        while len(able := able[(self._wants[able] <= free).all(axis=1)]):
            group, able = int(able[0]), able[1:]
            pods, wants = self._pods[group], self._wants[group]
            while pods and (wants <= free).all() and fits(pods[-1], snapshot, row):
                placed.append(pods.pop())
                self._cluster.place(placed[-1], name)
                free -= wants
            self._left[group] = len(pods)
        return placed

    def _free(self, snapshot: Snapshot, resource: str, row: int) -> int:
        column = snapshot.free(resource)
        return 0 if column is None else int(column[row])

    def _free_name(self, pool: str) -> str:
        """The smallest number that no claim has: two provisioners with the same picture collide on it."""
        number = self._numbers.get(pool, 1)
        while f"{pool}-{number}" in self._taken:
            number += 1
        name = f"{pool}-{number}"
        self._taken.add(name)
        self._numbers[pool] = number
        return name


def _cost(template: _Template) -> float:
    """What the machine costs for what pods get of it: each machine spends a part on itself (kernel, agent), which is
    why few large machines are better than many small ones at the same price for a core.
    """
    own = limits.MACHINE_OWN_MILLI_CPU / max(template.amounts.cpu, limits.MACHINE_OWN_MILLI_CPU)
    return float(template.amounts.worth) * (1 + own)


def _keeps_to_itself(form: PodInfo) -> bool:
    """At most one on a node, as far as can be seen beforehand."""
    labels = dict(form.labels)
    return bool(form.host_ports) or any(
        form.namespace in term.namespaces and term.selector.matches(labels) for term in form.anti_affinity
    )


__all__ = ["Sizing", "Supply", "Wanted", "shape", "size", "weight"]
