"""Pools on virtual time: real server, controllers, scheduler, agents and provisioner; a fake cloud and fake containers.

In: a seed, or a story. Out: a world in which machines that the fake cloud runs become nodes by themselves, whose
provisioner can be killed at any of its calls, and whose promises are looked at all the time (`PoolChecks`). Used by
tests and by `benchmarks/provision`; `world` is the simulation of a fixed fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from iacorch import controllers, scheduler
from iacorch.api import objects
from iacorch.api.catalogue import DEPLOYMENT, MACHINE_CLASS, NODE, NODE_CLAIM, NODE_POOL, POD
from iacorch.api.objects import Object
from iacorch.errors import ApiError, BootstrapError
from iacorch.infra.machines.contract import MachineDriver, MachineState
from iacorch.infra.machines.fake import FakeCloud, FakeDriver
from iacorch.kit.clock import LoopClock
from iacorch.kit.ids import SeededIds
from iacorch.kit.tasks import Tasks
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.machines.contract import Order
from iacorch.provision.machines.drivers import DriverMachines
from iacorch.provision.pools.amounts import micros
from iacorch.provision.provisioner import Provisioner
from iacorch.server import bootstrapping
from iacorch.server.local import LocalClient
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, User, node_user
from iacorch.sim.checks import Violation
from iacorch.sim.link import Gate, Link, Weather
from iacorch.sim.machine import GOOD_IMAGE, SimMachine
from iacorch.store.memory import MemoryStore

START: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
CLUSTER: Final = "sim"
_TICK_SECONDS: Final = 0.5
VOLUNTARY: Final = ("Empty", "Underutilized", "Drifted", "Expired")


@dataclass(slots=True)
class PoolChecks:
    """Promises about machines and money, asked for at every tick. Raises Violation."""

    cloud: FakeCloud
    clock: LoopClock
    bills: dict[str, int] = field(default_factory=dict)

    def look(self, claims: list[Object], pools: list[Object]) -> None:
        alive = [i for i in self.cloud.alive() if i.state(self.clock.now()) is not MachineState.DELETING]
        tokens: dict[str, list[str]] = {}
        for instance in alive:
            tokens.setdefault(instance.spec.owner.claim, []).append(instance.id)
        for claim, ids in tokens.items():
            if len(ids) > 1:
                raise Violation(f"doubled: {ids} were all made for the claim {claim}")
        by_uid = {objects.uid(claim): claim for claim in claims}
        for pool in pools:
            limits = objects.spec(pool).get("limits") or {}
            mine = [
                i
                for i in alive
                if (found := by_uid.get(i.spec.owner.claim)) is not None
                and objects.labels(found).get("iacorch.dev/nodepool") == objects.name(pool)
            ]
            if limits.get("machines") is not None and len(mine) > limits["machines"]:
                raise Violation(f"limit: {objects.name(pool)} runs {len(mine)} machines, {limits['machines']} allowed")
            if limits.get("moneyPerHour") is not None:
                price = sum(i.offering.price_micros_per_hour for i in mine)
                if price > micros(limits["moneyPerHour"]):
                    raise Violation(f"limit: {objects.name(pool)} costs {price} millionths an hour")
            if limits.get("moneyPerMonth") is not None:
                self._month(micros(limits["moneyPerMonth"]), sum(i.offering.price_micros_per_hour for i in mine))
            self._budget(pool, claims)

    def _month(self, limit: int, price: int) -> None:
        """What the cloud has billed, and will have by the end of the month if nothing changes."""
        now = self.clock.now()
        left = (now.replace(month=now.month + 1, day=1, hour=0, minute=0, second=0) - now).total_seconds()
        ahead = self.cloud.spent_micros() + price * left / 3600
        if ahead > limit * 1.001:
            raise Violation(f"limit: the month would cost {ahead:.0f} millionths, {limit} allowed")

    def _budget(self, pool: Object, claims: list[Object]) -> None:
        """Machines that go of our own accord, at one time."""
        shares = [b["machines"] for b in (objects.spec(pool).get("disruption") or {}).get("budgets") or ()]
        going = [
            f"{objects.name(claim)}: {why}"
            for claim in claims
            if objects.is_deleting(claim)
            and (why := objects.annotations(claim).get("iacorch.dev/disruption", "")).startswith(VOLUNTARY)
        ]
        if len(shares) == 1 and isinstance(shares[0], int) and len(going) > shares[0]:
            raise Violation(f"budget: {len(going)} machines go at once, {shares[0]} allowed: {going}")

    def nothing_leaked(self, claims: list[Object]) -> None:
        """After calm: each machine has its claim."""
        uids = {objects.uid(claim) for claim in claims}
        left = [i.id for i in self.cloud.alive() if i.spec.owner.claim not in uids]
        if left:
            raise Violation(f"leaked: nobody owns {left}")


class CrashingClient(Link):
    """The provisioner's line. It dies at a call of our choosing, as if the process had been killed there."""

    calls = 0
    dies_at = 0
    on_death: Callable[[], None] | None = None

    async def _send(self, call: Any, *, writes: bool = False) -> Any:
        if writes:
            self.count()
        return await super()._send(call, writes=writes)

    def count(self) -> None:
        self.calls += 1
        if self.dies_at and self.calls == self.dies_at and self.on_death is not None:
            self.on_death()


class PoolWorld:
    """See the module docstring. Use inside `opened`."""

    def __init__(self, seed: int, folder: Path, tasks: Tasks, registry: Registry, clock: LoopClock) -> None:
        self.clock, self.folder, self.registry = clock, folder, registry
        self.ids = SeededIds(seed)
        self.cloud = FakeCloud(clock, SeededIds(seed + 1))
        self.user = LocalClient(registry, User("user", SYSTEM.groups))
        self.machines: dict[str, SimMachine] = {}
        self.checks = PoolChecks(self.cloud, clock)
        self.crashes = 0
        self._tasks = tasks
        self._weather = Weather()
        self._number = 0
        self._silenced: set[str] = set()
        self._life: AsyncExitStack = AsyncExitStack()
        self._provisioner: asyncio.Task[None] | None = None
        client = LocalClient(registry, SYSTEM)
        self.line = CrashingClient(
            lambda: client,
            writer="provisioner",
            gate=Gate(),
            weather=self._weather,
            clock=clock,
            ids=self.ids,
            acknowledged=lambda kind, obj: None,
        )
        self.line.on_death = self._die
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # The provisioner

    def start_provisioner(self) -> None:
        self.line.mend()
        driver = _CountingDriver(FakeDriver(self.cloud, self.clock, self.ids), self.line)

        async def open_driver(machine_class: Object) -> MachineDriver:
            return driver

        machines = DriverMachines(open_driver, cluster=CLUSTER, clock=self.clock, touch=self._touch)
        provisioner = Provisioner(
            self.line, self.clock, self.ids, machines, state=self.folder / "provisioner", parallel=20
        )
        self._provisioner = self._tasks.spawn(provisioner.run(), name="provisioner")

    def _die(self) -> None:
        """Nothing more of it arrives; it is started again a moment later."""
        self.crashes += 1
        self.line.cut()
        task, self._provisioner = self._provisioner, None
        if task is not None:
            task.cancel()
        self._tasks.spawn(self._revive(task), name="revive")

    async def _revive(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait([task])
        await self.clock.sleep(1 + 5 * self.ids.fraction())
        self.start_provisioner()

    async def kill_provisioner(self) -> None:
        self._die()

    async def _touch(self, order: Order, work: Work) -> str:
        machine = self.machines.get(order.machine_id)
        if machine is None or not machine.is_up or order.machine_id in self._silenced:
            raise BootstrapError(f"{order.name} does not answer")
        await machine.kill_agent()
        machine.start_agent()
        return f"{work} was done"

    # The cloud's machines become nodes

    async def live(self) -> None:
        """For ever: what the machines' images do, and looking whether promises hold."""
        while True:
            await self._tick()
            try:
                self.checks.look(await self.claims(), await self.every(NODE_POOL))
            except Violation as violation:
                if not self.broken.done():
                    self.broken.set_exception(violation)
            await self.clock.sleep(_TICK_SECONDS)

    async def _tick(self) -> None:
        now = self.clock.now()
        for instance in list(self.cloud.instances.values()):
            state, machine = instance.state(now), self.machines.get(instance.id)
            if state is MachineState.RUNNING and machine is None:
                self.machines[instance.id] = machine = self._machine(instance.spec.name, instance.offering.capacity)
                await machine.boot()
            elif state is MachineState.RUNNING and machine is not None and not machine.is_up:
                if instance.id not in self._silenced:
                    await machine.boot()
                    machine.start_agent()
            elif state in (None, MachineState.STOPPED, MachineState.DELETING) and machine is not None and machine.is_up:
                await machine.kill()

    def _machine(self, name: str, capacity: Any) -> SimMachine:
        self._number += 1
        client = LocalClient(self.registry, node_user(name))
        link = Link(
            lambda: client,
            writer=f"agent/{name}",
            gate=Gate(),
            weather=Weather(),
            clock=self.clock,
            ids=self.ids,
            acknowledged=lambda kind, obj: None,
        )
        machine = SimMachine(
            self._number,
            link=link,
            clock=self.clock,
            folder=self.folder / str(self._number),
            images=2,
            name=name,
            cpus=capacity.cpu_millis // 1000,
            memory_bytes=capacity.memory_bytes,
        )
        self._life.push_async_callback(machine.kill)
        return machine

    async def fail(self, node: str, *, for_good: bool = False) -> None:
        """The agent of a node dies; `for_good`: nothing but a new machine helps."""
        for id, machine in self.machines.items():
            if machine.name == node and machine.is_up:
                if for_good:
                    self._silenced.add(id)
                await machine.kill_agent()

    # What users do and see

    async def create_class(self, name: str = "fake", **spec: Any) -> None:
        await self._create(MACHINE_CLASS, name, {"driver": "fake", **spec})

    async def create_pool(self, name: str = "burst", **spec: Any) -> None:
        await self._create(NODE_POOL, name, {"classRef": {"name": "fake"}, **spec})

    async def _create(self, kind: Any, name: str, spec: Mapping[str, Any]) -> None:
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": dict(spec)}
        await self.user.create(kind, body)

    async def deploy(self, name: str, replicas: int, *, cpu: str = "500m", memory: str = "512Mi") -> None:
        labels = {"app": name}
        container = {
            "name": "app",
            "image": f"{GOOD_IMAGE}:0",
            "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": cpu, "memory": memory}},
        }
        template = {
            "metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        }
        await self.user.create(DEPLOYMENT, body)

    async def scale(self, name: str, replicas: int) -> None:
        await self.user.patch(DEPLOYMENT, "default", name, {"spec": {"replicas": replicas}})

    async def every(self, kind: Any) -> list[Object]:
        return list((await self.user.list(kind)).items)

    async def claims(self) -> list[Object]:
        return await self.every(NODE_CLAIM)

    async def nodes(self) -> list[Object]:
        return [node for node in await self.every(NODE) if objects.condition_is(node, "Ready")]

    async def running(self, name: str) -> int:
        pods = [p for p in await self.every(POD) if objects.labels(p).get("app") == name]
        return sum(objects.condition_is(pod, "Ready") and not objects.is_deleting(pod) for pod in pods)

    async def until(self, holds: Callable[[], Awaitable[bool]], *, seconds: float, what: str) -> float:
        """Wait for a condition; the virtual seconds it took. Raises Violation."""
        began = self.clock.monotonic()
        while not await holds():
            if self.broken.done():
                self.broken.result()
            if self.clock.monotonic() - began > seconds:
                raise Violation(f"after {seconds:g} s still not: {what}\n{await self.story()}")
            await self.clock.sleep(0.5)
        return self.clock.monotonic() - began

    async def calm(self, *, seconds: float) -> None:
        """Let time pass, with every promise watched."""
        await self.clock.sleep(seconds)
        if self.broken.done():
            self.broken.result()

    async def story(self) -> str:
        """What is so, for people who look for why."""
        lines = [f"crashes: {self.crashes}, calls: {self.line.calls}"]
        for claim in await self.claims():
            states = {c["type"]: f"{c['status']}/{c['reason']}" for c in objects.conditions(claim)}
            lines.append(f"claim {objects.name(claim)} deleting={objects.is_deleting(claim)} {states}")
        lines += [f"machine {i.id} {i.spec.name} {i.state(self.clock.now())}" for i in self.cloud.alive()]
        for pool in await self.every(NODE_POOL):
            lines.append(f"pool {objects.name(pool)}: {objects.status(pool)}")
        for pod in await self.every(POD):
            why = (objects.condition(pod, "PodScheduled") or {}).get("message", "")
            lines.append(f"pod {objects.name(pod)} on {objects.spec(pod).get('nodeName')} {why}")
        return "\n".join(lines)


class _CountingDriver:
    """Each call of the cloud is a point at which the provisioner may be killed, before it and after it."""

    def __init__(self, inner: FakeDriver, line: CrashingClient) -> None:
        self._inner, self._line = inner, line

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "offerings":
            return found

        async def counted(*arguments: Any, **named: Any) -> Any:
            self._line.count()
            answer = await found(*arguments, **named)
            self._line.count()
            return answer

        return counted


@asynccontextmanager
async def opened(seed: int, folder: Path) -> AsyncIterator[PoolWorld]:
    """A world with everything running, on the running (virtual) loop."""
    clock = LoopClock(START)
    registry = Registry(MemoryStore(), clock=clock, ids=SeededIds(seed ^ 0x5EED))
    await bootstrapping.fill(registry)
    async with Tasks("pools") as tasks:
        world = PoolWorld(seed, folder, tasks, registry, clock)
        async with world._life:
            brain = LocalClient(registry, SYSTEM)
            tasks.spawn(controllers.run(brain, clock, world.ids), name="controllers")
            tasks.spawn(scheduler.run(brain, clock, world.ids), name="scheduler")
            tasks.spawn(world.live(), name="live")
            world.start_provisioner()
            try:
                yield world
            finally:
                world.line.dies_at = 0
                with suppress(ApiError):
                    world.line.cut()
