"""Defaults of pods and of everything inside a pod's spec. Source: the Kubernetes API reference, core v1."""

from __future__ import annotations

from typing import Any, Final

import orjson

from iacorch.api import objects
from iacorch.api.defaults.fill import canonical_quantities, each, fill, fill_empty, inner
from iacorch.api.objects import Object
from iacorch.api.templates import once_a_template

_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_FILE_MODE: Final = 0o644
_TOKEN_SECONDS: Final = 3600


def with_defaults(obj: Object) -> Object:
    """A pod with its defaults. What becomes of its spec is worked out once for all copies of a template."""
    status = objects.status(obj)
    spec = orjson.loads(_completed(objects.spec(obj)))
    return {**obj, "spec": spec, "status": {**status, "phase": status.get("phase") or "Pending"}}


@once_a_template
def _completed(text: bytes) -> bytes:
    spec: dict[str, Any] = orjson.loads(text)
    fill(spec, {"enableServiceLinks": True})
    pod_spec(spec)
    if spec.get("hostNetwork"):
        for container in (*each(spec, "containers"), *each(spec, "initContainers")):
            for port in each(container, "ports"):
                fill_empty(port, {"hostPort": port.get("containerPort")})
    for container in (*each(spec, "containers"), *each(spec, "initContainers")):
        _requests_from_limits(container)
    return orjson.dumps(spec)


def pod_spec(spec: dict[str, Any]) -> None:
    """Of a pod and of a pod template alike."""
    fill_empty(
        spec,
        {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"},
    )
    fill(spec, {"terminationGracePeriodSeconds": 30, "securityContext": {}})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in each(spec, "volumes"):
        _volume(volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in each(spec, field):
            _container(container)
    canonical_quantities(spec.get("overhead"))


def _container(container: dict[str, Any]) -> None:
    image = container.get("image") or ""
    fill_empty(
        container,
        {
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "Always" if _is_latest(image) else "IfNotPresent",
        },
    )
    resources = inner(container, "resources")
    canonical_quantities(resources.get("limits"))
    canonical_quantities(resources.get("requests"))
    for port in each(container, "ports"):
        fill_empty(port, {"protocol": "TCP"})
    for variable in each(container, "env"):
        source = variable.get("valueFrom") or {}
        if reference := source.get("fieldRef"):
            fill_empty(reference, {"apiVersion": "v1"})
        if resource := source.get("resourceFieldRef"):
            fill(resource, {"divisor": "0"})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            fill_empty(probe, _PROBE)
            _handler(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _handler(handler)


def _handler(handler: dict[str, Any]) -> None:
    if (http := handler.get("httpGet")) is not None:
        fill_empty(http, {"path": "/", "scheme": "HTTP"})
    if (grpc := handler.get("grpc")) is not None:
        fill(grpc, {"service": ""})


def _requests_from_limits(container: dict[str, Any]) -> None:
    """A limit without a request is a request, too."""
    resources = container["resources"]
    if limits := resources.get("limits"):
        requests = resources.setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _volume(volume: dict[str, Any]) -> None:
    if not any(field != "name" for field in volume):
        volume["emptyDir"] = {}
    for field in ("configMap", "secret", "downwardAPI", "projected"):
        if (source := volume.get(field)) is not None:
            fill(source, {"defaultMode": _FILE_MODE})
    for item in _downward_items(volume):
        if reference := item.get("fieldRef"):
            fill_empty(reference, {"apiVersion": "v1"})
    for projection in each(volume.get("projected") or {}, "sources"):
        if (token := projection.get("serviceAccountToken")) is not None:
            fill(token, {"expirationSeconds": _TOKEN_SECONDS})
    if (host := volume.get("hostPath")) is not None:
        fill(host, {"type": ""})


def _downward_items(volume: dict[str, Any]) -> list[dict[str, Any]]:
    sources = [volume, *each(volume.get("projected") or {}, "sources")]
    return [item for source in sources for item in each(source.get("downwardAPI") or {}, "items")]


def _is_latest(image: str) -> bool:
    """No tag and no digest means `latest`; a colon before the last slash is a registry's port."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")
