"""Runs a script against a whole cluster and says whether every promise held.

In: a `Script`. Out: an `Outcome` with the digest of the trace; or `Violation` with the trace so far. The world owns the
virtual clock and every process; a process is killed by cancelling it after its line was cut, so nothing of it arrives.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, assert_never

from iacorch import controllers, scheduler
from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, NODE, POD, Kind
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType
from iacorch.errors import ApiError, Unavailable
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks
from iacorch.kit.virtual import run_virtual
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, User, node_user
from iacorch.sim.checks import Checks, Violation, Write
from iacorch.sim.disk import CheckedStore, Disk
from iacorch.sim.link import Gate, GatedClock, Link, Weather
from iacorch.sim.machine import GOOD_IMAGE, SimMachine
from iacorch.sim.script import LONGEST_FAULT_SECONDS, Do, Event, Script

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS: Final = 6
CONVERGE_SECONDS: Final = 300.0
STORM: Final = Weather(lose_request=0.05, lose_answer=0.05, double=0.1, cut_watch=0.01)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`digest` is over the whole trace: equal digests, equal runs."""

    seed: int
    writes: int
    virtual_seconds: float
    converged_after_seconds: float
    digest: str


@dataclass(slots=True)
class Trace:
    """One line a write, and one an event of the script; keeps the last ones for people and a digest of all."""

    keep: int = 400
    lines: list[str] = field(default_factory=list)
    writes: int = 0
    print_to: Callable[[str], None] | None = None
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, line: str) -> None:
        self._digest.update(line.encode() + b"\n")
        if self.print_to is not None:
            self.print_to(line)
        self.lines.append(line)
        if len(self.lines) > 2 * self.keep:
            del self.lines[: -self.keep]

    @property
    def digest(self) -> str:
        return str(self._digest.hexdigest())

    def __str__(self) -> str:
        return "\n".join(self.lines[-self.keep :])


def simulate(script: Script, folder: Path, *, print_to: Callable[[str], None] | None = None) -> Outcome:
    """Run to the end on a loop of its own; `folder` is the machines' disks. Raises Violation."""
    world = World(script, folder)
    world.trace.print_to = print_to
    try:
        return run_virtual(world.run())
    except Violation as violation:
        raise Violation(f"{violation}\n\n{script}\n\nthe last writes:\n{world.trace}") from violation


class World:
    """See the module docstring."""

    def __init__(self, script: Script, folder: Path) -> None:
        self.script = script
        self.trace = Trace()
        self._folder = folder
        self._clock = LoopClock(START)
        self._ids = SeededIds(script.seed ^ 0x5EED)
        self._weather = Weather()
        self._checks = Checks()
        self._broken: asyncio.Future[None] | None = None
        self._disk = Disk()
        self._store: CheckedStore | None = None
        self._registry: Registry | None = None

    async def run(self) -> Outcome:
        self._broken = asyncio.get_running_loop().create_future()
        await self._start_server()
        self._user = self._link("user", User("user", SYSTEM.groups), Gate(), Weather())
        self._gates = {name: Gate() for name in ("controllers", "scheduler")}
        self._lines = {name: self._link(name, SYSTEM, gate) for name, gate in self._gates.items()}
        self._machines = [self._machine(number) for number in range(self.script.nodes)]
        self._by_name = {machine.name: machine for machine in self._machines}
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(Tasks("world"))
            for machine in self._machines:
                stack.push_async_callback(machine.kill)
                await machine.boot()
            self._brain = self._start_brain()
            life = self._tasks.spawn(self._live(), name="script")
            ends: list[asyncio.Future[Any]] = [life, self._broken]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            seconds = life.result()
            await self._check_kept()
            return Outcome(self.script.seed, self.trace.writes, self._clock.monotonic(), seconds, self.trace.digest)

    # The story

    async def _live(self) -> float:
        """Play the script, calm down, converge; the seconds that took."""
        for event in self.script.events:
            await self._clock.sleep(event.at_seconds - self._clock.monotonic())
            self.trace.add(f"{self._clock.monotonic():9.3f} *** {event.do} {event.subject} {event.amount}")
            with suppress(ApiError):
                await self._do(event)
        await self._clock.sleep(self.script.calm_seconds - self._clock.monotonic())
        self._weather.calm()
        self.trace.add(f"{self._clock.monotonic():9.3f} *** calm")
        await self._revive_server()
        for machine in self._machines:
            machine.recover()
            machine.link.gate.open()
            machine.link.mend()
            await machine.boot()
            machine.start_agent()
        began = self._clock.monotonic()
        while differences := await self._differences():
            if self._clock.monotonic() - began > CONVERGE_SECONDS:
                listed = "\n  ".join(differences[:20])
                raise Violation(f"converges: after {CONVERGE_SECONDS:.0f} s without faults still\n  {listed}")
            await self._clock.sleep(1)
        return self._clock.monotonic() - began

    async def _do(self, event: Event) -> None:
        name, amount = event.subject, event.amount
        machine = self._by_name.get(name)
        match event.do:
            case Do.CREATE:
                await self._user.create(DEPLOYMENT, deployment(name, amount))
            case Do.SCALE:
                await self._patch(name, {"spec": {"replicas": amount}})
            case Do.UPDATE:
                await self._set_image(name, f"{GOOD_IMAGE}:{amount}")
            case Do.BREAK_IMAGE:
                await self._set_image(name, "example/does-not-exist:1")
                self._later(amount, lambda: self._set_image(name, f"{GOOD_IMAGE}:{amount}"))
            case Do.DELETE:
                await self._user.delete(DEPLOYMENT, "default", name)
            case Do.DELETE_POD:
                pods = (await self._user.list(POD, "default", label_selector=f"app={name}")).items
                if pods:
                    await self._user.delete(POD, "default", objects.name(pods[amount % len(pods)]))
            case Do.CRASH_CONTAINER if machine and machine.is_up:
                for container in sorted(machine.containers(), key=lambda c: c.id)[:1]:
                    machine.runtime.crash(container.id)
            case Do.KILL_AGENT if machine:
                await machine.kill_agent()
                self._later(amount, lambda: _now(machine.start_agent))
            case Do.STOP_AGENT if machine:
                self._stop(machine.link.gate, amount)
            case Do.CUT_NODE if machine:
                machine.link.cut()
                self._later(amount, lambda: _now(machine.link.mend))
            case Do.KILL_MACHINE if machine:
                await machine.kill()
                self._later(amount, lambda: self._boot(machine))
            case Do.KILL_CONTROL_PLANE:
                await self._kill_brain()
                self._later(amount, lambda: _now(self._revive_brain))
            case Do.KILL_SERVER:
                await self._kill_brain()
                await self._kill_server()
                self._later(amount, self._revive_server)
            case Do.SICKEN if machine:
                machine.prober.sick = True
                self._later(amount, lambda: _now(machine.recover))
            case Do.STOP_CONTROL_PLANE:
                for gate in self._gates.values():
                    self._stop(gate, amount)
            case Do.CUT_WATCHES:
                for link in [*self._lines.values(), *(machine.link for machine in self._machines)]:
                    link.cut_watches()
            case Do.STORM:
                self._weather.become(STORM)
                self._later(amount, lambda: _now(self._weather.calm))
            case Do.CRASH_CONTAINER | Do.KILL_AGENT | Do.STOP_AGENT | Do.CUT_NODE | Do.KILL_MACHINE | Do.SICKEN:
                pass
            case _:
                assert_never(event.do)

    async def _differences(self) -> list[str]:
        """What is not yet as it should be, in words; empty when the cluster has converged."""
        found: list[str] = []
        pods = (await self._user.list(POD)).items
        for each in (await self._user.list(DEPLOYMENT)).items:
            wanted, status = each["spec"]["replicas"], each.get("status") or {}
            if status.get("observedGeneration") != each["metadata"]["generation"]:
                found.append(f"{objects.name(each)}: its controller has not seen the newest generation")
            for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"):
                if status.get(name, 0) != wanted:
                    found.append(f"{objects.name(each)}: {name} is {status.get(name, 0)}, wanted {wanted}")
        for node in (await self._user.list(NODE)).items:
            ready = objects.condition(node, "Ready")
            if ready is None or ready["status"] != "True" or node["spec"].get("taints"):
                found.append(f"{objects.name(node)} is not Ready: {ready}, {node['spec'].get('taints')}")
        live = {objects.uid(pod): pod for pod in pods}
        running = {container.owner.pod_uid for machine in self._machines for container in machine.containers()}
        found += [f"containers of {uid} run and no pod asks for them" for uid in sorted(running - live.keys())]
        for uid, pod in sorted(live.items()):
            if objects.is_deleting(pod) or uid not in running:
                found.append(f"{objects.key(pod)} ({uid}) is ending or has no running container")
        return found

    # Processes

    def _link(self, writer: str, user: User, gate: Gate, weather: Weather | None = None) -> Link:
        return Link(
            lambda: LocalClient(self._reached(), user),
            writer=writer,
            gate=gate,
            weather=weather or self._weather,
            clock=self._clock,
            ids=self._ids,
            acknowledged=self._acknowledged,
        )

    def _machine(self, number: int) -> SimMachine:
        name = f"node-{number:02}"
        link = self._link(f"agent/{name}", node_user(name), Gate())
        return SimMachine(number, link=link, clock=self._clock, folder=self._folder, images=VERSIONS)

    def _start_brain(self) -> list[asyncio.Task[None]]:
        clocks = {name: GatedClock(self._clock, gate) for name, gate in self._gates.items()}
        return [
            self._tasks.spawn(
                controllers.run(self._lines["controllers"], clocks["controllers"], self._ids), name="controllers"
            ),
            self._tasks.spawn(
                scheduler.run(self._lines["scheduler"], clocks["scheduler"], self._ids), name="scheduler"
            ),
        ]

    async def _start_server(self) -> None:
        self._store = CheckedStore(self._disk, self._on_write, self._on_violation)
        await self._check_kept()
        registry = Registry(self._store, clock=self._clock, ids=self._ids)
        await bootstrapping.fill(registry)
        self._registry = registry

    def _reached(self) -> Registry:
        if self._registry is None:
            raise Unavailable("no server listens")
        return self._registry

    async def _kill_server(self) -> None:
        """As with SIGKILL: what is on disk stays; requests under way and watches end."""
        if self._registry is not None and self._store is not None:
            self._registry = None
            await self._store.close()

    async def _revive_server(self) -> None:
        if self._registry is None:
            await self._start_server()
        self._revive_brain()

    async def _check_kept(self) -> None:
        """What is read back from the store against what was acknowledged, in this life and the ones before."""
        if self._store is not None:
            try:
                self._checks.check_kept(await self._store.there(), self._disk.deleted)
            except Violation as violation:
                self._on_violation(violation)

    async def _kill_brain(self) -> None:
        for line in self._lines.values():
            line.cut()
        brain, self._brain = self._brain, []
        for task in brain:
            task.cancel()
        if brain:
            await asyncio.wait(brain)

    def _revive_brain(self) -> None:
        if not self._brain:
            for line in self._lines.values():
                line.mend()
            self._brain = self._start_brain()

    async def _boot(self, machine: SimMachine) -> None:
        machine.link.mend()
        await machine.boot()

    def _stop(self, gate: Gate, seconds: int) -> None:
        gate.close()
        self._later(seconds, lambda: _now(gate.open))

    def _later(self, seconds: int, work: Callable[[], Awaitable[None]]) -> None:
        """At most the longest fault after now, so that calm comes after every fault has ended."""

        async def wait() -> None:
            await self._clock.sleep(min(seconds, LONGEST_FAULT_SECONDS - 1))
            with suppress(ApiError):
                await work()

        self._tasks.spawn(wait(), name="later")

    # What users do

    async def _set_image(self, name: str, image: str) -> None:
        container = {"name": "app", "image": image}
        await self._patch(name, {"spec": {"template": {"spec": {"containers": [container]}}}})

    async def _patch(self, name: str, patch: Object) -> None:
        await self._user.patch(DEPLOYMENT, "default", name, patch, patch_type=PatchType.STRATEGIC)

    # What is watched

    def _on_write(self, write: Write) -> None:
        self.trace.writes += 1
        verb = "create" if write.old is None else "delete" if write.new is None else "update"
        self.trace.add(f"{self._clock.monotonic():9.3f} {write.revision} {write.writer} {verb} {write.key}")
        try:
            self._checks.observe(write)
        except Violation as violation:
            self._on_violation(violation)

    def _on_violation(self, violation: Violation) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(violation)

    def _acknowledged(self, kind: Kind, obj: Object) -> None:
        self._checks.acknowledge(kind, obj)


async def _now(work: Callable[[], None]) -> None:
    work()


def deployment(name: str, replicas: int) -> Object:
    """A web-like deployment whose pods take an eighth of a node."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": f"{GOOD_IMAGE}:0",
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
        "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 5, "failureThreshold": 2},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
            },
        },
    }
