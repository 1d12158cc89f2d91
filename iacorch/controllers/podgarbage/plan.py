"""Pods that nobody else removes.

In: one pod, whether its node exists, how many pods are over. Out: a `Plan`. Called by `controller.py`. Writes: the
final removal (grace 0) of pods, which is otherwise the agent's.

    pod                                            verdict
    bound to a node that does not exist (any more)  remove: no agent will
    being deleted, never bound                      remove: no agent knows it
    over, and more than PODS_OVER_KEPT are          remove, oldest first
    anything else                                   keep
"""

from __future__ import annotations

from dataclasses import dataclass

from iacorch.api import objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.controllers import pods
from iacorch.controllers.actions import NOTHING, Plan, Say, delete


@dataclass(frozen=True, slots=True)
class Observed:
    """`surplus`: the pod is one of the oldest that are over, beyond the number that is kept."""

    pod: Object
    node_exists: bool
    surplus: bool = False


def plan(observed: Observed) -> Plan:
    """See the table in the module docstring."""
    pod = observed.pod
    node = pods.node_name(pod)
    if node and not observed.node_exists:
        message = f"node {node} does not exist"
        return Plan((delete(POD, pod, grace_seconds=0), Say(pod, "Normal", "NodeGone", message)), why=message)
    if not node and objects.is_deleting(pod):
        return Plan((delete(POD, pod, grace_seconds=0),), why="never bound")
    if observed.surplus and pods.is_over(pod):
        return Plan((delete(POD, pod, grace_seconds=0),), why="too many finished pods are kept")
    return NOTHING
