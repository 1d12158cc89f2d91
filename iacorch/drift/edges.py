"""The real edges of a check, put together: stacks through a Deployer, hosts over SSH, the API. Thin.

In: `Stacks`, `Hosts`, a kubeconfig (by default the one in the stacks). Out: implements `check.Edges`. Every layer looks
at the same time; one that cannot be looked at does not keep the others from being.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from iacorch.api.objects import Object
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.drift.check import Looked, Say, Scope
from iacorch.drift.decisions.decide import Decision
from iacorch.drift.doing import Doing
from iacorch.drift.fleet import Fleet, fleet_of
from iacorch.drift.machine import refresh
from iacorch.drift.machine.source import Stacks
from iacorch.drift.model import Layer, Observation
from iacorch.drift.node import source as node
from iacorch.drift.node.source import Hosts
from iacorch.drift.reports.report import Done
from iacorch.drift.workload import containers
from iacorch.drift.workload import source as workload
from iacorch.errors import ApiError, ConfigError
from iacorch.infra.engine.contract import Options
from iacorch.kit.clock import Clock
from iacorch.kit.text import listed, plural


class RealEdges:
    """Implements `Edges`. Remembers what it looked at until it looks again."""

    def __init__(self, stacks: Stacks, hosts: Hosts, clock: Clock, *, kubeconfig: str = "") -> None:
        self._stacks, self._hosts, self._clock, self._kubeconfig = stacks, hosts, clock, kubeconfig
        self.fleet = Fleet()
        self.doing = Doing()
        self._looked: dict[str, node.Looked] = {}

    async def look(self, scope: Scope, *, salt: str) -> Looked:
        snapshots, errors = await self._stacks.snapshots()
        self.fleet = fleet_of(snapshots)
        machine, looked, cluster = await asyncio.gather(
            self.doing.of(f"a refresh preview of {listed(snapshots)}", self._stacks.look(snapshots))
            if Layer.MACHINE in scope.layers
            else _nothing(),
            self._look_into_hosts(scope),
            self.doing.of("the API", self._ask_api(scope, salt)),
        )
        pods, declared, said = cluster
        later = await self._pods_since(looked) if pods is not None else ()
        found: list[Observation] = [*machine, *declared]
        if Layer.NODE in scope.layers:
            found += node.observations(looked, self._clock)
        if Layer.WORKLOAD in scope.layers and pods is not None:
            found += workload.container_observations(looked, pods, later)
        self._looked = {one.host.name: one for one in looked}
        return Looked(tuple(found), (*errors, *said), tuple(snapshots))

    async def _look_into_hosts(self, scope: Scope) -> list[node.Looked]:
        layers = scope.layers
        if Layer.NODE not in layers and Layer.WORKLOAD not in layers:
            return []
        hosts = [host for host in self.fleet.hosts if Layer.NODE in layers or host.is_node]
        tries = scope.deep and Layer.NODE in layers
        what = f"{plural(len(hosts), 'machine')} over SSH{', and what Ansible would do there' if tries else ''}"
        return await self.doing.of(
            what,
            self._hosts.look(
                hosts, node_layer=Layer.NODE in layers, containers=Layer.WORKLOAD in layers, deep=scope.deep
            ),
        )

    async def _ask_api(
        self, scope: Scope, salt: str
    ) -> tuple[list[Object] | None, tuple[Observation, ...], tuple[str, ...]]:
        """Pods (None where nobody answers), declared objects, words for what went wrong."""
        if Layer.WORKLOAD not in scope.layers:
            return None, (), ()
        if not self.kubeconfig:
            return None, (), (f"{Layer.WORKLOAD}: no stack has a control plane",) if self.fleet.hosts else ()
        try:
            async with self.client() as client:
                pods = await workload.pods_of(client)
                return pods, await workload.object_observations(client, self.fleet.declared, salt=salt), ()
        except (ApiError, ConfigError) as error:
            return None, (), (f"{Layer.WORKLOAD}: {error.message}",)

    async def _pods_since(self, looked: Sequence[node.Looked]) -> Sequence[Object]:
        """The pods again, once the containers were looked at: some may be of pods that were not there before."""
        if not any(one.seen.containers for one in looked):
            return ()
        try:
            async with self.client() as client:
                return await workload.pods_of(client)
        except (ApiError, ConfigError):
            return ()

    async def learn(self) -> None:
        """Read the states, for what the fleet is."""
        snapshots, _ = await self._stacks.snapshots()
        self.fleet = fleet_of(snapshots)

    @property
    def kubeconfig(self) -> str:
        return self._kubeconfig or self.fleet.kubeconfig

    def client(self) -> HttpClient:
        """Raises ConfigError."""
        return HttpClient(parse_kubeconfig(self.kubeconfig, where="kubeconfig"))

    async def correct(self, decisions: Sequence[Decision], say: Say) -> list[Done]:
        """Machines first: a node that is made anew needs no repair, and its containers come back by themselves.

        What a resource does inside a machine comes after what is wrong in there was mended one by one: most often
        nothing is left to do for it, and what is left cannot fail for what the node layer has found.
        """
        of = {layer: [d for d in decisions if d.seen.key.layer is layer] for layer in Layer}
        inside = [d for d in of[Layer.MACHINE] if refresh.is_inside(d.seen.key)]
        machines = [d for d in of[Layer.MACHINE] if not refresh.is_inside(d.seen.key)]
        done = await self._stacks.correct(machines, say) if machines else []
        if of[Layer.NODE]:
            done += await self._hosts.correct(of[Layer.NODE], self._looked, say)
        if inside:
            done += await self._stacks.correct(inside, say)
        running = [d for d in of[Layer.WORKLOAD] if d.seen.key.kind == containers.KIND]
        stored = [d for d in of[Layer.WORKLOAD] if d.seen.key.kind != containers.KIND]
        if running:
            hosts = {host.name: host for host in self.fleet.hosts}
            done += await workload.correct_containers(running, hosts, self._looked, say)
        if stored:
            async with self.client() as client:
                done += await workload.correct_objects(client, stored, self.fleet.declared, say)
        return done

    async def adopt(self, decisions: Sequence[Decision], say: Say) -> list[Done]:
        """On the machine layer the state takes over what is seen; elsewhere the memory is all that learns it."""
        done = [Done(d.seen.id) for d in decisions if d.seen.key.layer is not Layer.MACHINE]
        machine = [d for d in decisions if d.seen.key.layer is Layer.MACHINE]
        for name in dict.fromkeys(d.seen.place.stack for d in machine):
            mine = [d for d in machine if d.seen.place.stack == name]
            urns = tuple(d.seen.place.urn for d in mine)
            say(f"stack {name}: taking {len(urns)} resources into the state as they are")
            options = Options(targets=urns, environment=self._stacks.environment, message="drift: adopt what is there")
            await self._stacks.deployer.refresh(self._stacks.refs[name], options)
            done += [Done(d.seen.id) for d in mine]
        return done


async def _nothing() -> tuple[Observation, ...]:
    return ()
