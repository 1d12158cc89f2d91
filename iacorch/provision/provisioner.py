"""All of it together: what the daemon runs, and the simulation.

In: a client, a clock, what makes machines, a folder for the journal. Out: machines as pools and pods ask for them, for
ever. It may be stopped at any point and started again, here or elsewhere with the same folder. Of two at the same time
on different folders one decides (`leadership`), and neither touches the other's claims (`status.heldBy`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.client.recorder import Recorder
from iacorch.controllers.runtime import Runner
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks, keep_running
from iacorch.provision.claims import ClaimController
from iacorch.provision.decisions.lifecycle import Work
from iacorch.provision.fleet import FLEET, FleetController
from iacorch.provision.leadership import Leadership
from iacorch.provision.machines.contract import Machines
from iacorch.provision.machines.journal import Journal
from iacorch.provision.machines.operations import Operations

log = structlog.get_logger(__name__)
COMPONENT = "iacorch-provisioner"


class Provisioner:
    """See the module docstring. `state` holds the journal and this provisioner's own name."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        ids: Ids,
        machines: Machines,
        *,
        state: Path,
        parallel: int = limits.PROVISION_OPERATIONS,
    ) -> None:
        self._client, self._clock, self._machines, self._parallel = client, clock, machines, parallel
        self._journal = Journal(state / "journal")
        self.holder = _holder(state, ids)
        self.leadership = Leadership(client, clock, self.holder)

    async def run(self) -> None:
        """For ever."""
        informers = Informers(self._client, clock=self._clock)
        recorder = Recorder(self._client, component=COMPONENT, clock=self._clock)
        async with Tasks("provisioner") as tasks:
            operations = Operations(
                self._machines, self._client, self._journal, self._clock, lambda uid: None, tasks, self._parallel
            )
            claims = ClaimController(informers, operations, clock=self._clock, holder=self.holder, leads=self._leads)
            fleet = FleetController(informers, self._machines, clock=self._clock, leads=self._leads)
            runners = [
                Runner(controller, client=self._client, informers=informers, recorder=recorder, clock=self._clock)
                for controller in (claims, fleet)
            ]
            operations.done = lambda uid: self._wake(claims, runners[0], uid)
            self.leadership.changed = lambda: self._begin(informers, *runners)
            tasks.spawn(informers.run(), name="informers")
            tasks.spawn(self.leadership.run(), name="leadership")
            tasks.spawn(keep_running(recorder.run, name="recorder", clock=self._clock), name="recorder")
            await informers.synced()
            self._finish_orphans(claims, operations)
            for runner in runners:
                tasks.spawn(runner.run(), name=runner.controller.name)
            tasks.spawn(self._look(claims, runners[0]), name="look")
            await asyncio.Event().wait()

    def _begin(self, informers: Informers, claims: Runner, fleet: Runner) -> None:
        """This provisioner decides from now on: look at everything that waited for one that does."""
        fleet.queue.add(FLEET)
        for obj in informers.of(NODE_CLAIM).items():
            claims.queue.add(("", objects.name(obj)))

    def _leads(self) -> bool:
        return self.leadership.leads

    def _wake(self, claims: ClaimController, runner: Runner, uid: str) -> None:
        if (key := claims.key_of(uid)) is not None:
            runner.queue.add(key)

    async def _look(self, claims: ClaimController, runner: Runner) -> None:
        while True:
            for key in await claims.look():
                runner.queue.add(key)
            await self._clock.sleep(limits.MACHINE_LOOK_SECONDS)

    def _finish_orphans(self, claims: ClaimController, operations: Operations) -> None:
        """Machines that the journal knows and whose claim is gone: nobody else would remove them."""
        for order in self._journal.read():
            if claims.key_of(order.uid) is None:
                log.info("its claim is gone: the machine is removed", claim=order.name, uid=order.uid)
                operations.start(order, Work.DESTROY)


def _holder(state: Path, ids: Ids) -> str:
    """This folder's name among provisioners, made once."""
    file = state / "name"
    try:
        if known := file.read_text().strip():
            return known
    except FileNotFoundError:
        pass
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    name = f"provisioner-{ids.suffix(8)}"
    fresh.write_text(f"{name}\n")
    fresh.replace(file)
    return name
