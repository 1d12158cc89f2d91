"""The cluster as the scheduler sees it: nodes as rows of arrays, placed pods counted on them.

In: nodes and pods as they change (`set_node`, `remove_node`, `place`, `remove`). Out: columns that filters and scores
read all at once. Kept up to date by `loop` from the informers, one row a change; never rebuilt. Pure: no I/O, no clock.

What a filter asks of each node alone (labels, taints) is a column that is computed once for each different question and
then only for rows that change: pods of one workload all ask the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.kit import limits
from iacorch.scheduler.pod import CPU, MEMORY, RESOURCES, HostPort, PodInfo, amounts

Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]
Amounts = NDArray[np.int64]
Column = NDArray[np.float64]
NodeTest = Callable[[Object], float]
"""A question to one node: a score, or (for masks) true or false."""

BALANCED = (CPU, MEMORY)
"""Resources whose use scores look at."""
_START_ROWS = 16


class Snapshot:
    """See the module docstring. Rows are reused; a row without a node is never `present`."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.nodes: list[Object | None] = []
        self.present: Mask = np.zeros(0, dtype=np.bool_)
        self.tie: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._free: list[int] = []
        self._allocatable: dict[str, Amounts] = {name: np.zeros(0, dtype=np.int64) for name in RESOURCES}
        self._used: dict[str, Amounts] = {name: np.zeros(0, dtype=np.int64) for name in RESOURCES}
        self._per_unit: dict[str, Column] = {name: np.zeros(0, dtype=np.float64) for name in BALANCED}
        self._columns: OrderedDict[Hashable, tuple[NodeTest, Mask | Column]] = OrderedDict()
        self._pods: dict[str, tuple[PodInfo, str]] = {}
        self._on_node: dict[str, dict[str, PodInfo]] = {}
        self._workloads: dict[str, Counter[str]] = {}
        self._spread: OrderedDict[str, Amounts] = OrderedDict()
        self._host_ports: dict[tuple[str, int], dict[str, Counter[str]]] = {}
        self._repelling: dict[str, tuple[PodInfo, str]] = {}
        self._grow(_START_ROWS)

    # Nodes

    def set_node(self, node: Object) -> None:
        """Add a node, or take over what changed on it."""
        name = objects.name(node)
        row = self.rows.get(name)
        if row is None:
            if not self._free:
                self._grow(len(self.nodes) * 2)
            row = self.rows[name] = self._free.pop()
            self.tie[row] = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            self.nodes[row] = node
            self._recount(row, name)
            for workload, spread in self._spread.items():
                spread[row] = self._workloads.get(workload, Counter())[name]
        self.nodes[row] = node
        self.present[row] = not objects.is_deleting(node)
        allocatable = amounts(objects.status(node).get("allocatable") or {})
        for resource in allocatable.keys() - self._allocatable.keys():
            self._add_resource(resource)
        for resource, column in self._allocatable.items():
            column[row] = allocatable.get(resource, 0)
        for resource, per_unit in self._per_unit.items():
            amount = allocatable.get(resource, 0)
            per_unit[row] = 1.0 / amount if amount > 0 else 0.0
        for ask, answers in self._columns.values():
            answers[row] = ask(node)

    def remove_node(self, name: str) -> None:
        """Its pods stay counted under its name, should it come back."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        self.nodes[row] = None
        self.present[row] = False
        for resource in self._used:
            self._used[resource][row] = self._allocatable[resource][row] = 0
        self._free.append(row)

    # Pods

    def place(self, info: PodInfo, node: str) -> None:
        """Count a pod on a node: bound, or assumed to be. Placing it again moves it."""
        before = self._pods.get(info.uid)
        if before is not None:
            if before == (info, node):
                return
            self.remove(info.uid)
        self._pods[info.uid] = (info, node)
        self._on_node.setdefault(node, {})[info.uid] = info
        self._count(info, node, 1)

    def remove(self, uid: str) -> bool:
        """Stop counting a pod; whether it was counted."""
        found = self._pods.pop(uid, None)
        if found is None:
            return False
        info, node = found
        del self._on_node[node][uid]
        if not self._on_node[node]:
            del self._on_node[node]
        self._count(info, node, -1)
        return True

    def node_of(self, uid: str) -> str | None:
        """Where a pod is counted."""
        found = self._pods.get(uid)
        return found[1] if found is not None else None

    def placed(self) -> Iterator[tuple[PodInfo, str]]:
        return iter(self._pods.values())

    @property
    def repelling(self) -> Iterator[tuple[PodInfo, str]]:
        """Placed pods that keep others away (required anti-affinity)."""
        return iter(self._repelling.values())

    # What filters and scores read

    def free(self, resource: str) -> Amounts | None:
        """Allocatable minus used, per row; None when no node has such a resource."""
        if resource not in self._allocatable:
            return None
        return self._allocatable[resource] - self._used[resource]

    def allocatable(self, resource: str) -> Amounts:
        return self._allocatable[resource]

    def per_unit(self, resource: str) -> Column:
        """One unit of a resource as a fraction of what the node has; for `BALANCED` resources."""
        return self._per_unit[resource]

    def used(self, resource: str) -> Amounts:
        return self._used[resource]

    def column(self, question: Hashable, ask: NodeTest) -> Column:
        """`ask`'s answer for each row. `question` names it: equal questions must have equal answers."""
        return cast(Column, self._answers(question, ask, np.float64))

    def mask(self, question: Hashable, ask: Callable[[Object], bool]) -> Mask:
        """The same for questions that are answered with yes or no."""
        return cast(Mask, self._answers(question, ask, np.bool_))

    def _answers(self, question: Hashable, ask: NodeTest, dtype: type) -> Mask | Column:
        if (known := self._columns.get(question)) is not None:
            self._columns.move_to_end(question)
            return known[1]
        answers: Mask | Column = np.zeros(len(self.nodes), dtype=dtype)
        for row in self.rows.values():
            node = self.nodes[row]
            if node is not None:
                answers[row] = ask(node)
        self._columns[question] = (ask, answers)
        if len(self._columns) > limits.SCHEDULER_QUESTIONS:
            self._columns.popitem(last=False)
        return answers

    def workload_counts(self, workload: str) -> Counter[str]:
        """Pods of a workload by node."""
        return self._workloads.get(workload) or Counter()

    def workload_spread(self, workload: str) -> Amounts | None:
        """The same as a column; None when it has no pods. Kept for the workloads that were asked for last."""
        if (known := self._spread.get(workload)) is not None:
            self._spread.move_to_end(workload)
            return known
        counts = self._workloads.get(workload)
        if not counts:
            return None
        column = np.zeros(len(self.nodes), dtype=np.int64)
        for node, count in counts.items():
            if (row := self.rows.get(node)) is not None:
                column[row] = count
        self._spread[workload] = column
        if len(self._spread) > limits.SCHEDULER_QUESTIONS:
            self._spread.popitem(last=False)
        return column

    def port_users(self, port: HostPort) -> set[str]:
        """Nodes on which a pod holds a host port that collides with this one."""
        protocol, address, number = port
        users = self._host_ports.get((protocol, number)) or {}
        return {node for node, addresses in users.items() if not address or "" in addresses or address in addresses}

    # Inside

    def _grow(self, size: int) -> None:
        before = len(self.nodes)
        more = size - before
        self.nodes += [None] * more
        self._free += range(size - 1, before - 1, -1)
        self.present = np.concatenate([self.present, np.zeros(more, dtype=np.bool_)])
        self.tie = np.concatenate([self.tie, np.zeros(more, dtype=np.uint64)])
        for table in (self._allocatable, self._used):
            for resource in table:
                table[resource] = np.concatenate([table[resource], np.zeros(more, dtype=np.int64)])
        for resource, per_unit in self._per_unit.items():
            self._per_unit[resource] = np.concatenate([per_unit, np.zeros(more, dtype=np.float64)])
        self._spread.clear()
        for question, (ask, answers) in self._columns.items():
            self._columns[question] = (ask, np.concatenate([answers, np.zeros(more, dtype=answers.dtype)]))

    def _add_resource(self, resource: str) -> None:
        size = len(self.nodes)
        self._allocatable[resource] = np.zeros(size, dtype=np.int64)
        self._used[resource] = np.zeros(size, dtype=np.int64)
        for info, node in self._pods.values():
            wanted = dict(info.requests).get(resource)
            if wanted and (row := self.rows.get(node)) is not None:
                self._used[resource][row] += wanted

    def _recount(self, row: int, name: str) -> None:
        """Pods may be known before their node."""
        for resource in self._used:
            self._used[resource][row] = 0
        for info in self._on_node.get(name, {}).values():
            self._charge(info, row, 1)

    def _charge(self, info: PodInfo, row: int, sign: int) -> None:
        for resource, amount in info.requests:
            if (column := self._used.get(resource)) is not None:
                column[row] += sign * amount

    def _count(self, info: PodInfo, node: str, sign: int) -> None:
        row = self.rows.get(node)
        if row is not None:
            self._charge(info, row, sign)
        if info.workload:
            _tally(self._workloads, info.workload, node, sign)
            if row is not None and (spread := self._spread.get(info.workload)) is not None:
                spread[row] += sign
        for protocol, address, number in info.host_ports:
            users = self._host_ports.setdefault((protocol, number), {})
            _tally(users, node, address, sign)
            if not users:
                del self._host_ports[protocol, number]
        if info.anti_affinity:
            if sign > 0:
                self._repelling[info.uid] = (info, node)
            else:
                self._repelling.pop(info.uid, None)


def _tally(counters: dict[Any, Counter[str]], group: Any, member: str, sign: int) -> None:
    counter = counters.setdefault(group, Counter())
    counter[member] += sign
    if counter[member] <= 0:
        del counter[member]
    if not counter:
        del counters[group]
