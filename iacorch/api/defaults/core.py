"""Defaults of Service, Secret, Namespace, Node and EndpointSlice. Source: the Kubernetes API reference."""

from __future__ import annotations

from typing import Any, Final

from iacorch.api.defaults.fill import canonical_quantities, each, fill, fill_empty, inner

_AFFINITY_SECONDS: Final = 10_800


def service(obj: dict[str, Any]) -> None:
    spec = inner(obj, "spec")
    fill_empty(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "ClientIP":
        fill(inner(inner(spec, "sessionAffinityConfig"), "clientIP"), {"timeoutSeconds": _AFFINITY_SECONDS})
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in each(spec, "ports"):
        fill_empty(port, {"protocol": "TCP", "targetPort": port.get("port")})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        fill_empty(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] != "ExternalName":
        fill_empty(spec, {"internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]})
    if spec["type"] == "LoadBalancer":
        fill(spec, {"allocateLoadBalancerNodePorts": True})
    fill(inner(obj, "status"), {"loadBalancer": {}})


def secret(obj: dict[str, Any]) -> None:
    fill_empty(obj, {"type": "Opaque"})


def namespace(obj: dict[str, Any]) -> None:
    """Kubernetes also labels a namespace with its own name, so that selectors can name it."""
    metadata = inner(obj, "metadata")
    if name := metadata.get("name"):
        inner(metadata, "labels")["kubernetes.io/metadata.name"] = name
    fill_empty(inner(obj, "status"), {"phase": "Active"})


def node(obj: dict[str, Any]) -> None:
    status = inner(obj, "status")
    fill(status, {"allocatable": dict(status["capacity"])} if status.get("capacity") else {})
    canonical_quantities(status.get("capacity"))
    canonical_quantities(status.get("allocatable"))


def endpoint_slice(obj: dict[str, Any]) -> None:
    for port in each(obj, "ports"):
        fill(port, {"name": ""})
        fill_empty(port, {"protocol": "TCP"})
