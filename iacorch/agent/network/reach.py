"""Which other nodes answer this one: pure.

The control plane needs seconds to be sure that a node is dead, because pods are moved for it. Where this node sends its
own connections is a smaller question, and can be answered sooner: every other node's end of the tunnel is asked for an
echo several times a second, through the very path that pods' packets take. A node that leaves some unanswered is
silent: `services/plan.py` chooses its endpoints last, until it answers again.

In: rounds, which `echo.py` makes (send, hear). Out: `silent`. A node's kernel answers, not its agent: one that restarts
is not silent. Only nodes that once answered can fall silent, so where echoes are filtered nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from iacorch.kit import limits


class Reach:
    """Counts unanswered echoes by node. No clock: what was not asked cannot be missed, however long a round takes."""

    def __init__(self, *, patience: int = limits.ECHOES_MISSED, trust: int = limits.ECHOES_TRUSTED) -> None:
        self._patience, self._trust = patience, trust
        self._missed: dict[str, int] = {}
        """Echoes since the last answer, of nodes that have answered."""
        self._answers: dict[str, int] = {}
        """Answers in a row, of nodes that are silent."""

    @property
    def silent(self) -> frozenset[str]:
        return frozenset(self._answers)

    def round(self, nodes: Iterable[str], heard: Iterable[str]) -> None:
        """`heard` answered since the round before; `nodes` are those that are asked now."""
        asked = set(nodes)
        for node in set(heard) & asked:
            self._missed[node] = 0
            if node in self._answers:
                self._answers[node] += 1
                if self._answers[node] >= self._trust:
                    del self._answers[node]
        for node in list(self._missed):
            if node not in asked:
                del self._missed[node]
                self._answers.pop(node, None)
                continue
            if self._missed[node] >= self._patience:
                self._answers[node] = 0
            self._missed[node] += 1
