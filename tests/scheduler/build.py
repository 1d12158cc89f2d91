"""Builders that hide defaults: a node and a pod with only what a test is about."""

from __future__ import annotations

from typing import Any

from iacorch.api.objects import Object


def node(name: str = "n1", *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **fields: Any) -> Object:
    """`labels`, `taints`, `ready`, `unschedulable`, `resources` as keywords."""
    spec: Object = {}
    if taints := fields.get("taints"):
        spec["taints"] = taints
    if fields.get("unschedulable"):
        spec["unschedulable"] = True
    labels = {"kubernetes.io/hostname": name, **fields.get("labels", {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **fields.get("resources", {})},
            "conditions": [{"type": "Ready", "status": "True" if fields.get("ready", True) else "False"}],
        },
    }


def pod(name: str = "p", *, cpu: str = "", memory: str = "", owner: str = "", port: int = 0, **spec: Any) -> Object:
    requests = {field: value for field, value in (("cpu", cpu), ("memory", memory)) if value}
    requests |= spec.pop("resources", {})
    container: Object = {"name": "main", "image": "image", "resources": {"requests": requests}}
    if port:
        container["ports"] = [{"containerPort": port, "hostPort": port}]
    metadata: Object = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": spec.pop("labels", {})}
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **spec},
    }
