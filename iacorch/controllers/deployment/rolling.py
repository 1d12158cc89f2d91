"""Sizes during a rollout: rolling update, Recreate, and scaling in the middle of either.

In: a `Fleet` and a `Strategy`. Out: the `Fleet` with new sizes. Called by `plan`. Two promises, which the property
tests state: sizes never add up to more than replicas plus surge, and no decision takes away a pod that is needed to
keep replicas minus maxUnavailable available.
"""

from __future__ import annotations

from iacorch.api import objects
from iacorch.controllers.deployment.observed import DESIRED, MAX, Fleet, Sized, Strategy, age


def rolled(fleet: Fleet, strategy: Strategy, *, old_pods: bool) -> Fleet:
    """One step of the rollout. `fleet.new` exists."""
    assert fleet.new is not None
    if strategy.recreate:
        return _recreated(fleet, strategy, old_pods=old_pods)
    grown = _grow_new(fleet, strategy)
    if grown != fleet:
        return grown
    return _shrink_old(fleet, strategy)


def needs_scaling(fleet: Fleet, strategy: Strategy) -> bool:
    """Whether `replicas` changed since the ReplicaSets were last sized."""
    for entry in fleet.all:
        noted = objects.annotations(entry.replicaset).get(DESIRED)
        if entry.size > 0 and noted is not None and noted != str(strategy.replicas):
            return True
    return False


def scaled(fleet: Fleet, strategy: Strategy) -> Fleet:
    """Spread a changed number of replicas over the ReplicaSets in proportion, so that a rollout keeps its balance."""
    active = [entry for entry in fleet.all if entry.size > 0]
    if len(active) <= 1:
        only = active[0] if active else fleet.new
        if only is None:
            only = fleet.old[-1] if fleet.old else None
        return _with_sizes(fleet, {objects.uid(only.replicaset): strategy.replicas}) if only is not None else fleet
    if fleet.new is not None and _is_complete(fleet.new, strategy):
        return _with_sizes(fleet, {objects.uid(entry.replicaset): 0 for entry in fleet.old})
    if strategy.recreate:
        return fleet
    return _in_proportion(fleet, active, strategy)


def _recreated(fleet: Fleet, strategy: Strategy, *, old_pods: bool) -> Fleet:
    assert fleet.new is not None
    emptied = Fleet(tuple(entry.sized(0) for entry in fleet.old), fleet.new)
    if emptied != fleet or old_pods:
        return emptied
    return Fleet(fleet.old, fleet.new.sized(strategy.replicas))


def _grow_new(fleet: Fleet, strategy: Strategy) -> Fleet:
    new = fleet.new
    assert new is not None
    if new.size > strategy.replicas:
        return Fleet(fleet.old, new.sized(strategy.replicas))
    room = strategy.most_pods - fleet.total
    return Fleet(fleet.old, new.sized(new.size + max(0, min(room, strategy.replicas - new.size))))


def _shrink_old(fleet: Fleet, strategy: Strategy) -> Fleet:
    """First what is not available anyway, then what the new ones that are available replace."""
    new = fleet.new
    assert new is not None
    budget = fleet.total - strategy.fewest_available - (new.size - new.available)
    old = list(fleet.old)
    for index, entry in enumerate(old):
        broken = min(entry.size - entry.available, max(0, budget))
        if broken > 0:
            old[index] = entry.sized(entry.size - broken)
            budget -= broken
    spare = sum(entry.available for entry in (*old, new)) - strategy.fewest_available
    for index, entry in enumerate(old):
        gone = min(entry.size, max(0, spare), max(0, budget))
        if gone > 0:
            old[index] = entry.sized(entry.size - gone)
            spare -= gone
            budget -= gone
    return Fleet(tuple(old), new)


def _in_proportion(fleet: Fleet, active: list[Sized], strategy: Strategy) -> Fleet:
    difference = strategy.most_pods - sum(entry.size for entry in active)
    # Larger ones first; between equals the newer grows first and the older shrinks first.
    newest_first = sorted(active, key=lambda entry: age(entry.replicaset), reverse=difference > 0)
    by_size = sorted(newest_first, key=lambda entry: -entry.size)
    sizes: dict[str, int] = {}
    left = difference
    for entry in by_size:
        part = _fraction(entry, strategy)
        part = min(part, left) if difference > 0 else max(part, left)
        part = max(part, 0) if difference > 0 else min(part, 0)
        sizes[objects.uid(entry.replicaset)] = max(0, entry.size + part)
        left -= part
    if by_size and left:
        # What rounding left over goes to the first, as in Kubernetes.
        first = objects.uid(by_size[0].replicaset)
        sizes[first] = max(0, sizes[first] + left)
    return _with_sizes(fleet, sizes)


def _fraction(entry: Sized, strategy: Strategy) -> int:
    """How much this ReplicaSet grows when the whole goes from the noted maximum to the wanted one."""
    if strategy.replicas == 0:
        return -entry.size
    noted = objects.annotations(entry.replicaset).get(MAX, "")
    before = int(noted) if noted.isdigit() and int(noted) > 0 else strategy.most_pods
    return (2 * entry.size * strategy.most_pods + before) // (2 * before) - entry.size


def _is_complete(new: Sized, strategy: Strategy) -> bool:
    noted = objects.annotations(new.replicaset).get(DESIRED, "")
    return new.size == strategy.replicas and noted == str(strategy.replicas) and new.available == strategy.replicas


def _with_sizes(fleet: Fleet, sizes: dict[str, int]) -> Fleet:
    def resized(entry: Sized) -> Sized:
        return entry.sized(sizes.get(objects.uid(entry.replicaset), entry.size))

    return Fleet(tuple(resized(entry) for entry in fleet.old), resized(fleet.new) if fleet.new is not None else None)
