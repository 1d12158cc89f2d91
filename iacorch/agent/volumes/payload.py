"""The files of the volumes that show API objects: pure.

In: a volume of a pod's specification and the objects it names. Out: relative path -> content and mode. `pod.py` calls
it. Source: Kubernetes API reference, ConfigMapVolumeSource, SecretVolumeSource, DownwardAPIVolumeSource,
ProjectedVolumeSource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias

from iacorch.agent.containers.environment import ConfigMissing, Facts, Sources, field_value, resource_value
from iacorch.api.objects import Object

DEFAULT_MODE: Final = 0o644
KINDS: Final = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int = DEFAULT_MODE


Payload: TypeAlias = dict[str, File]


def payload(pod: Object, volume: Mapping[str, Any], sources: Sources, facts: Facts) -> Payload:
    """Raises ConfigMissing when something that is not optional is not there."""
    for kind in KINDS:
        if (source := volume.get(kind)) is None:
            continue
        mode = int(source.get("defaultMode") or DEFAULT_MODE)
        if kind != "projected":
            return _one(kind, source, mode, pod, sources, facts)
        files: Payload = {}
        for part in source.get("sources") or ():
            for part_kind, part_source in part.items():
                files.update(_one(part_kind, part_source, mode, pod, sources, facts))
        return files
    raise ConfigMissing(f"volume {volume.get('name')!r} is of a kind that this agent does not support")


def _one(kind: str, source: Mapping[str, Any], mode: int, pod: Object, sources: Sources, facts: Facts) -> Payload:
    match kind:
        case "configMap":
            name = source.get("name", "")
            return _keys("configmap", name, source, mode, sources.config_map(name))
        case "secret":
            name = source.get("secretName") or source.get("name", "")
            return _keys("secret", name, source, mode, sources.secret(name))
        case "downwardAPI":
            return _downward(source, mode, pod, facts)
        case _:
            raise ConfigMissing(f"projected source {kind!r} is not supported by this agent")


def _keys(word: str, name: str, source: Mapping[str, Any], mode: int, data: dict[str, bytes] | None) -> Payload:
    optional = bool(source.get("optional"))
    if data is None:
        if optional:
            return {}
        raise ConfigMissing(f'{word} "{name}" not found')
    items = source.get("items")
    if not items:
        return {_checked(key): File(value, mode) for key, value in data.items()}
    files: Payload = {}
    for item in items:
        if item["key"] in data:
            files[_checked(item["path"])] = File(data[item["key"]], int(item.get("mode") or mode))
        elif not optional:
            raise ConfigMissing(f'{word} "{name}" has no key {item["key"]!r}')
    return files


def _downward(source: Mapping[str, Any], mode: int, pod: Object, facts: Facts) -> Payload:
    files: Payload = {}
    for item in source.get("items") or ():
        if (selector := item.get("fieldRef")) is not None:
            text = field_value(pod, selector["fieldPath"], facts)
        else:
            text = resource_value(pod, item["resourceFieldRef"], facts)
        files[_checked(item["path"])] = File(text.encode(), int(item.get("mode") or mode))
    return files


def _checked(path: str) -> str:
    """Inside the volume, and not one of the names that `atomic` uses."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ConfigMissing(f"the path {path!r} is not inside its volume")
    return path


def references(pod: Object) -> frozenset[tuple[str, str]]:
    """Every ("ConfigMap" or "Secret", name) that the pod's volumes and environments name."""
    spec = pod["spec"]
    found: set[tuple[str, str]] = set()

    def add(kind: str, source: Mapping[str, Any] | None, field: str = "name") -> None:
        if source and (name := source.get(field) or source.get("name")):
            found.add((kind, name))

    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for source in container.get("envFrom") or ():
            add("ConfigMap", source.get("configMapRef"))
            add("Secret", source.get("secretRef"))
        for entry in container.get("env") or ():
            value_from = entry.get("valueFrom") or {}
            add("ConfigMap", value_from.get("configMapKeyRef"))
            add("Secret", value_from.get("secretKeyRef"))
    for volume in spec.get("volumes") or ():
        for part in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            add("ConfigMap", part.get("configMap"))
            add("Secret", part.get("secret"), "secretName")
    return frozenset(found)
