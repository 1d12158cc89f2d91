"""EndpointSlice: the addresses behind a Service, in slices of at most 100.

In: the Service, the pods it selects, the slices that are there, the zones of nodes. Out: a `Plan`. Called by
`controller.py`. Writes: EndpointSlices with label `endpointslice.kubernetes.io/managed-by`, and nothing else.

Pods are grouped by the port numbers that the Service's ports come to on them (a named targetPort may differ between
pods); each group has its own slices. An endpoint stays in the slice it is in, so that a change of one pod is one write.
Source: Kubernetes API reference, EndpointSlice (conditions ready, serving, terminating).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from iacorch.api import objects
from iacorch.api.catalogue import ENDPOINT_SLICE
from iacorch.api.objects import Object
from iacorch.controllers import naming, pods
from iacorch.controllers.actions import Action, Create, Plan, Replace, delete

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ENDPOINTS_PER_SLICE = 100

Ports: TypeAlias = tuple[tuple[str, str, int, str], ...]
"""(name, protocol, number, appProtocol) of each port, in the Service's order."""


@dataclass(frozen=True, slots=True)
class Observed:
    """`pods`: those that the Service's selector matches. `slices`: those of the Service that we manage."""

    service: Object
    pods: tuple[Object, ...]
    slices: tuple[Object, ...]
    zones: Mapping[str, str] = field(default_factory=dict)


def plan(observed: Observed) -> Plan:
    """A Service without a selector is somebody else's to fill; one that goes takes its slices with it (ownership)."""
    service = observed.service
    if objects.is_deleting(service) or objects.spec(service).get("type") == "ExternalName":
        return Plan(tuple(delete(ENDPOINT_SLICE, entry) for entry in observed.slices))
    if not objects.spec(service).get("selector"):
        return Plan()
    groups: dict[Ports, dict[str, dict[str, Any]]] = {}
    for pod in sorted(observed.pods, key=objects.name):
        if (endpoint := endpoint_of(service, pod, observed.zones)) is not None:
            groups.setdefault(ports_of(service, pod), {})[objects.uid(pod)] = endpoint
    if not groups:
        # A Service nobody is behind has one empty slice: watchers can tell it from one not looked at yet.
        groups[ports_of(service, None)] = {}
    actions: list[Action] = []
    kept: set[str] = set()
    for ports, endpoints in groups.items():
        actions += _group(observed, ports, endpoints, kept)
    actions += [delete(ENDPOINT_SLICE, entry) for entry in observed.slices if objects.uid(entry) not in kept]
    return Plan(tuple(actions), why=f"{sum(map(len, groups.values()))} endpoints")


def endpoint_of(service: Object, pod: Object, zones: Mapping[str, str]) -> dict[str, Any] | None:
    """The pod as an endpoint; None when it has no address or is over."""
    address = objects.status(pod).get("podIP")
    if not address or pods.is_over(pod):
        return None
    serving, terminating = pods.is_ready(pod), objects.is_deleting(pod)
    regardless = bool(objects.spec(service).get("publishNotReadyAddresses"))
    node = pods.node_name(pod)
    endpoint: dict[str, Any] = {
        "addresses": [address],
        "conditions": {
            "ready": regardless or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": objects.namespace(pod),
            "name": objects.name(pod),
            "uid": objects.uid(pod),
        },
    }
    if node:
        endpoint["nodeName"] = node
        if zone := zones.get(node):
            endpoint["zone"] = zone
    spec = objects.spec(pod)
    if spec.get("hostname") and spec.get("subdomain") == objects.name(service):
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def ports_of(service: Object, pod: Object | None) -> Ports:
    """The Service's ports as numbers on this pod. A named port that the pod lacks is left out."""
    found = []
    for port in objects.spec(service).get("ports") or ():
        number = _number(port.get("targetPort", port.get("port")), port, pod)
        if number:
            found.append((port.get("name", ""), port.get("protocol", "TCP"), number, port.get("appProtocol", "")))
    return tuple(found)


def _number(target: int | str, port: dict[str, Any], pod: Object | None) -> int:
    if isinstance(target, int):
        return target or int(port["port"])
    if pod is None:
        return 0
    for _, _, container in objects.containers(objects.spec(pod)):
        for entry in container.get("ports") or ():
            if entry.get("name") == target and entry.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(entry["containerPort"])
    return 0


def _group(observed: Observed, ports: Ports, endpoints: dict[str, dict[str, Any]], kept: set[str]) -> list[Action]:
    """Slices for one set of ports: keep what is in place, fill gaps, make more under the first free names."""
    service = observed.service
    waiting = dict(endpoints)
    contents: list[tuple[Object, list[dict[str, Any]]]] = []
    for entry in sorted(observed.slices, key=objects.name):
        if entry.get("addressType") != "IPv4" or _ports(entry) != ports or objects.is_deleting(entry):
            continue
        uids = [str((old.get("targetRef") or {}).get("uid", "")) for old in entry.get("endpoints") or ()]
        contents.append((entry, [waiting.pop(uid) for uid in uids if uid in waiting][:ENDPOINTS_PER_SLICE]))
    left = list(waiting.values())
    for _, inside in contents:
        room = ENDPOINTS_PER_SLICE - len(inside)
        inside += left[:room]
        left = left[room:]
    # Of slices that became empty, one stays only if nothing else holds the group.
    contents = [pair for pair in contents if pair[1]] or contents[:1]
    actions: list[Action] = []
    for entry, inside in contents:
        kept.add(objects.uid(entry))
        wanted = _slice(service, objects.name(entry), ports, inside)
        if _differs(entry, wanted):
            metadata = {**objects.metadata(entry), "labels": objects.labels(wanted)}
            actions.append(Replace(ENDPOINT_SLICE, {**wanted, "metadata": metadata}))
    taken = {objects.name(entry) for entry in observed.slices}
    chunks = [left[at : at + ENDPOINTS_PER_SLICE] for at in range(0, len(left), ENDPOINTS_PER_SLICE)]
    if not contents and not chunks:
        chunks = [[]]
    owner = f"{objects.uid(service)}{ports}"
    names = naming.free_names(objects.name(service), owner, taken=taken, count=len(chunks))
    actions += [
        Create(ENDPOINT_SLICE, _slice(service, name, ports, chunk)) for name, chunk in zip(names, chunks, strict=True)
    ]
    return actions


def _slice(service: Object, name: str, ports: Ports, endpoints: list[dict[str, Any]]) -> Object:
    labels = {
        **objects.labels(service),
        SERVICE_LABEL: objects.name(service),
        MANAGED_BY_LABEL: MANAGED_BY,
    }
    if objects.spec(service).get("clusterIP") == "None":
        labels[HEADLESS_LABEL] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "generateName": f"{objects.name(service)}-",
            "namespace": objects.namespace(service),
            "labels": labels,
            "ownerReferences": [objects.owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [
            {"name": label, "protocol": protocol, "port": number} | ({"appProtocol": app} if app else {})
            for label, protocol, number, app in ports
        ],
    }


def _ports(entry: Object) -> Ports:
    return tuple(
        (port.get("name", ""), port.get("protocol", "TCP"), int(port.get("port") or 0), port.get("appProtocol", ""))
        for port in entry.get("ports") or ()
    )


def _differs(entry: Object, wanted: Object) -> bool:
    return (entry.get("endpoints") or []) != wanted["endpoints"] or objects.labels(entry) != objects.labels(wanted)
