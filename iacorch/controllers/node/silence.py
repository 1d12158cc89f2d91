"""How long each node has been silent, counted only over time in which this process was listening.

In: ticks (which prove that we run) and what was heard, both in seconds of a monotonic clock. Out: a `Verdict` for each
node. Called by `controller.py`; pure but for its own memory, and never looks at what agents' clocks say.

A tick that comes late means that we were paused: the kernel, not the agents, was silent. Every node then gets its whole
patience again. When much of the fleet falls silent at once, the fault is more likely on our side than on theirs:
nodes are then `HELD`, and nothing is moved.

    verdict  silent for                    and                              consequence
    HEARD    less than the patience        -                                none
    LOST     the patience                  few others are suspect           tainted, its pods are replaced
    HELD     the patience                  too many went silent at once     Ready=Unknown, nothing is moved

A node that is LOST stays it until it is heard again; a HELD one becomes LOST when the others are heard again and it is
not, for as long as a renewal may take: what kept us from hearing any (a full disk here, a cut network) ends for all at
once, and their renewals come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from iacorch.kit import limits


class Verdict(StrEnum):
    """See the module docstring."""

    HEARD = "heard"
    LOST = "lost"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Patience:
    """The numbers, in seconds; tests bring their own."""

    lost_seconds: float = limits.LEASE_LOST_SECONDS
    suspect_seconds: float = limits.NODE_SUSPECT_SECONDS
    silent_fraction: float = limits.FLEET_SILENT_FRACTION
    tick_seconds: float = limits.LISTENING_TICK_SECONDS
    pause_seconds: float = limits.LISTENING_PAUSE_SECONDS
    return_seconds: float = limits.NODE_RETURN_SECONDS


@dataclass(frozen=True, slots=True)
class Hearing:
    """All verdicts of one moment. `suspect` of `fleet` nodes fell silent together."""

    verdicts: dict[str, Verdict]
    suspect: int
    fleet: int


class Silence:
    """Remembers when each node was last heard, in seconds of listening."""

    def __init__(self, patience: Patience = Patience()) -> None:
        self._patience = patience
        self._listened = 0.0
        self._ticked: float | None = None
        self._heard: dict[str, float] = {}
        self._lost: set[str] = set()
        self._was_deaf = False

    def heard(self, node: str) -> None:
        """Its lease was renewed."""
        self._heard[node] = self._listened
        self._lost.discard(node)

    def appeared(self, node: str) -> None:
        """It is known from now on; that it has a lease does not say that it renews it."""
        self._heard.setdefault(node, self._listened)

    def remember_lost(self, node: str) -> None:
        """It was lost to the controller before this one, and has not been heard since."""
        self._heard.setdefault(node, self._listened)
        self._lost.add(node)

    def is_silent(self, node: str) -> bool:
        """Whether it is beyond the patience now; `judge` says what that means."""
        if node in self._lost:
            return True
        return self._listened - self._heard.get(node, self._listened) >= self._patience.lost_seconds

    def tick(self, now_seconds: float) -> None:
        """We are running. Call every `tick_seconds`."""
        gap = now_seconds - self._ticked if self._ticked is not None else 0.0
        self._ticked = now_seconds
        if gap > self._patience.pause_seconds:
            for node in self._heard:
                self._heard[node] = self._listened
            return
        # A small stall may have kept us from hearing, so it counts as no more than two ticks.
        self._listened += min(gap, 2 * self._patience.tick_seconds)

    def judge(self, nodes: Iterable[str]) -> Hearing:
        """A verdict for each node of the fleet; nodes seen for the first time count as heard now."""
        fleet = sorted(nodes)
        for node in fleet:
            self._heard.setdefault(node, self._listened)
        for node in self._heard.keys() - set(fleet):
            del self._heard[node]
            self._lost.discard(node)
        silent = {node: self._listened - self._heard[node] for node in fleet}
        standing = [node for node in fleet if node not in self._lost]
        suspect = [node for node in standing if silent[node] > self._patience.suspect_seconds]
        deaf = len(suspect) > self._patience.silent_fraction * len(standing)
        if self._was_deaf and not deaf:
            for node in suspect:
                silent[node] = min(silent[node], self._patience.lost_seconds - self._patience.return_seconds)
                self._heard[node] = self._listened - silent[node]
        self._was_deaf = deaf
        verdicts: dict[str, Verdict] = {}
        for node in fleet:
            if node in self._lost:
                verdicts[node] = Verdict.LOST
            elif silent[node] < self._patience.lost_seconds:
                verdicts[node] = Verdict.HEARD
            elif deaf:
                verdicts[node] = Verdict.HELD
            else:
                verdicts[node] = Verdict.LOST
        self._lost.update(node for node, verdict in verdicts.items() if verdict is Verdict.LOST)
        return Hearing(verdicts, len(suspect), len(standing))
