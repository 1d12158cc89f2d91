"""Gives each node a /24 of the cluster's pod network. Writes Node `spec.podCIDR` and `spec.podCIDRs`, once.

All nodes are one key: two passes at the same time could give one range twice. The smallest range that no node has is
given; a range is free again when its node is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from iacorch.api import objects
from iacorch.api.catalogue import NODE
from iacorch.api.networks import CLUSTER_NETWORK, NODE_PREFIX
from iacorch.api.objects import Object
from iacorch.client.informers import Informers
from iacorch.controllers.actions import Action, Key, Patch, Plan, Say
from iacorch.controllers.runtime import Watch


def plan(nodes: Iterable[Object], *, network: IPv4Network = CLUSTER_NETWORK, prefix: int = NODE_PREFIX) -> Plan:
    """Ranges for the nodes that have none, oldest node first."""
    everyone = list(nodes)
    used = {objects.spec(node).get("podCIDR") for node in everyone}
    free = (str(part) for part in network.subnets(new_prefix=prefix) if str(part) not in used)
    waiting = [node for node in everyone if not objects.spec(node).get("podCIDR")]
    waiting.sort(key=lambda node: (str(objects.metadata(node).get("creationTimestamp")), objects.name(node)))
    actions: list[Action] = []
    for node in waiting:
        if (given := next(free, None)) is None:
            message = f"all ranges of the pod network {network} are taken"
            actions.append(Say(node, "Warning", "CIDRNotAvailable", message))
            continue
        patch = {"spec": {"podCIDR": given, "podCIDRs": [given]}}
        actions.append(Patch(NODE, "", objects.name(node), objects.uid(node), patch))
    return Plan(tuple(actions), why="nodes without a pod range" if actions else "")


class PodRangeController:
    """Implements `runtime.Controller`."""

    name = "podrange-controller"
    watches = (Watch(NODE, lambda node: (("", "*"),)),)

    def __init__(self, informers: Informers) -> None:
        self._nodes = informers.of(NODE)

    async def plan(self, key: Key) -> Plan:
        return plan(self._nodes.items())
