"""One container: image, ports, environment, resources, mounts, probes, lifecycle."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any, Final

from iacorch.api import names
from iacorch.api.validate.problems import Problems
from iacorch.api.values import quantity

_PULL: Final = ("Always", "IfNotPresent", "Never")
_TERMINATION: Final = ("File", "FallbackToLogsOnError")
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_SCHEMES: Final = ("HTTP", "HTTPS")
_FIELD_REFS: Final = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_LARGEST_ID: Final = 2**31 - 1
_AMOUNTS: Final = frozenset(
    f"{side}.{name}" for side in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
)
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBE_NUMBERS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def check(problems: Problems, path: str, container: Mapping[str, Any], *, volumes: set[str], init: bool) -> None:
    """A container at `path`; `volumes` are the names its mounts may use."""
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        problems.required(f"{path}.name")
    else:
        problems.each(f"{path}.name", name, names.dns_label(name))
    if not image:
        problems.required(f"{path}.image")
    elif image != image.strip():
        problems.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    problems.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL)
    problems.one_of(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _TERMINATION)
    if ports := container.get("ports"):
        _ports(problems, f"{path}.ports", ports)
    _environment(problems, path, container)
    if amounts := container.get("resources"):
        resources(problems, f"{path}.resources", amounts)
    if mounts := container.get("volumeMounts"):
        _mounts(problems, f"{path}.volumeMounts", mounts, volumes)
    _probes(problems, path, container, init=init)
    if context := container.get("securityContext"):
        identity(problems, f"{path}.securityContext", context)
    if init:
        problems.one_of(f"{path}.restartPolicy", container.get("restartPolicy"), ("Always",))
    elif container.get("restartPolicy"):
        problems.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")


def identity(problems: Problems, path: str, context: Mapping[str, Any]) -> None:
    """Users and groups of a security context, of a pod or of a container."""
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        problems.between(f"{path}.{field}", context.get(field), 0, _LARGEST_ID)
    for index, group in enumerate(context.get("supplementalGroups") or []):
        problems.between(f"{path}.supplementalGroups[{index}]", group, 0, _LARGEST_ID)


def _ports(problems: Problems, path: str, ports: list[dict[str, Any]]) -> None:
    problems.unique(path, [(f"{path}[{at}].name", port.get("name")) for at, port in enumerate(ports)])
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        if name := port.get("name"):
            problems.each(f"{at}.name", name, names.port_name(name))
        if not port.get("containerPort"):
            problems.required(f"{at}.containerPort")
        else:
            problems.between(f"{at}.containerPort", port["containerPort"], 1, 65535)
        if port.get("hostPort"):
            problems.between(f"{at}.hostPort", port["hostPort"], 1, 65535)
        if host := port.get("hostIP"):
            _host_address(problems, f"{at}.hostIP", host)
        problems.one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)


def _host_address(problems: Problems, path: str, text: str) -> None:
    try:
        IPv4Address(text)
    except AddressValueError:
        problems.invalid(path, text, "must be a valid IPv4 address, (e.g. 10.9.8.7): pods have IPv4 only here")


def _environment(problems: Problems, path: str, container: Mapping[str, Any]) -> None:
    for index, variable in enumerate(container.get("env") or []):
        at = f"{path}.env[{index}]"
        name = variable.get("name", "")
        if not name:
            problems.required(f"{at}.name")
        else:
            problems.each(f"{at}.name", name, names.env_name(name))
        if (source := variable.get("valueFrom")) is not None:
            _value_from(problems, f"{at}.valueFrom", source, has_value=bool(variable.get("value")))
    for index, source in enumerate(container.get("envFrom") or []):
        at = f"{path}.envFrom[{index}]"
        given = [field for field in ("configMapRef", "secretRef") if field in source]
        if len(given) != 1:
            words = (
                "must specify one of: `configMapRef` or `secretRef`"
                if not given
                else "may not have more than one field specified at a time"
            )
            problems.invalid(at, "", words)
        for field in given:
            if not source[field].get("name"):
                problems.required(f"{at}.{field}.name")


def _value_from(problems: Problems, path: str, source: Mapping[str, Any], *, has_value: bool) -> None:
    given = [field for field in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef") if field in source]
    if not given:
        problems.invalid(
            path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        )
    elif has_value:
        problems.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        problems.invalid(path, "", "may not have more than one field specified at a time")
    if field := source.get("fieldRef"):
        wanted = field.get("fieldPath", "")
        if not wanted:
            problems.required(f"{path}.fieldRef.fieldPath")
        elif wanted not in _FIELD_REFS and not is_keyed(wanted):
            problems.unsupported(f"{path}.fieldRef.fieldPath", wanted, sorted(_FIELD_REFS))
    if (amount := source.get("resourceFieldRef")) is not None:
        resource_field(problems, f"{path}.resourceFieldRef", amount, inside=True)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(name)) is not None:
            if not reference.get("name"):
                problems.required(f"{path}.{name}.name")
            key = reference.get("key", "")
            if not key:
                problems.required(f"{path}.{name}.key")
            else:
                problems.each(f"{path}.{name}.key", key, names.config_key(key))


def resource_field(problems: Problems, path: str, reference: Mapping[str, Any], *, inside: bool) -> None:
    """A container's amount; `inside` that container it need not be named."""
    if not inside and not reference.get("containerName"):
        problems.required(f"{path}.containerName")
    wanted = reference.get("resource", "")
    if not wanted:
        problems.required(f"{path}.resource")
    elif wanted not in _AMOUNTS:
        problems.unsupported(f"{path}.resource", wanted, sorted(_AMOUNTS))


def is_keyed(path: str) -> bool:
    """`metadata.labels['app']`"""
    return path.endswith("']") and path.startswith(("metadata.labels['", "metadata.annotations['"))


def resources(problems: Problems, path: str, found: Mapping[str, Any]) -> None:
    """Amounts are not negative, and nothing asks for more than it may have."""
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            at = f"{path}.{field}[{name}]"
            problems.each(at, name, names.qualified_name(name))
            if "/" not in name and name not in _RESOURCES and not name.startswith("hugepages-"):
                if name not in _RESOURCES_OF_OTHERS:
                    problems.invalid(at, name, "must be a standard resource type or fully qualified")
                problems.invalid(at, name, "must be a standard resource for containers")
            if quantity.is_negative(amount):
                problems.invalid(at, str(amount), "must be greater than or equal to 0")
    for name, amount in requests.items():
        if name in limits and amount != limits[name] and quantity.parse(amount) > quantity.parse(limits[name]):
            words = f"must be less than or equal to {name} limit of {limits[name]}"
            problems.invalid(f"{path}.requests", str(amount), words)


_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_RESOURCES_OF_OTHERS: Final = frozenset({"pods", "storage", "services", "secrets", "configmaps", "resourcequotas"})
"""Resources that Kubernetes knows, but not as something that a container uses."""


def _mounts(problems: Problems, path: str, mounts: list[dict[str, Any]], volumes: set[str]) -> None:
    problems.unique(path, [(f"{path}[{at}].mountPath", mount.get("mountPath")) for at, mount in enumerate(mounts)])
    for index, mount in enumerate(mounts):
        at = f"{path}[{index}]"
        name = mount.get("name", "")
        if not name:
            problems.required(f"{at}.name")
        elif name not in volumes:
            problems.not_found(f"{at}.name", name)
        if not mount.get("mountPath"):
            problems.required(f"{at}.mountPath")
        elif ":" in mount["mountPath"]:
            problems.invalid(f"{at}.mountPath", mount["mountPath"], "must not contain ':'")
        if mount.get("subPath") and mount.get("subPathExpr"):
            problems.invalid(
                f"{at}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
        for field in ("subPath", "subPathExpr"):
            below = mount.get(field, "")
            if below.startswith("/"):
                problems.invalid(f"{at}.{field}", below, "must be a relative path")
            if ".." in below.split("/"):
                problems.invalid(f"{at}.{field}", below, "must not contain '..'")


def _probes(problems: Problems, path: str, container: Mapping[str, Any], *, init: bool) -> None:
    sidecar = init and container.get("restartPolicy") == "Always"
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(field)) is None:
            continue
        at = f"{path}.{field}"
        if init and not sidecar:
            problems.forbidden(at, "may not be set for init containers without restartPolicy=Always")
            continue
        _handler(problems, at, probe)
        for number in _PROBE_NUMBERS:
            problems.at_least(f"{at}.{number}", probe.get(number), 0)
        if field != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            problems.invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1")
    for field, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            _handler(problems, f"{path}.lifecycle.{field}", handler)


def _handler(problems: Problems, path: str, handler: Mapping[str, Any]) -> None:
    given = [field for field in _HANDLERS if field in handler]
    if not given:
        problems.required(path, "must specify a handler type")
    for extra in given[1:]:
        problems.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if "exec" in given and not (handler["exec"].get("command")):
        problems.required(f"{path}.exec.command")
    for field in ("httpGet", "tcpSocket"):
        if field in given:
            _port(problems, f"{path}.{field}.port", handler[field].get("port"))
    if "httpGet" in given:
        problems.one_of(f"{path}.httpGet.scheme", handler["httpGet"].get("scheme"), _SCHEMES)
        for index, header in enumerate(handler["httpGet"].get("httpHeaders") or []):
            if not header.get("name"):
                problems.required(f"{path}.httpGet.httpHeaders[{index}].name")
    if "grpc" in given:
        _port(problems, f"{path}.grpc.port", handler["grpc"].get("port"))


def _port(problems: Problems, path: str, port: int | str | None) -> None:
    if isinstance(port, str):
        problems.each(path, port, names.port_name(port))
    else:
        problems.between(path, port or 0, 1, 65535)
