"""A cloud in memory: what drivers and pools are tried against, on virtual time.

`offerings` (what it sells), `faults` (how it fails), `cloud` (its API: eventually consistent, throttled, with quotas),
`driver` (a MachineDriver on that API, written as one on a real cloud would be). It refuses what real clouds refuse.

    cloud = FakeCloud(clock, ids)
    driver = FakeDriver(cloud, clock, ids)
"""

from iacorch.infra.machines.fake.cloud import FakeCloud
from iacorch.infra.machines.fake.driver import FakeDriver
from iacorch.infra.machines.fake.faults import Fault, Faults, Quotas

__all__ = ["FakeCloud", "FakeDriver", "Fault", "Faults", "Quotas"]
