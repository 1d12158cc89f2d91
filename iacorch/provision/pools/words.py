"""Labels, annotations, condition types and reasons of pools and claims: the words that other rooms and people read."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from iacorch.infra.bootstrap import marks

POOL_LABEL: Final = "iacorch.dev/nodepool"
CAPACITY_LABEL: Final = "iacorch.dev/capacity-type"
TYPE_LABEL: Final = "node.kubernetes.io/instance-type"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
KEEP: Final = "iacorch.dev/do-not-disrupt"
"""An annotation of a pod or a node: while it is "true", the machine is not removed of our own accord."""
HASH: Final = "iacorch.dev/template-hash"
"""An annotation of a claim: the hash of what its pool and class asked for when it was made."""
REPLACES: Final = "iacorch.dev/replaces"
"""An annotation of a claim: the UID of the claim that goes when this one is Ready. Names are used again."""
FINALIZER: Final = "iacorch.dev/machine"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""Kubernetes' taint that says: the machine is known to be off, what is tied to it may start elsewhere."""


class Condition(StrEnum):
    """Of a NodeClaim."""

    LAUNCHED = "Launched"
    REGISTERED = "Registered"
    INITIALIZED = "Initialized"
    READY = "Ready"
    DRIFTED = "Drifted"
    EXPIRED = "Expired"
    EMPTY = "Empty"
    DISRUPTING = "Disrupting"
    INTERRUPTED = "Interrupted"
    REPAIRING = "Repairing"
    FENCED = "Fenced"
    TERMINATING = "Terminating"
    UPDATED = marks.UPDATED


class PoolCondition(StrEnum):
    """Of a NodePool."""

    READY = "Ready"
    OPEN = "Open"
    CAN_GROW = "CanGrow"
    REPAIRS_STOPPED = "RepairsStopped"


class Reason(StrEnum):
    """Why a machine is removed of our own accord. Budgets name these."""

    EMPTY = "Empty"
    UNDERUTILIZED = "Underutilized"
    DRIFTED = "Drifted"
    EXPIRED = "Expired"
    OFFICE_HOURS = "OfficeHours"
    OVER_LIMIT = "OverLimit"


class Capacity(StrEnum):
    """Who owns the machine, and who may take it away."""

    OWNED = "owned"
    SPOT = "spot"
    ON_DEMAND = "on-demand"
