"""Services and EndpointSlices."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from iacorch.api import names, objects
from iacorch.api.objects import Object
from iacorch.api.validate import addresses, metadata
from iacorch.api.validate.problems import IMMUTABLE, Problems

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_AFFINITIES: Final = ("ClientIP", "None")
_POLICIES: Final = ("Cluster", "Local")
_FROM_OUTSIDE: Final = ("NodePort", "LoadBalancer")
_ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")
_AFFINITY_SECONDS: Final = 86_400
_ENDPOINTS: Final = 1000
_ADDRESSES: Final = 100


def service(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    kind, cluster_ip = spec.get("type", ""), spec.get("clusterIP", "")
    problems.one_of("spec.type", kind, _TYPES)
    headless = cluster_ip == "None"
    if kind == "ExternalName":
        _external_name(problems, spec)
    elif not spec.get("ports") and not headless:
        problems.required("spec.ports")
    if headless and kind in ("NodePort", "LoadBalancer"):
        problems.invalid("spec.clusterIP", cluster_ip, f"may not be set to 'None' for {kind} services")
    if cluster_ip and not headless and kind != "ExternalName":
        addresses.check(problems, "spec.clusterIP", cluster_ip)
    _ports(problems, kind, spec.get("ports") or [])
    metadata.labels(problems, "spec.selector", spec.get("selector"))
    problems.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), _AFFINITIES)
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
        if seconds is not None and not 0 < seconds <= _AFFINITY_SECONDS:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            problems.invalid(path, seconds, f"must be greater than 0 and less than {_AFFINITY_SECONDS}")
    for field in ("externalTrafficPolicy", "internalTrafficPolicy"):
        problems.one_of(f"spec.{field}", spec.get(field), _POLICIES)
    if spec.get("externalTrafficPolicy") and kind not in _FROM_OUTSIDE and not spec.get("externalIPs"):
        words = "may only be set for externally-accessible services"
        problems.invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], words)
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or []):
        _source_range(problems, f"spec.loadBalancerSourceRanges[{index}]", network, kind)
    for index, address in enumerate(spec.get("externalIPs") or []):
        addresses.check(problems, f"spec.externalIPs[{index}]", address)


def _source_range(problems: Problems, path: str, network: str, kind: str) -> None:
    if kind != "LoadBalancer":
        problems.forbidden(path, "may only be used when `type` is 'LoadBalancer'")
    try:
        ipaddress.ip_network(network.strip(), strict=False)
    except ValueError:
        problems.invalid(path, network, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")


def _external_name(problems: Problems, spec: dict[str, Any]) -> None:
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        problems.required("spec.externalName")
    else:
        problems.each("spec.externalName", name, names.dns_subdomain(name.lower()))
    if spec.get("clusterIP"):
        problems.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'")


def _ports(problems: Problems, kind: str, ports: list[dict[str, Any]]) -> None:
    several = len(ports) > 1
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name = port.get("name", "")
        if several and not name:
            problems.required(f"{at}.name")
        elif name:
            problems.each(f"{at}.name", name, names.dns_label(name))
        problems.between(f"{at}.port", port.get("port", 0), 1, 65535)
        problems.one_of(f"{at}.protocol", port.get("protocol"), _PROTOCOLS)
        _target_port(problems, f"{at}.targetPort", port.get("targetPort"))
        if port.get("nodePort") and kind == "ClusterIP":
            problems.forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'")
    problems.unique("spec.ports", [(f"spec.ports[{at}].name", port.get("name")) for at, port in enumerate(ports)])
    for field in ("port", "nodePort"):
        identities = [
            (f"spec.ports[{at}].{field}", f"{port.get('protocol', 'TCP')}/{port[field]}" if port.get(field) else "")
            for at, port in enumerate(ports)
        ]
        problems.unique("spec.ports", identities)


def _target_port(problems: Problems, path: str, target: int | str | None) -> None:
    if isinstance(target, str):
        problems.each(path, target, names.port_name(target))
    elif target is not None:
        problems.between(path, target, 1, 65535)


def service_change(problems: Problems, new: Object, old: Object) -> None:
    """A cluster IP stays for as long as the service has one."""
    before, after = objects.spec(old), objects.spec(new)
    if before.get("type") == "ExternalName" or after.get("type") == "ExternalName" or not before.get("clusterIP"):
        return
    if after.get("clusterIP") != before["clusterIP"]:
        problems.invalid("spec.clusterIP", after.get("clusterIP", ""), IMMUTABLE)


def endpoint_slice(problems: Problems, obj: Object) -> None:
    kind = obj.get("addressType", "")
    if not kind:
        problems.required("addressType")
    problems.one_of("addressType", kind, _ADDRESS_TYPES)
    endpoints = obj.get("endpoints") or []
    if len(endpoints) > _ENDPOINTS:
        problems.forbidden("endpoints", f"Too many: {len(endpoints)}: must have at most {_ENDPOINTS} items")
    for index, endpoint in enumerate(endpoints[:_ENDPOINTS]):
        given = endpoint.get("addresses") or []
        if not given:
            problems.required(f"endpoints[{index}].addresses", "must contain at least 1 address")
        if len(given) > _ADDRESSES:
            problems.forbidden(f"endpoints[{index}].addresses", f"must have at most {_ADDRESSES} items")
        if kind in ("IPv4", "IPv6"):
            for at, address in enumerate(given[:_ADDRESSES]):
                addresses.check_endpoint(problems, f"endpoints[{index}].addresses[{at}]", address, kind)
    ports = obj.get("ports") or []
    problems.unique("ports", [(f"ports[{at}].name", port.get("name")) for at, port in enumerate(ports)])
    for index, port in enumerate(ports):
        problems.one_of(f"ports[{index}].protocol", port.get("protocol"), _PROTOCOLS)
        problems.between(f"ports[{index}].port", port.get("port"), 1, 65535)


def endpoint_slice_change(problems: Problems, new: Object, old: Object) -> None:
    problems.immutable("addressType", new.get("addressType"), old.get("addressType"))
