"""API objects with the defaults that tests do not care about."""

from __future__ import annotations

from typing import Any


def service(name: str = "web", address: str = "10.96.1.1", **spec: Any) -> dict[str, Any]:
    """A Service with TCP and UDP on port 80, target 8080."""
    ports = [
        {"name": "tcp", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"name": "udp", "protocol": "UDP", "port": 80, "targetPort": 8080},
    ]
    return {
        "kind": "Service",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": ports, **spec},
    }


def slice_of(service: str = "web", *endpoints: tuple[str, str], **conditions: bool) -> dict[str, Any]:
    """An EndpointSlice of (address, node name) on port 8080."""
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": f"{service}-1",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "tcp", "protocol": "TCP", "port": 8080},
            {"name": "udp", "protocol": "UDP", "port": 8080},
        ],
        "endpoints": [
            {"addresses": [address], "nodeName": node, "conditions": {"ready": True, **conditions}}
            for address, node in endpoints
        ],
    }
