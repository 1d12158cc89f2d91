"""Filters that look at what is used on a node: resources and host ports."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iacorch.scheduler.filters.contract import Change
from iacorch.scheduler.pod import PODS, PodInfo
from iacorch.scheduler.snapshot import Mask, Rows, Snapshot


class Resources:
    """Requests fit into what is free. A resource that no node has fits nowhere."""

    name = "NodeResourcesFit"
    woken_by = Change.NODE | Change.POD_GONE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        fits: Mask | None = None
        for resource, amount in pod.requests:
            free = snapshot.free(resource)
            if free is None:
                return np.zeros(len(snapshot.nodes), dtype=np.bool_)
            enough = free >= amount
            fits = enough if fits is None else fits & enough
        return fits

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        short: dict[str, int] = {}
        for resource, amount in pod.requests:
            free = snapshot.free(resource)
            count = len(rows) if free is None else int(np.count_nonzero(free[rows] < amount))
            if count:
                short["Too many pods" if resource == PODS else f"Insufficient {resource}"] = count
        return short


class HostPorts:
    """Nobody on the node holds one of the pod's host ports."""

    name = "NodePorts"
    woken_by = Change.POD_GONE | Change.NODE

    def check(self, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        if not pod.host_ports:
            return None
        free = np.ones(len(snapshot.nodes), dtype=np.bool_)
        for port in pod.host_ports:
            for node in snapshot.port_users(port):
                if (row := snapshot.rows.get(node)) is not None:
                    free[row] = False
        return free

    def explain(self, pod: PodInfo, snapshot: Snapshot, rows: Rows) -> Mapping[str, int]:
        return {"node(s) didn't have free ports for the requested pod ports": len(rows)}
