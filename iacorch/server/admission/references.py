"""Which Secrets and ConfigMaps a pod refers to: what its node's agent may read, and no other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object


def secrets_of(pod: Object) -> frozenset[str]:
    spec = objects.spec(pod)
    found = {entry.get("name", "") for entry in spec.get("imagePullSecrets") or []}
    found.update(name for source in _volume_sources(spec) for name in _named(source, "secret", "secretName"))
    found.update(_from_environment(spec, "secretKeyRef", "secretRef"))
    return frozenset(found - {""})


def config_maps_of(pod: Object) -> frozenset[str]:
    spec = objects.spec(pod)
    found = {name for source in _volume_sources(spec) for name in _named(source, "configMap", "name")}
    found.update(_from_environment(spec, "configMapKeyRef", "configMapRef"))
    return frozenset(found - {""})


def _volume_sources(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for volume in spec.get("volumes") or []:
        yield volume
        yield from (volume.get("projected") or {}).get("sources") or []


def _named(source: dict[str, Any], field: str, name: str) -> Iterator[str]:
    """A projected source says `name` where a volume says `secretName`."""
    if inner := source.get(field):
        yield inner.get(name) or inner.get("name") or ""


def _from_environment(spec: dict[str, Any], key_field: str, whole_field: str) -> Iterator[str]:
    for _, _, container in objects.containers(spec):
        for variable in container.get("env") or []:
            yield ((variable.get("valueFrom") or {}).get(key_field) or {}).get("name", "")
        for source in container.get("envFrom") or []:
            yield (source.get(whole_field) or {}).get("name", "")
