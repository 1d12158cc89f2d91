"""Filters: which nodes can run a pod, and why the others cannot.

Each filter answers for all nodes at once (`check`) and counts its reasons in words (`explain`). `ALL` is the order in
which they are asked; a node is explained by the first that refuses it, as in Kubernetes. `woken_by` of each says which
change of the cluster may make a refused pod fit. To add one, see docs/checklists/new-filter.md.
"""

from __future__ import annotations

from iacorch.scheduler.filters.affinity import InterPodAffinity
from iacorch.scheduler.filters.contract import Change, Filter
from iacorch.scheduler.filters.nodes import NodeAffinity, NodeReady, NodeUnschedulable, TaintToleration
from iacorch.scheduler.filters.resources import HostPorts, Resources
from iacorch.scheduler.filters.spread import TopologySpread

ALL: tuple[Filter, ...] = (
    NodeUnschedulable(),
    NodeReady(),
    TaintToleration(),
    NodeAffinity(),
    HostPorts(),
    Resources(),
    InterPodAffinity(),
    TopologySpread(),
)

__all__ = ["ALL", "Change", "Filter"]
