"""The scheduler: which node runs a pod, with the reasons when none does.

`pod` parses, `snapshot` counts, `filters` and `scores` judge, `plan` decides, `queue` and `loop` carry it out.
Everything but `loop` is pure. `run` is what daemons and the simulation start.
"""

from __future__ import annotations

from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks
from iacorch.scheduler.loop import Scheduler
from iacorch.scheduler.scores import DEFAULT, PROFILES, Profile

__all__ = ["DEFAULT", "PROFILES", "Profile", "Scheduler", "run"]


async def run(
    client: Client, clock: Clock, ids: Ids, *, informers: Informers | None = None, profile: Profile = DEFAULT
) -> None:
    """Schedule for ever. Without `informers`, brings its own set; the controllers may share one.

    `ids` is taken for the sake of one signature for all daemons: ties are broken by hashes, and nothing is drawn.
    """
    shared = informers or Informers(client, clock=clock)
    scheduler = Scheduler(client, clock, informers=shared, profile=profile)
    if informers is not None:
        await scheduler.run()
        return
    async with Tasks("scheduler-with-informers") as tasks:
        tasks.spawn(shared.run(), name="informers")
        await scheduler.run()
