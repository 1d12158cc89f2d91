"""Controllers: each looks at the world through informers, decides in a pure `plan`, and writes through the API.

`run` starts them all; daemons and the simulation call it. `runtime` is the frame, `actions` what plans are made of. To
see how one works, read its `plan.py` first: `replicaset` is the plainest, `deployment` the richest.
"""

from __future__ import annotations

import asyncio

from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.client.recorder import Recorder
from iacorch.controllers.deployment.controller import DeploymentController
from iacorch.controllers.driftpolicy.controller import DriftPolicyController
from iacorch.controllers.endpointslice.controller import EndpointSliceController
from iacorch.controllers.garbage.controller import GarbageController
from iacorch.controllers.namespace.controller import NamespaceController
from iacorch.controllers.node.controller import NodeController
from iacorch.controllers.node.silence import Patience
from iacorch.controllers.podgarbage.controller import PodGarbageController
from iacorch.controllers.podrange.controller import PodRangeController
from iacorch.controllers.replicaset.controller import ReplicaSetController
from iacorch.controllers.runtime import Controller, Runner
from iacorch.controllers.serviceaccount.controller import ServiceAccountController
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks, keep_running


class Controllers:
    """All controllers over one set of informers; `idle` tells tests and the simulation that nothing is in work."""

    def __init__(self, client: Client, clock: Clock, *, informers: Informers, patience: Patience | None = None) -> None:
        self._clock = clock
        self._recorder = Recorder(client, component="iacorch-controllers", clock=clock)
        self._node = NodeController(informers, clock=clock, patience=patience)
        every: tuple[Controller, ...] = (
            DeploymentController(informers, clock=clock),
            ReplicaSetController(informers, clock=clock),
            EndpointSliceController(informers),
            NamespaceController(informers, client, clock=clock),
            ServiceAccountController(informers),
            PodGarbageController(informers, client),
            PodRangeController(informers),
            GarbageController(informers, client),
            DriftPolicyController(informers, clock=clock),
            self._node,
        )
        self._runners = {
            controller.name: Runner(
                controller, client=client, informers=informers, recorder=self._recorder, clock=clock
            )
            for controller in every
        }

    @property
    def idle(self) -> bool:
        return all(runner.idle for runner in self._runners.values()) and self._recorder.idle

    async def run(self) -> None:
        """For ever. The informers must be running."""
        async with Tasks("controllers") as tasks:
            tasks.spawn(keep_running(self._recorder.run, name="recorder", clock=self._clock), name="recorder")
            tasks.spawn(self._node.listen(self._runners[self._node.name].queue.add), name="listen")
            for name, runner in self._runners.items():
                tasks.spawn(runner.run(), name=name)
            await asyncio.Event().wait()


async def run(client: Client, clock: Clock, ids: Ids, *, informers: Informers | None = None) -> None:
    """Run every controller for ever. Without `informers`, brings its own set; the scheduler may share one.

    `ids` is taken for the sake of one signature for all daemons: names and hashes are derived, and nothing is drawn.
    """
    shared = informers or Informers(client, clock=clock)
    controllers = Controllers(client, clock, informers=shared)
    if informers is not None:
        await controllers.run()
        return
    async with Tasks("controllers-with-informers") as tasks:
        tasks.spawn(shared.run(), name="informers")
        await controllers.run()
