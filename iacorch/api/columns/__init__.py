"""Columns and cells of each kind, as kubectl shows them.

In: a kind. Out: its columns and a function (object, now) -> cells, as many as columns. One module for a family of
kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from iacorch.api import objects
from iacorch.api.catalogue import Column, Kind
from iacorch.api.columns import cluster, drift, network, pods, pools, workloads
from iacorch.api.columns.text import age
from iacorch.api.objects import Object

Cells: TypeAlias = Callable[[Object, datetime], list[Any]]

_NAME: Final = Column("Name", format="name")
_AGE: Final = Column("Age")

_TABLE: Final[Mapping[tuple[str, str], tuple[Sequence[Column], Cells]]] = {
    ("", "Pod"): (pods.POD_COLUMNS, pods.pod),
    ("", "Node"): (cluster.NODE_COLUMNS, cluster.node),
    ("", "Namespace"): (cluster.NAMESPACE_COLUMNS, cluster.namespace),
    ("", "Event"): (cluster.EVENT_COLUMNS, cluster.event),
    ("events.k8s.io", "Event"): (cluster.EVENT_COLUMNS, cluster.event),
    ("", "ConfigMap"): (cluster.CONFIG_MAP_COLUMNS, cluster.config_map),
    ("", "Secret"): (cluster.SECRET_COLUMNS, cluster.secret),
    ("", "ServiceAccount"): (cluster.SERVICE_ACCOUNT_COLUMNS, cluster.service_account),
    ("coordination.k8s.io", "Lease"): (cluster.LEASE_COLUMNS, cluster.lease),
    ("", "Service"): (network.SERVICE_COLUMNS, network.service),
    ("discovery.k8s.io", "EndpointSlice"): (network.ENDPOINT_SLICE_COLUMNS, network.endpoint_slice),
    ("apps", "Deployment"): (workloads.DEPLOYMENT_COLUMNS, workloads.deployment),
    ("apps", "ReplicaSet"): (workloads.REPLICA_SET_COLUMNS, workloads.replica_set),
    ("autoscaling", "Scale"): (workloads.SCALE_COLUMNS, workloads.scale),
    ("iacorch.dev", "DriftPolicy"): (drift.DRIFT_POLICY_COLUMNS, drift.drift_policy),
    ("iacorch.dev", "DriftReport"): (drift.DRIFT_REPORT_COLUMNS, drift.drift_report),
    ("iacorch.dev", "MachineClass"): (pools.MACHINE_CLASS_COLUMNS, pools.machine_class),
    ("iacorch.dev", "NodeClaim"): (pools.NODE_CLAIM_COLUMNS, pools.node_claim),
    ("iacorch.dev", "NodePool"): (pools.NODE_POOL_COLUMNS, pools.node_pool),
}


def of(kind: Kind, subresource: str = "") -> tuple[Sequence[Column], Cells]:
    """Of a built-in kind, of a CRD with printer columns, or Name and Age for any other.

    A subresource may be another kind's view, as `scale` is, and then has the columns of that.
    """
    view = kind.subresource(subresource)
    shown = (view.group, view.kind) if view is not None else (kind.group, kind.kind)
    if kind.columns and shown == (kind.group, kind.kind):
        return (_NAME, *kind.columns), lambda obj, now: _custom(kind.columns, obj, now)
    return _TABLE.get(shown, ((_NAME, _AGE), _plain))


def _plain(obj: Object, now: datetime) -> list[Any]:
    return [objects.name(obj), age(obj, now)]


def _custom(columns: Sequence[Column], obj: Object, now: datetime) -> list[Any]:
    """Simple paths only, `.spec.size`; dates print as ages, as everywhere."""
    cells: list[Any] = [objects.name(obj)]
    for column in columns:
        value: Any = obj
        for part in column.json_path.strip(".").split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if column.type == "date":
            cells.append(age({"metadata": {"creationTimestamp": value}}, now) if isinstance(value, str) else None)
        else:
            cells.append(value)
    return cells
