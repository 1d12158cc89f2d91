"""What a rollout never does, whatever happens to its pods on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iacorch.controllers.deployment.observed import DESIRED, MAX, Fleet, Sized, Strategy, strategy_of
from iacorch.controllers.deployment.rolling import needs_scaling, rolled, scaled

STRATEGIES = st.builds(
    lambda replicas, surge, unavailable: strategy_of(
        {
            "spec": {
                "replicas": replicas,
                "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            }
        }
    ),
    st.integers(0, 12),
    st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "100%"])),
    st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "100%"])),
)


@dataclass
class Cluster:
    """ReplicaSets by age, the last one new: their sizes, and how many pods of each are available."""

    strategy: Strategy
    sizes: list[int]
    available: list[int]
    desired: int = 0
    noted: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.noted = [(self.strategy.replicas, self.strategy.most_pods)] * len(self.sizes)

    def fleet(self) -> Fleet:
        entries = []
        for number, (size, available) in enumerate(zip(self.sizes, self.available, strict=True)):
            desired, most = self.noted[number]
            replicaset: dict[str, Any] = {
                "metadata": {
                    "name": f"rs{number}",
                    "uid": str(number),
                    "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
                    "annotations": {DESIRED: str(desired), MAX: str(most)},
                },
                "spec": {"replicas": size},
                "status": {"availableReplicas": available},
            }
            entries.append(Sized(replicaset, size))
        return Fleet(tuple(entries[:-1]), entries[-1])

    def step(self) -> bool:
        """One pass of the controller, carried out; whether it changed anything. ReplicaSets end broken pods first."""
        before = self.fleet()
        scaling = needs_scaling(before, self.strategy)
        after = scaled(before, self.strategy) if scaling else rolled(before, self.strategy, old_pods=False)
        sizes = [entry.size for entry in after.all]
        changed = sizes != self.sizes or scaling
        self.sizes = sizes
        self.available = [min(size, available) for size, available in zip(sizes, self.available, strict=True)]
        self.noted = [
            (self.strategy.replicas, self.strategy.most_pods) if size else noted
            for size, noted in zip(sizes, self.noted, strict=True)
        ]
        return changed

    def settle(self) -> None:
        """Steps with every pod becoming available in between, until nothing changes."""
        for _ in range(200):
            self.available = list(self.sizes)
            if not self.step():
                return
        raise AssertionError("the rollout never ends")


@st.composite
def begun(draw: st.DrawFn) -> Cluster:
    """The old ReplicaSets together have what is wanted and all is well; the new one is empty."""
    strategy = draw(STRATEGIES)
    olds = draw(st.integers(1, 3))
    cuts = sorted(draw(st.lists(st.integers(0, strategy.replicas), min_size=olds - 1, max_size=olds - 1)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, strategy.replicas], strict=True)]
    return Cluster(strategy, [*sizes, 0], [*sizes, 0])


@given(begun(), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
@settings(max_examples=300)
def test_never_more_than_replicas_plus_surge(cluster: Cluster, events: list[tuple[int, bool]]) -> None:
    for which, comes in events:
        index = which % len(cluster.sizes)
        moved = cluster.available[index] + (1 if comes else -1)
        cluster.available[index] = max(0, min(cluster.sizes[index], moved))
        cluster.step()
        assert sum(cluster.sizes) <= cluster.strategy.most_pods


@given(begun(), st.lists(st.booleans(), max_size=60))
@settings(max_examples=300)
def test_never_fewer_available_than_promised(cluster: Cluster, events: list[bool]) -> None:
    """While no pod fails: new ones become available or not, and old ones are only taken away by the rollout."""
    for comes in events:
        if comes and cluster.available[-1] < cluster.sizes[-1]:
            cluster.available[-1] += 1
        cluster.step()
        assert sum(cluster.available) >= cluster.strategy.fewest_available


@given(begun())
def test_a_rollout_whose_pods_become_available_ends(cluster: Cluster) -> None:
    cluster.settle()
    assert cluster.sizes == [0] * (len(cluster.sizes) - 1) + [cluster.strategy.replicas]


@given(begun(), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=5))
def test_scaling_in_the_middle_of_a_rollout_still_ends_it(cluster: Cluster, scalings: list[tuple[int, int]]) -> None:
    for replicas, steps in scalings:
        for _ in range(steps):
            cluster.available = list(cluster.sizes)
            cluster.step()
        surge, unavailable = cluster.strategy.max_surge, cluster.strategy.max_unavailable
        if surge == 0 and unavailable == 0:
            unavailable = 1
        cluster.strategy = Strategy(replicas, False, surge, min(unavailable, replicas), 0, False)
    cluster.settle()
    assert cluster.sizes[-1] == cluster.strategy.replicas
    assert sum(cluster.sizes) == cluster.strategy.replicas


@given(begun(), st.integers(1, 24), st.integers(0, 6))
def test_scaling_in_the_middle_never_exceeds_the_surge(cluster: Cluster, replicas: int, steps: int) -> None:
    for _ in range(steps):
        cluster.available = list(cluster.sizes)
        cluster.step()
    surge, unavailable = cluster.strategy.max_surge, max(cluster.strategy.max_unavailable, 1)
    cluster.strategy = Strategy(replicas, False, surge, min(unavailable, replicas), 0, False)
    for _ in range(10):
        cluster.step()
    assert sum(cluster.sizes) <= max(cluster.strategy.most_pods, replicas)
