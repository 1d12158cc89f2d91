"""Builders that hide what a test does not talk about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from iacorch.api.objects import Object
from iacorch.kit.clock import rfc3339
from iacorch.provision.decisions.sizing import Supply
from iacorch.provision.pools.amounts import Amounts
from iacorch.provision.pools.claim import Claim, claim_of, new_claim
from iacorch.provision.pools.money import Limits, Spending
from iacorch.provision.pools.offers import Offer
from iacorch.provision.pools.pool import Pool, pool_of
from iacorch.provision.pools.words import Condition
from iacorch.scheduler.pod import PodInfo, pod_info

NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
"""A Monday, in the middle of a month of 30 days."""
COIN = 1_000_000


def pod(name: str, cpu: str = "1", memory: str = "1Gi", *, node: str = "", owner: str = "rs", **spec: Any) -> Object:
    status = spec.pop("status", {})
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", **spec.pop("metadata", {})}
    if owner:
        kind, _, called = owner.rpartition("/")
        metadata["ownerReferences"] = [
            {"kind": kind or "ReplicaSet", "name": called, "uid": f"uid-{called}", "controller": True}
        ]
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    body = {"containers": [container], **spec} | ({"nodeName": node} if node else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": status}


def info(name: str, cpu: str = "1", memory: str = "1Gi", **spec: Any) -> PodInfo:
    return pod_info(pod(name, cpu, memory, **spec))


def offer(machine_type: str = "m", cpu: int = 4, memory: int = 16, price: float = 0.4, **fields: Any) -> Offer:
    capacity = {"cpu": str(cpu), "memory": f"{memory}Gi", "pods": "110"}
    return Offer("class", machine_type, capacity, price=round(price * COIN), **fields)


def pool_object(name: str = "burst", **spec: Any) -> Object:
    return {
        "apiVersion": "iacorch.dev/v1alpha1",
        "kind": "NodePool",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": {"classRef": {"name": "class"}, **spec},
        "status": {},
    }


def pool(name: str = "burst", **spec: Any) -> Pool:
    return pool_of(pool_object(name, **spec))


def supply(offers: list[Offer], name: str = "burst", *, held: Amounts | None = None, **spec: Any) -> Supply:
    return Supply(
        pool(name, **spec),
        tuple(sorted(offers, key=lambda o: o.rank)),
        held or Amounts(),
        Spending("2026-11", 0, NOW),
        hash="h",
    )


def node(
    name: str, cpu: str = "4", memory: str = "16Gi", *, ready: bool = True, labels: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339(NOW)}
            ],
        },
    }


def claim_object(
    name: str = "burst-1",
    of: Offer | None = None,
    *,
    created: datetime = NOW,
    on: Pool | None = None,
    conditions: dict[str, str] | None = None,
    ready: bool = True,
    annotations: dict[str, str] | None = None,
    **status: Any,
) -> Object:
    obj = new_claim(on or pool(), of or offer(), name, hash_="h", requests={})
    obj["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": rfc3339(created), "resourceVersion": "1"}
    obj["metadata"]["annotations"] |= annotations or {}
    states = dict.fromkeys(("Launched", "Registered", "Initialized", "Ready"), "True") if ready else {}
    states |= conditions or {}
    obj["status"] = {
        "conditions": [
            {
                "type": type_,
                "status": s.partition(":")[0],
                "reason": s.partition(":")[2],
                "lastTransitionTime": rfc3339(created),
            }
            for type_, s in states.items()
        ],
        **({"launchedTime": rfc3339(created), "nodeName": name} if ready else {}),
        **status,
    }
    return obj


def claim(name: str = "burst-1", of: Offer | None = None, **fields: Any) -> Claim:
    return claim_of(claim_object(name, of, **fields))


__all__ = ["COIN", "Condition", "Limits", "NOW"]
