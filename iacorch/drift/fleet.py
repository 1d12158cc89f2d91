"""What the stacks say the fleet is: machines that became nodes, objects that were declared, ways to the API. Pure.

In: the states of all stacks. Out: `Fleet`. Called by `check` and by `changes`; nothing but the states is needed to know
how to reach everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from iacorch.drift.model import Place
from iacorch.drift.workload.declared import Declared
from iacorch.errors import ConfigError
from iacorch.infra.bootstrap.plan import ControlPlaneConfig, NodeConfig
from iacorch.infra.bootstrap.ssh import SshTarget
from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource, Snapshot
from iacorch.infra.provider.resources import control_plane, manifest_plan, node
from iacorch.infra.provider.resources.machine import target_of

Playbook = Literal["node", "control_plane"]


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that bootstrap made what it is. `bundle` is the one its state says is installed."""

    name: str
    target: SshTarget
    config: NodeConfig | ControlPlaneConfig = field(repr=False)
    bundle: str
    place: Place
    ignore: tuple[str, ...] = ()

    @property
    def playbook(self) -> Playbook:
        return "node" if isinstance(self.config, NodeConfig) else "control_plane"

    @property
    def is_node(self) -> bool:
        return isinstance(self.config, NodeConfig)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hosts and objects of all stacks; `kubeconfig` is the admin's, "" where no stack has a control plane."""

    hosts: tuple[Host, ...] = ()
    declared: tuple[Declared, ...] = ()
    kubeconfig: str = field(default="", repr=False)


def fleet_of(stacks: Mapping[str, Snapshot]) -> Fleet:
    """Stack name -> its state. What is half made, or has unknown values, is left out: it is not wanted yet.

    A host is half made until a bundle is on record for it; until then the machine layer speaks for it.
    """
    hosts: list[Host] = []
    declared: list[Declared] = []
    kubeconfigs: list[str] = []
    for stack, snapshot in stacks.items():
        for resource in snapshot.resources:
            if resource.delete or resource.pending_replacement or not resource.custom:
                continue
            inputs, outputs = wire.reveal(resource.inputs), wire.reveal(resource.outputs)
            if wire.has_unknown(inputs):
                continue
            match resource.type:
                case "iacorch:index:Node":
                    if outputs.get("bundle"):
                        hosts.append(_node(stack, resource, inputs, outputs))
                    declared.append(_node_object(stack, resource, inputs))
                case "iacorch:index:ControlPlane":
                    if outputs.get("bundle"):
                        hosts.append(_control_plane(stack, resource, inputs, outputs))
                    kubeconfigs.append(str(outputs.get("kubeconfig") or ""))
                case "iacorch:index:Manifest":
                    declared += _manifest(stack, resource, inputs)
                    kubeconfigs.append(str(inputs.get("kubeconfig") or ""))
    return Fleet(tuple(hosts), tuple(declared), next((text for text in kubeconfigs if text), ""))


def _node(stack: str, resource: Resource, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Host:
    config = node.config_of(inputs, node.owner_of(resource.id))
    place = Place(stack=stack, node=config.name, urn=resource.urn, labels=config.labels)
    target = target_of(inputs, host_keys=str(outputs.get("hostKeys") or ""))
    return Host(config.name, target, config, str(outputs.get("bundle") or ""), place, resource.ignore_changes)


def _control_plane(stack: str, resource: Resource, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Host:
    config = control_plane.config_of(inputs, str(outputs.get("joinToken") or ""), resource.id)
    name = urns.name_of(resource.urn)
    target = target_of(inputs, host_keys=str(outputs.get("hostKeys") or ""))
    return Host(name, target, config, str(outputs.get("bundle") or ""), Place(stack, name, urn=resource.urn))


def _node_object(stack: str, resource: Resource, inputs: Mapping[str, Any]) -> Declared:
    """The Node object that joining makes: its labels and taints, to which the cluster may add."""
    labels = dict(inputs.get("labels") or {})
    metadata: dict[str, Any] = {"name": str(inputs["nodeName"])} | ({"labels": labels} if labels else {})
    taints = [_taint(text) for text in inputs.get("taints") or ()]
    spec: dict[str, Any] = {"spec": {"taints": taints}} if taints else {}
    return Declared({"apiVersion": "v1", "kind": "Node", "metadata": metadata, **spec}, stack, resource.urn)


def _taint(text: str) -> dict[str, str]:
    """`KEY=VALUE:EFFECT`, which the provider has checked."""
    named, _, effect = text.rpartition(":")
    key, _, value = named.partition("=")
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def _manifest(stack: str, resource: Resource, inputs: Mapping[str, Any]) -> Iterable[Declared]:
    try:
        documents = manifest_plan.documents(
            str(inputs.get("yaml") or ""),
            inputs.get("objects") or (),
            namespace=str(inputs.get("namespace") or "default"),
        )
    except ConfigError:
        return []  # an older version wrote what this one cannot read: its refresh says so
    return [Declared(obj, stack, resource.urn, token=resource.id) for obj in documents]
