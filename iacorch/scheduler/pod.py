"""A pod as the scheduler sees it: parsed once, then only compared.

In: a Pod. Out: `PodInfo`, frozen. Made by `snapshot` for placed pods and by `loop` for waiting ones; filters and scores
read it. Resources are integers in the units of `RESOURCES` and extended names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import quantity, selectors
from iacorch.api.values.selectors import LabelSelector

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"
RESOURCES = (CPU, MEMORY, STORAGE, PODS)
"""The columns that every node has: milli-cores, bytes, bytes, a count."""
DEFAULT_SCHEDULER = "default-scheduler"

HostPort = tuple[str, str, int]
"""(protocol, address, port); the address is "" for all."""


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of a node affinity: all of it must hold. `names` and `barred` are from matchFields metadata.name."""

    selector: LabelSelector
    names: frozenset[str] | None = None
    barred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PodTerm:
    """One term of a pod (anti-)affinity: pods that match, in these namespaces, per value of a node label."""

    selector: LabelSelector
    namespaces: frozenset[str]
    topology_key: str


@dataclass(frozen=True, slots=True)
class SpreadTerm:
    """One topology spread constraint: pods of the namespace that match, evenly over the values of a node label."""

    selector: LabelSelector
    topology_key: str
    max_skew: int
    min_domains: int = 1
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class PodInfo:
    """Everything that a placement depends on. `shape` is equal for pods that differ only in identity."""

    uid: str
    namespace: str
    name: str
    priority: int
    workload: str
    """UID of the controller, "" without one: its pods are spread."""
    requests: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, str], ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    required_nodes: tuple[NodeTerm, ...] | None = None
    preferred_nodes: tuple[tuple[int, NodeTerm], ...] = ()
    tolerations: tuple[tuple[tuple[str, str], ...], ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred_pods: tuple[tuple[int, PodTerm], ...] = ()
    """Weight and term; the weight of who is to be kept away is negative."""
    spread: tuple[SpreadTerm, ...] = ()
    pod: Object = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def pod_info(pod: Object) -> PodInfo:
    """Parse a pod. Quantities and selectors were validated by the server."""
    spec = objects.spec(pod)
    owner = objects.controller_of(pod)
    affinity = spec.get("affinity") or {}
    nodes = affinity.get("nodeAffinity") or {}
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution")
    namespace = objects.namespace(pod)
    return PodInfo(
        uid=objects.uid(pod),
        namespace=namespace,
        name=objects.name(pod),
        priority=int(spec.get("priority") or 0),
        workload=owner["uid"] if owner is not None else "",
        requests=requests_of(spec),
        labels=tuple(sorted(objects.labels(pod).items())),
        node_selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        required_nodes=tuple(map(_node_term, required.get("nodeSelectorTerms") or ())) if required else None,
        preferred_nodes=tuple(
            (int(entry["weight"]), _node_term(entry["preference"]))
            for entry in nodes.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        tolerations=tuple(_strings(entry) for entry in spec.get("tolerations") or ()),
        host_ports=tuple(_host_ports(spec)),
        affinity=_pod_terms(affinity.get("podAffinity"), namespace),
        anti_affinity=_pod_terms(affinity.get("podAntiAffinity"), namespace),
        preferred_pods=(
            *_preferred_pods(affinity.get("podAffinity"), namespace, 1),
            *_preferred_pods(affinity.get("podAntiAffinity"), namespace, -1),
        ),
        spread=tuple(_spread_term(entry, objects.labels(pod)) for entry in spec.get("topologySpreadConstraints") or ()),
        pod=pod,
    )


def requests_of(spec: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """What the pod asks of a node: the sum of its containers, or one init container if that is more; and one pod.

    Init containers that restart (sidecars) count for as long as the pod lives. Source: KEP-753.
    """
    total: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, container)
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(sidecars, container)
            _add(total, container)
            wanted = dict(sidecars)
        else:
            wanted = dict(sidecars)
            _add(wanted, container)
        for name, amount in wanted.items():
            peak[name] = max(peak.get(name, 0), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    for name, text in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, 0) + _amount(name, str(text))
    total[PODS] = 1
    return tuple(sorted((name, amount) for name, amount in total.items() if amount))


def _add(into: dict[str, int], container: dict[str, Any]) -> None:
    resources = container.get("resources") or {}
    # A limit without a request is a request, as in Kubernetes' defaulting.
    for name, text in ((resources.get("limits") or {}) | (resources.get("requests") or {})).items():
        into[name] = into.get(name, 0) + _amount(name, str(text))


@lru_cache(maxsize=8192)
def _amount(name: str, text: str) -> int:
    return quantity.milli_cpu(text) if name == CPU else quantity.units(text)


def amounts(resources: dict[str, Any]) -> dict[str, int]:
    """A node's allocatable in the scheduler's units."""
    return {name: _amount(name, str(text)) for name, text in resources.items()}


def _node_term(term: dict[str, Any]) -> NodeTerm:
    expressions = term.get("matchExpressions")
    names: frozenset[str] | None = None
    barred: frozenset[str] = frozenset()
    for entry in term.get("matchFields") or ():
        values = frozenset(entry.get("values") or ())
        if entry.get("operator") == "NotIn":
            barred |= values
        else:
            names = values if names is None else names & values
    if not expressions and (names is not None or barred):
        return NodeTerm(selectors.EVERYTHING, names, barred)
    return NodeTerm(selectors.from_node_expressions(expressions), names, barred)


def _pod_terms(affinity: dict[str, Any] | None, namespace: str) -> tuple[PodTerm, ...]:
    required = (affinity or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_pod_term(entry, namespace) for entry in required)


def _preferred_pods(affinity: dict[str, Any] | None, namespace: str, sign: int) -> tuple[tuple[int, PodTerm], ...]:
    preferred = (affinity or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple((sign * int(e["weight"]), _pod_term(e["podAffinityTerm"], namespace)) for e in preferred)


def _pod_term(entry: dict[str, Any], namespace: str) -> PodTerm:
    return PodTerm(
        selectors.from_object(entry.get("labelSelector")),
        frozenset(entry.get("namespaces") or (namespace,)),
        entry["topologyKey"],
    )


def _spread_term(entry: dict[str, Any], labels: dict[str, str]) -> SpreadTerm:
    """`matchLabelKeys` ask for the pod's own values: pods of one ReplicaSet, for example. Source: KEP-3243."""
    selector = entry.get("labelSelector")
    if own := {key: labels[key] for key in entry.get("matchLabelKeys") or () if key in labels}:
        selector = {**(selector or {}), "matchLabels": {**((selector or {}).get("matchLabels") or {}), **own}}
    return SpreadTerm(
        selectors.from_object(selector),
        entry["topologyKey"],
        int(entry.get("maxSkew") or 1),
        int(entry.get("minDomains") or 1),
        entry.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
    )


def _host_ports(spec: dict[str, Any]) -> list[HostPort]:
    found: list[HostPort] = []
    for container in spec.get("containers") or ():
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") else 0)
            if number:
                address = port.get("hostIP", "")
                found.append((port.get("protocol", "TCP"), "" if address == "0.0.0.0" else address, int(number)))
    return found


def _strings(entry: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in entry.items() if value is not None))
