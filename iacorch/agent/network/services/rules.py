"""The elements of all Services, kept up to date Service by Service.

In: informers of Services and EndpointSlices, nodes that do not answer. Out: `elements()`, what the table should hold
now, and `departures`, the connections that are not wanted any more. Called by `node.py`. A change marks its Service;
only marked Services are planned and rendered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Protocol

from iacorch.agent.network.services import nft
from iacorch.agent.network.services.flows import Departures, departures, together
from iacorch.agent.network.services.plan import Place, Routing, plan
from iacorch.api.objects import Object, labels, name, namespace

SERVICE_LABEL = "kubernetes.io/service-name"
INDEX = "service"

ServiceKey = tuple[str, str]
"""(namespace, name)"""


class Lookup(Protocol):
    """The part of an informer that is read here."""

    def get(self, namespace: str, name: str) -> Object | None: ...

    def by_index(self, index: str, value: str) -> list[Object]: ...

    def items(self) -> Iterable[Object]: ...


def service_of(part: Object) -> list[str]:
    """The index of EndpointSlices: the Service they belong to, as `namespace/name`."""
    owner = labels(part).get(SERVICE_LABEL)
    return [f"{namespace(part)}/{owner}"] if owner else []


def keys_of(*objects: Object | None, by_label: bool) -> set[ServiceKey]:
    """The Services that a change of a Service, or (`by_label`) of an EndpointSlice, concerns."""
    found = set()
    for obj in objects:
        if obj is not None and (service := labels(obj).get(SERVICE_LABEL) if by_label else name(obj)):
            found.add((namespace(obj), service))
    return found


class ServiceRules:
    """Rendered elements, by Service."""

    def __init__(self, services: Lookup, slices: Lookup, *, node_name: str, cluster_network: IPv4Network) -> None:
        self._services, self._slices = services, slices
        self._place = Place(node_name, cluster_network)
        self._routings: dict[ServiceKey, Routing] = {}
        self._rendered: dict[ServiceKey, nft.Elements] = {}
        # What changed before this process began is not known: look at every connection once.
        self.departures = Departures(left=None)

    def refresh(self, keys: Iterable[ServiceKey]) -> None:
        """Plan these Services again."""
        for key in keys:
            before, service = self._routings.pop(key, Routing()), self._services.get(*key)
            self._rendered.pop(key, None)
            after = Routing()
            if service is not None:
                after = plan(service, self._slices.by_index(INDEX, "/".join(key)), self._place)
                self._routings[key], self._rendered[key] = after, nft.render(after)
            if before != after:
                self.departures = together(self.departures, departures(before, after))

    def departed(self) -> None:
        """`departures` were dealt with."""
        self.departures = Departures()

    def silence(self, nodes: frozenset[str]) -> set[ServiceKey]:
        """These nodes do not answer; the Services that this concerns."""
        changed = nodes ^ self._place.silent
        self._place = replace(self._place, silent=nodes)
        return {
            key
            for part in self._slices.items()
            if any(entry.get("nodeName") in changed for entry in part.get("endpoints") or ())
            for key in keys_of(part, by_label=True)
        }

    def elements(self, host_ports: Mapping[nft.Key, str]) -> dict[nft.Key, str]:
        """All of them, and the host ports'. A node port goes before a host port; shared entries are the same anyway."""
        merged = dict(host_ports)
        for rendered in self._rendered.values():
            merged.update(rendered)
        return merged
