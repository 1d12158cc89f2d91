"""Node: any machine that SSH reaches, made a node of the fleet: facts, bootstrap, join, Ready.

Inputs and outputs stand in `SPEC`. A change of the machine (host, machineId), the node's name or the cluster (which its
join token tells: a cluster's CA may be made anew) replaces; every other change runs bootstrap again, which changes only
what differs. Called by the servicer; the way to a running daemon is in `machine`, what happens through the API in
`cluster`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from iacorch.api import objects
from iacorch.errors import ApiError, ConfigError, EngineError, Unavailable
from iacorch.infra.bootstrap.errors import PlaybookFailed, WentBack
from iacorch.infra.bootstrap.plan import AGENT_UNIT, NodeConfig, node_ip, plan_node
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import CUT_SHORT, HalfMade, Made, Properties, Request, name_of, words
from iacorch.infra.provider.resources import cluster
from iacorch.infra.provider.resources.machine import CONNECTION, MACHINE_ID, RELEASE, SEEN, Machines, seen, target_of
from iacorch.kit import limits

SPEC = ResourceSpec(
    token="iacorch:index:Node",
    description="A machine, reachable by SSH, as a node of the fleet.",
    inputs=(
        Property("nodeName", "string", "The node's name; by default the resource's name.", replaces=True),
        CONNECTION,
        MACHINE_ID,
        RELEASE,
        Property("server", "string", "URL of the API as the node reaches it.", required=True),
        Property("caCert", "string", "The CA of the API (PEM); two while it is being changed.", required=True),
        Property("joinToken", "string", "Lets the machine join.", required=True, secret=True, replaces=True),
        Property("kubeconfig", "string", "How this side reaches the API.", required=True, secret=True),
        Property("nodeIp", "string", "The address other nodes reach it at; by default found out.", replaces=True),
        Property("labels", "map", "Labels of the Node object."),
        Property("taints", "strings", "Taints of the Node object, each KEY=VALUE:EFFECT."),
    ),
    outputs=(
        *SEEN,
        Property("address", "string", "The address other nodes reach it at."),
        Property("ready", "boolean", "Whether the Node object was Ready when it was last looked at."),
        Property("version", "string", "The agent's version as the Node object says it."),
    ),
    healthy={"reachable": True, "serviceActive": True, "ready": True},
)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TAINT = re.compile(r"[^=:\s]+(=[^=:\s]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")


def taint_failures(inputs: Properties) -> Iterator[Failure]:
    """Taints that are none. Values that a preview cannot know pass."""
    for number, taint in enumerate(inputs.get("taints") or ()):
        if taint != UNKNOWN and isinstance(taint, str) and not _TAINT.fullmatch(taint):
            words = f"{taint!r} is not KEY=VALUE:NoSchedule|PreferNoSchedule|NoExecute"
            yield Failure(f"taints[{number}]", words)


class Nodes:
    """Implements `Resource`."""

    spec = SPEC

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._clock = machines.clock

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return {"nodeName": name_of(urn).lower(), **inputs, "release": self._machines.release}

    def check(self, inputs: Properties) -> Sequence[Failure]:
        failures = []
        name = inputs.get("nodeName", "")
        if name != UNKNOWN and isinstance(name, str) and not _NAME.fullmatch(name):
            failures.append(
                Failure("nodeName", f"{name!r} is no node name: lower case letters, digits, '-' and '.', at most 253")
            )
        return [*failures, *taint_failures(inputs)]

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        # Two machines cannot be one node, and one machine cannot be two.
        return old.get("nodeName") == new.get("nodeName") or old.get("connection") == new.get("connection")

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        known = {name: state[name] for name in ("hostKeys", "os", "address", "version") if name in state}
        return {**{p.name: UNKNOWN for p in SPEC.outputs}, **known, "reachable": True, "serviceActive": True}

    async def create(self, request: Request, inputs: Properties) -> Made:
        return await self._apply(request, _id(request, inputs), request.token, inputs, {})

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        return await self._apply(request, id, owner_of(id), inputs, state)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        look = await self._machines.look(target_of(inputs, host_keys=state.get("hostKeys", "")))
        if look.found is not None and look.found.installation.owners.get(AGENT_UNIT) != owner_of(id):
            return None  # we were let in, and nothing of this resource is there
        if look.found is None:
            request.say(look.words)
        ready, version = await self._node(inputs)
        outputs = {
            **seen(look.found, AGENT_UNIT, state),
            "address": state.get("address", ""),
            "ready": ready,
            "version": version or state.get("version", ""),
        }
        return Made(id, outputs)

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        look = await self._machines.look(target_of(inputs))
        if look.found is None:
            raise EngineError(f"{inputs['nodeName']}: whether it was begun cannot be seen: {look.words}")
        if look.found.installation.owners.get(AGENT_UNIT) != request.token:
            return None
        outputs = {**seen(look.found, AGENT_UNIT, {}), "ready": False}
        raise HalfMade(Made(_id(request, inputs), outputs), [CUT_SHORT])

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        name = str(inputs["nodeName"])
        target = target_of(inputs, host_keys=state.get("hostKeys", ""))
        look = await self._machines.look(target)
        reachable = look.found is not None
        if look.found is not None and look.found.installation.owners.get(AGENT_UNIT, "") not in ("", owner_of(id)):
            request.say(f"{name}: its machine is another resource's by now and is left alone")
            await self._forget_if_dead(inputs)
            return
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                if reachable:
                    patience = min(limits.DRAIN_SECONDS, request.timeout_seconds / 2)
                    await cluster.drain(client, name, self._clock, request.say, timeout_seconds=patience)
                else:
                    request.say(f"{name}: its machine does not answer; only the Node object is removed")
                    await cluster.forget_node(client, name)
                    return
        except (Unavailable, ConfigError) as error:
            request.say(f"{name}: the API does not answer, so it is not drained: {words(error)}")
        await self._machines.reset(request, target, name=name, unit=AGENT_UNIT, owner=owner_of(id))
        # After the agent has stopped: a running one would register itself again.
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                await cluster.forget_node(client, name)
        except (Unavailable, ConfigError):
            return  # said above; a server that is gone has no Node object either

    async def _forget_if_dead(self, inputs: Properties) -> None:
        """A node that lives under this name is the other resource's."""
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                node = await cluster.find_node(client, str(inputs["nodeName"]))
                if node is not None and not objects.condition_is(node, "Ready"):
                    await cluster.forget_node(client, str(inputs["nodeName"]))
        except (Unavailable, ConfigError):
            return  # as in `delete`: a server that is gone has no Node object either

    async def _apply(self, request: Request, id: str, owner: str, inputs: Properties, state: Properties) -> Made:
        name, target = str(inputs["nodeName"]), target_of(inputs, host_keys=state.get("hostKeys", ""))
        outputs: dict[str, Any] = {**state, "ready": False, "serviceActive": False}
        async with self._machines.reached(request, target) as session:
            found = await self._machines.facts(session)
            config = config_of(inputs, owner)
            outputs |= {
                "hostKeys": session.host_keys(),
                "os": found.os_name,
                "reachable": True,
                "address": config.node_ip or node_ip(found, target.host),
            }
            planned = plan_node(found, config, host=target.host)
            try:
                done = await self._machines.bootstrap(
                    request, session, name=name, found=found, planned=planned, playbook="node"
                )
                if done.before:
                    await self._prove(request, session, name, inputs, done.before)
                elif done.untouched:
                    await self._wake(request, session, name, inputs)
            except WentBack as error:
                outputs |= {"serviceActive": True, "bundle": found.installation.bundles.get(AGENT_UNIT, "")}
                raise HalfMade(Made(id, outputs), [words(error)]) from error
            except PlaybookFailed as error:
                raise HalfMade(Made(id, outputs), [words(error)]) from error
        outputs |= done.outputs
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                patience = request.patience(limits.NODE_READY_SECONDS)
                node = await cluster.wait_ready(client, name, self._clock, request.say, timeout_seconds=patience)
        except (cluster.NotInTime, ApiError, ConfigError) as error:
            reason = f"{_host(target)}: the agent is installed, but {words(error)}"
            raise HalfMade(Made(id, outputs), [reason]) from error
        return Made(id, {**outputs, "ready": True, "version": _version(node)})

    async def _prove(self, request: Request, session: SshSession, name: str, inputs: Properties, before: str) -> None:
        """A new build that does not keep its node alive is not kept. Raises WentBack."""
        patience = request.patience(limits.UPGRADE_READY_SECONDS)
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                await cluster.wait_beating(client, name, self._clock, request.say, timeout_seconds=patience)
        except cluster.NotInTime as error:
            raise await self._machines.went_back(
                request, session, name=name, unit=AGENT_UNIT, build=before, why=words(error)
            ) from error
        except ConfigError:
            return  # what follows needs the API as well, and says so
        await self._machines.upgraded(session, before)

    async def _wake(self, request: Request, session: SshSession, name: str, inputs: Properties) -> None:
        """An agent that runs and says nothing (frozen, hung) is started again: nothing else is wrong there."""
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                node = await cluster.find_node(client, name)
        except (ApiError, ConfigError):
            return  # nobody knows whether it says something
        if node is None or not objects.condition_is(node, "Ready"):
            request.say(f"{name}: its agent runs and is not Ready: it is started again")
            await session.run(f"systemctl restart {AGENT_UNIT}.service\n")

    async def _node(self, inputs: Properties) -> tuple[bool, str]:
        """Whether the Node object is Ready, and its agent's version. Nobody answering is not Ready."""
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                node = await cluster.find_node(client, str(inputs["nodeName"]))
        except (ApiError, ConfigError):
            return False, ""
        return (objects.condition_is(node, "Ready"), _version(node)) if node else (False, "")


def config_of(inputs: Properties, owner: str) -> NodeConfig:
    """What the inputs of a Node ask of its machine."""
    return NodeConfig(
        name=str(inputs["nodeName"]),
        server=str(inputs["server"]),
        ca_cert=str(inputs["caCert"]),
        join_token=str(inputs["joinToken"]),
        owner=owner,
        node_ip=str(inputs.get("nodeIp") or ""),
        labels=dict(inputs.get("labels") or {}),
        taints=tuple(inputs.get("taints") or ()),
    )


def _id(request: Request, inputs: Properties) -> str:
    return f"{inputs['nodeName']}.{request.token}"


def owner_of(id: str) -> str:
    """The token in an ID: it stays when the resource is renamed."""
    return id.rsplit(".", 1)[-1]


def _host(target: SshTarget) -> str:
    return target.host


def _version(node: objects.Object) -> str:
    return str((objects.status(node).get("nodeInfo") or {}).get("kubeletVersion", ""))
