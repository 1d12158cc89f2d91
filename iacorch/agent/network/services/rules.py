"""The elements of all Services, kept up to date Service by Service.

In: informers of Services and EndpointSlices. Out: `elements()`, what the table should hold now. Called by `node.py`.
A change marks its Service; only marked Services are planned and rendered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Protocol

from iacorch.agent.network.services import nft
from iacorch.agent.network.services.plan import plan
from iacorch.api.objects import Object, labels, name, namespace

SERVICE_LABEL = "kubernetes.io/service-name"
INDEX = "service"

ServiceKey = tuple[str, str]
"""(namespace, name)"""


class Lookup(Protocol):
    """The part of an informer that is read here."""

    def get(self, namespace: str, name: str) -> Object | None: ...

    def by_index(self, index: str, value: str) -> list[Object]: ...


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
        self._node_name, self._cluster_network = node_name, cluster_network
        self._rendered: dict[ServiceKey, nft.Elements] = {}

    def refresh(self, keys: Iterable[ServiceKey]) -> None:
        """Plan these Services again."""
        for key in keys:
            service = self._services.get(*key)
            if service is None:
                self._rendered.pop(key, None)
                continue
            routing = plan(
                service,
                self._slices.by_index(INDEX, "/".join(key)),
                node_name=self._node_name,
                cluster_network=self._cluster_network,
            )
            self._rendered[key] = nft.render(routing)

    def elements(self, host_ports: Mapping[nft.Key, str]) -> dict[nft.Key, str]:
        """All of them, and the host ports'. A node port goes before a host port; shared entries are the same anyway."""
        merged = dict(host_ports)
        for rendered in self._rendered.values():
            merged.update(rendered)
        return merged
