"""One simulated machine: its containers and network live on while its agent comes and goes.

In: a link to the server. Out: a real agent (`agent.pods`, `agent.node`) on a fake runtime. The composition is that of
`daemons.agent` without sockets. Killing the machine loses its containers; killing the agent does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from iacorch.agent.containers.names import ClusterDns
from iacorch.agent.containers.references import References
from iacorch.agent.journal import Journal
from iacorch.agent.network.fake import FakePodNetwork
from iacorch.agent.node import Machine, NodeKeeper
from iacorch.agent.pods.operations import Node
from iacorch.agent.pods.pods import Pods
from iacorch.agent.pods.prober import Reply, Subject
from iacorch.agent.pods.reporter import Reporter
from iacorch.agent.runtime.contract import SANDBOX, ContainerState, RuntimeInfo
from iacorch.agent.runtime.fake import FakeRuntime
from iacorch.api.networks import CLUSTER_DNS_ADDRESS, CLUSTER_DOMAIN
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks
from iacorch.sim.link import GatedClock, Link

GOOD_IMAGE: Final = "example/app"
CPUS: Final = 4
MEMORY_BYTES: Final = 8 << 30
START_SECONDS: Final = 0.3


class SimProber:
    """A prober whose subjects are well unless the machine is `sick`."""

    def __init__(self) -> None:
        self.sick = False

    async def ask(self, handler: Mapping[str, Any], subject: Subject, *, timeout_seconds: float) -> Reply:
        return Reply(is_good=not self.sick)


class SimMachine:
    """`boot` and `start_agent` bring up what is down; `kill` and `kill_agent` take it down."""

    def __init__(
        self,
        number: int,
        *,
        link: Link,
        clock: Clock,
        folder: Path,
        images: int,
        name: str = "",
        cpus: int = CPUS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.name = name or f"node-{number:02}"
        self._cpus, self._memory_bytes = cpus, memory_bytes
        self.link = link
        self.is_up = False
        self._number, self._clock, self._folder = number, clock, folder / self.name
        self._images = {f"{GOOD_IMAGE}:{version}": ("forever",) for version in range(images)}
        self.prober = SimProber()
        self.runtime = self._new_runtime()
        self._network = FakePodNetwork(clock, f"10.244.{number}.0/24")
        self._life: AsyncExitStack | None = None
        self._agent: Tasks | None = None
        self._work: asyncio.Task[None] | None = None

    async def boot(self) -> None:
        """Power on, with nothing running but the agent."""
        if self.is_up:
            return
        self.is_up = True
        self.runtime = self._new_runtime()
        self._network = FakePodNetwork(self._clock, f"10.244.{self._number}.0/24")
        self._life = AsyncExitStack()
        await self._life.enter_async_context(self.runtime)
        self._agent = await self._life.enter_async_context(Tasks(self.name))
        self.start_agent()

    async def kill(self) -> None:
        """Power off: everything that ran is gone. The disk stays."""
        if self._life is not None:
            self.is_up = False
            self.link.cut()
            life, self._life, self._work = self._life, None, None
            await life.aclose()

    def start_agent(self) -> None:
        if self._agent is not None and self.is_up and self._work is None:
            self.link.mend()
            self._work = self._agent.spawn(self._run_agent(), name="agent")

    async def kill_agent(self) -> None:
        """As with SIGKILL: no request of it arrives any more. Containers go on."""
        if self._work is None:
            return
        self.link.cut()
        work, self._work = self._work, None
        work.cancel()
        await asyncio.wait([work])
        self.runtime.break_events()

    def recover(self) -> None:
        self.prober.sick = False

    def containers(self) -> list[ContainerState]:
        """The running containers of pods, without the sandboxes."""
        return [c for c in self.runtime.containers.values() if c.is_running and c.owner.name != SANDBOX]

    def _new_runtime(self) -> FakeRuntime:
        info = RuntimeInfo("fake://1", "Simulated OS", "6.0", "amd64", self._cpus, self._memory_bytes)
        return FakeRuntime(self._clock, images=self._images, start_seconds=START_SECONDS, info=info)

    async def _run_agent(self) -> None:
        clock = GatedClock(self._clock, self.link.gate)
        reporter = Reporter(self.link, clock, node_name=self.name)
        machine = Machine(self.name, f"192.0.2.{self._number}", await self.runtime.info(), disk_bytes=100 << 30)
        pods = Pods(
            Node(
                name=self.name,
                address=machine.address,
                cpu_milli=self._cpus * 1000,
                memory_bytes=self._memory_bytes,
                dns=ClusterDns(str(CLUSTER_DNS_ADDRESS), CLUSTER_DOMAIN),
                resolv_conf="",
                pods_folder=self._folder / "pods",
                client=self.link,
                runtime=self.runtime,
                network=self._network,
                prober=self.prober,
                references=References(self.link, self._folder / "references"),
                reporter=reporter,
                journal=Journal(self._folder / "journal"),
                clock=clock,
            )
        )
        keeper = NodeKeeper(self.link, machine, clock, network_state=self._network.state)
        async with Tasks(f"{self.name}/agent") as tasks:
            tasks.spawn(pods.run(), name="pods")
            tasks.spawn(reporter.run(), name="reporter")
            tasks.spawn(keeper.run(), name="node")
            await asyncio.Event().wait()
