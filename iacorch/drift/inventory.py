"""The machines of a cluster as Ansible's inventory. Pure.

In: the fleet that the stacks tell of, the Node objects. Out: `Entry`s with their groups and variables, and the JSON
that Ansible reads from an inventory script. Groups: `control_plane`, `nodes`, `ready`, `not_ready`, and one for each
zone, pool, stack and role (`zone_a`, `pool_web`, `stack_dev`, `role_gpu`). Called by `iacorch inventory` and by the
plugin `iacorch.nodes.nodes`, which gives Ansible the keys of the machines as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.drift.fleet import Fleet, Host
from iacorch.infra.bootstrap.ssh import SshTarget

_ZONE: Final = "topology.kubernetes.io/zone"
_POOL: Final = "iacorch.dev/nodepool"
_ROLE: Final = "node-role.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine. `target` is None for a Node that no stack declares: Ansible finds its own way in."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    target: SshTarget | None = field(default=None, repr=False)


def entries(fleet: Fleet, nodes: Iterable[Object]) -> tuple[Entry, ...]:
    """Machines of the stacks, then Nodes that only the cluster knows; by name."""
    live = {objects.name(node): node for node in nodes}
    found = [_declared(host, live.get(host.name) if host.is_node else None) for host in fleet.hosts]
    known = {host.name for host in fleet.hosts if host.is_node}
    found += [_undeclared(node) for name, node in live.items() if name not in known]
    taken: dict[str, Entry] = {}
    for entry in sorted(found, key=lambda entry: (entry.name, entry.groups)):
        # A control plane and a node may have one name: they are two machines, or one that is both.
        name = entry.name if entry.name not in taken else f"{entry.name}-{entry.groups[0].replace('_', '-')}"
        taken[name] = Entry(name, entry.groups, entry.variables, entry.target)
    return tuple(taken.values())


def script(found: Sequence[Entry]) -> dict[str, Any]:
    """What an inventory script answers to `--list`."""
    groups: dict[str, Any] = {}
    for entry in found:
        for group in entry.groups:
            groups.setdefault(group, {"hosts": []})["hosts"].append(entry.name)
    hostvars = {entry.name: dict(entry.variables) for entry in found}
    return {**groups, "all": {"children": sorted({"ungrouped", *groups})}, "_meta": {"hostvars": hostvars}}


def _declared(host: Host, node: Object | None) -> Entry:
    target = host.target
    variables: dict[str, Any] = {
        "ansible_host": target.host,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "iacorch_stack": host.place.stack,
        "iacorch_urn": host.place.urn,
        "iacorch_bundle": host.bundle,
    }
    labels = dict(host.place.labels)
    groups = ["nodes" if host.is_node else "control_plane", _group("stack", host.place.stack)]
    if node is not None:
        labels |= objects.labels(node)
        variables |= _seen(node)
    if host.is_node:
        ready = node is not None and objects.condition_is(node, "Ready")
        variables["iacorch_ready"] = ready
        groups.append("ready" if ready else "not_ready")
    return _entry(host.name, groups, variables, labels, target)


def _undeclared(node: Object) -> Entry:
    ready = objects.condition_is(node, "Ready")
    variables = {"ansible_host": _address(node), "iacorch_ready": ready, **_seen(node)}
    groups = ["nodes", "ready" if ready else "not_ready"]
    return _entry(objects.name(node), groups, variables, objects.labels(node), None)


def _entry(
    name: str, groups: list[str], variables: dict[str, Any], labels: Mapping[str, str], target: SshTarget | None
) -> Entry:
    zone, pool = labels.get(_ZONE, ""), labels.get(_POOL, "")
    roles = sorted(label.removeprefix(_ROLE) for label in labels if label.startswith(_ROLE))
    variables |= {"iacorch_labels": dict(sorted(labels.items())), "iacorch_zone": zone, "iacorch_pool": pool}
    variables["iacorch_roles"] = roles
    groups += [_group(kind, value) for kind, value in (("zone", zone), ("pool", pool)) if value]
    return Entry(name, (*groups, *(_group("role", role) for role in roles)), variables, target)


def _seen(node: Object) -> dict[str, Any]:
    spec, info = objects.spec(node), objects.status(node).get("nodeInfo") or {}
    return {
        "iacorch_node": objects.name(node),
        "iacorch_node_ip": _address(node),
        "iacorch_taints": list(spec.get("taints") or ()),
        "iacorch_schedulable": not spec.get("unschedulable", False),
        "iacorch_version": str(info.get("kubeletVersion", "")),
        "iacorch_pod_range": str(spec.get("podCIDR", "")),
    }


def _address(node: Object) -> str:
    found = {entry["type"]: entry["address"] for entry in objects.status(node).get("addresses") or ()}
    return str(found.get("InternalIP") or objects.name(node))


def _group(kind: str, value: str) -> str:
    """A name that Ansible takes for a group: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"{kind}_{value}")
