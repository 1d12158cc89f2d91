"""A container's environment: pure.

In: a pod, one of its containers, the config maps and secrets it names, and the pod's addresses. Out: name -> value, in
Kubernetes' order of precedence (`envFrom`, then `env`), with `$(NAME)` expanded. `specification.py` and the volumes of
the downward API call it. Source: Kubernetes API reference, EnvVar, EnvVarSource, ObjectFieldSelector,
ResourceFieldSelector.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from iacorch.api.objects import Object
from iacorch.api.values import quantity
from iacorch.errors import IacorchError
from iacorch.kit.text import listed

_REFERENCE: Final = re.compile(r"\$\$|\$\(([^()]+)\)")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


class ConfigMissing(IacorchError):
    """Something the pod's configuration names does not exist or cannot be honoured; the message says which."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a pod may ask about itself and its node."""

    node_name: str = ""
    host_ip: str = ""
    pod_ip: str = ""
    node_cpu_milli: int = 0
    node_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """The config maps and secrets of the pod's namespace by name; a name that is absent does not exist."""

    config_maps: Mapping[str, Object] = field(default_factory=dict)
    secrets: Mapping[str, Object] = field(default_factory=dict)

    def config_map(self, name: str) -> dict[str, bytes] | None:
        if (found := self.config_maps.get(name)) is None:
            return None
        data = {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
        return data | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}

    def secret(self, name: str) -> dict[str, bytes] | None:
        if (found := self.secrets.get(name)) is None:
            return None
        return {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}


def environment(pod: Object, container: Mapping[str, Any], sources: Sources, facts: Facts) -> dict[str, str]:
    """Raises ConfigMissing when a required config map, secret or key is not there."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        values.update(_all_of(source, sources))
    for entry in container.get("env") or ():
        name = entry["name"]
        if (reference := entry.get("valueFrom")) is not None:
            value = _value_from(reference, pod, container, sources, facts)
            if value is not None:
                values[name] = value
        else:
            values[name] = expand(str(entry.get("value") or ""), values)
    return values


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$` a dollar; a name that is not known stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else values.get(name, match.group(0))

    return _REFERENCE.sub(replacement, text)


def _all_of(source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field_name, word, read in (
        ("configMapRef", "configmap", sources.config_map),
        ("secretRef", "secret", sources.secret),
    ):
        if (reference := source.get(field_name)) is None:
            continue
        data = read(reference.get("name", ""))
        if data is None:
            if reference.get("optional"):
                return {}
            raise ConfigMissing(f'{word} "{reference.get("name", "")}" not found')
        return {prefix + key: _text(value) for key, value in data.items() if _NAME.fullmatch(prefix + key)}
    return {}


def _value_from(
    reference: Mapping[str, Any], pod: Object, container: Mapping[str, Any], sources: Sources, facts: Facts
) -> str | None:
    if (selector := reference.get("fieldRef")) is not None:
        return field_value(pod, selector["fieldPath"], facts)
    if (selector := reference.get("resourceFieldRef")) is not None:
        return resource_value(pod, selector, facts, container)
    if (selector := reference.get("configMapKeyRef")) is not None:
        return _key(selector, "configmap", "ConfigMap", sources.config_map(selector.get("name", "")), pod)
    if (selector := reference.get("secretKeyRef")) is not None:
        return _key(selector, "secret", "Secret", sources.secret(selector.get("name", "")), pod)
    raise ConfigMissing(f"environment source {sorted(reference)} is not supported by this agent")


def _key(selector: Mapping[str, Any], word: str, kind: str, data: dict[str, bytes] | None, pod: Object) -> str | None:
    name, key, optional = selector.get("name", ""), selector["key"], selector.get("optional")
    if data is None:
        if optional:
            return None
        raise ConfigMissing(f'{word} "{name}" not found')
    if key not in data:
        if optional:
            return None
        namespace = pod["metadata"].get("namespace", "")
        there = f"it has {listed(sorted(data))}" if data else "it is empty"
        raise ConfigMissing(f"couldn't find key {key} in {kind} {namespace}/{name}; {there}")
    return _text(data[key])


def field_value(pod: Object, path: str, facts: Facts) -> str:
    """The downward API's fields. Raises ConfigMissing for a path that is not one of them."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if match := _SUBSCRIPT.fullmatch(path):
        section, key = match.groups()
        return str((metadata.get(section) or {}).get(key, ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata.get(path.rpartition(".")[2], ""))
        case "metadata.labels" | "metadata.annotations":
            entries = (metadata.get(path.rpartition(".")[2]) or {}).items()
            return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(entries))
        case "spec.nodeName":
            return str(spec.get("nodeName") or facts.node_name)
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "default")
        case "status.hostIP" | "status.hostIPs":
            return facts.host_ip
        case "status.podIP" | "status.podIPs":
            return facts.host_ip if spec.get("hostNetwork") else facts.pod_ip
        case _:
            raise ConfigMissing(f"fieldPath {path!r} is not supported")


def resource_value(
    pod: Object, selector: Mapping[str, Any], facts: Facts, container: Mapping[str, Any] | None = None
) -> str:
    """A container's request or limit, divided and rounded up; the node's capacity where no limit is set."""
    if name := selector.get("containerName"):
        everyone = [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]
        container = next((c for c in everyone if c["name"] == name), None)
    if container is None:
        raise ConfigMissing(f"container {selector.get('containerName')!r} of a resourceFieldRef does not exist")
    section, _, resource = selector["resource"].partition(".")
    found = (container.get("resources") or {}).get(section, {}).get(resource)
    if found is not None:
        amount = quantity.parse(found)
    elif section == "limits" and resource == "cpu":
        amount = quantity.parse(f"{facts.node_cpu_milli}m")
    elif section == "limits" and resource == "memory":
        amount = quantity.parse(facts.node_memory_bytes)
    else:
        amount = quantity.parse(0)
    divisor = quantity.parse(selector.get("divisor") or "1")
    if not divisor:
        divisor = quantity.parse("1")
    ratio = amount.amount / divisor.amount
    return str(-(-ratio.numerator // ratio.denominator))


def _quoted(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
