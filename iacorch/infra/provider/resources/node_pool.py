"""NodePool: machines that the cluster asks for itself, as an object of the cluster (docs/pools.md).

Create and update write one NodePool object, as a Manifest of that one object would; the server checks its words. A
delete waits until the provisioner has given the pool's machines back: what comes after it in a `destroy` may be the
control plane, and then nobody would know of them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from iacorch.api.catalogue import NODE_CLAIM
from iacorch.errors import EngineError
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import Made, Properties, Request, name_of
from iacorch.infra.provider.resources import cluster
from iacorch.infra.provider.resources.manifest import Manifests, told_as
from iacorch.infra.provider.resources.node import taint_failures
from iacorch.kit import limits
from iacorch.kit.clock import Clock

POOL_LABEL: Final = "iacorch.dev/nodepool"
_HALF_MADE: Final = {"inSync": False}
_AS_THEY_ARE: Final = (
    "weight",
    "limits",
    "labels",
    "requirements",
    "expireAfter",
    "timeZone",
    "officeHours",
    "disruption",
    "repair",
)

SPEC = ResourceSpec(
    token="iacorch:index:NodePool",
    description="Machines that the cluster asks for itself when pods fit nowhere, within limits.",
    inputs=(
        Property("kubeconfig", "string", "How this side reaches the API.", required=True, secret=True),
        Property("poolName", "string", "The object's name; by default the resource's name.", replaces=True),
        Property("className", "string", "The MachineClass that its machines are made from.", required=True),
        Property("weight", "integer", "The heaviest pool that can take a pod is asked first."),
        Property("limits", "tree", "machines, cpu, memory, moneyPerHour, moneyPerMonth."),
        Property("labels", "map", "Of its nodes."),
        Property("taints", "strings", "Of its nodes, each KEY=VALUE:EFFECT."),
        Property("requirements", "trees", "Which offerings may be taken, as node selector terms."),
        Property("expireAfter", "string", "How old a machine may become, such as 720h."),
        Property("timeZone", "string", "Of the hours."),
        Property("officeHours", "tree", "When the pool may have machines."),
        Property("disruption", "tree", "consolidationPolicy, consolidateAfter, budgets."),
        Property("repair", "tree", "policy, rungs, maxAtOnce, maxUnhealthy, patience."),
    ),
    outputs=(Property("inSync", "boolean", "Whether the object was as wanted when it was last looked at."),),
    healthy={"inSync": True},
)


class NodePools:
    """Implements `Resource`."""

    spec = SPEC

    def __init__(self, manifests: Manifests, clock: Clock) -> None:
        self._manifests, self._clock = manifests, clock

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return {"poolName": name_of(urn).lower().replace("_", "-"), **inputs}

    def check(self, inputs: Properties) -> Sequence[Failure]:
        return tuple(taint_failures(inputs))

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        return False

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        return {"inSync": True}

    async def create(self, request: Request, inputs: Properties) -> Made:
        with told_as(_HALF_MADE):
            return _made(await self._manifests.create(request, manifest(inputs)))

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        with told_as(_HALF_MADE):
            return _made(await self._manifests.update(request, id, manifest(inputs), manifest(old), state))

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        made = await self._manifests.read(request, id, manifest(inputs), {})
        return None if made is None else _made(made)

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        with told_as(_HALF_MADE):
            made = await self._manifests.find(request, manifest(inputs))
        return None if made is None else _made(made)

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        await self._manifests.delete(request, id, manifest(inputs), {})
        name = str(inputs["poolName"])
        deadline = self._clock.monotonic() + min(limits.POOL_EMPTY_SECONDS, request.timeout_seconds)
        told = 0
        async with cluster.opened(str(inputs["kubeconfig"])) as client:
            while left := len((await client.list(NODE_CLAIM, label_selector=f"{POOL_LABEL}={name}")).items):
                if self._clock.monotonic() >= deadline:
                    raise EngineError(
                        f"the pool {name} still has {left} machines", hint="`iacorch provisioner` removes them: run it"
                    )
                if left != told:
                    request.say(f"{name}: {left} machines are being given back")
                told = left
                await self._clock.sleep(limits.POOL_POLL_SECONDS)


def _made(made: Made) -> Made:
    return Made(made.id, {"inSync": made.outputs["inSync"]})


def manifest(inputs: Properties) -> dict[str, Any]:
    """Inputs of a Manifest with the one object. Pure."""
    spec: dict[str, Any] = {"classRef": {"name": inputs["className"]}}
    spec |= {name: inputs[name] for name in _AS_THEY_ARE if inputs.get(name) is not None}
    if inputs.get("taints"):
        spec["taints"] = [_taint(str(text)) for text in inputs["taints"]]
    obj = {
        "apiVersion": NODE_CLAIM.api_version,
        "kind": "NodePool",
        "metadata": {"name": inputs["poolName"]},
        "spec": spec,
    }
    return {"kubeconfig": inputs["kubeconfig"], "objects": [obj], "namespace": "default", "wait": False}


def _taint(text: str) -> dict[str, str]:
    if text == UNKNOWN:
        return {}
    rest, _, effect = text.rpartition(":")
    key, _, value = rest.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
