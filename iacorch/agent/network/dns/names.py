"""The zone in step with the informers, and on disk.

In: informers of Services and EndpointSlices, Services that changed. Out: a `Zone` that `server.py` answers from. Called
by `node.py`, beside `services/rules.py`, which does the same for rules. After a restart the names come from disk, until
every Service has been seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from iacorch.agent.network.dns.snapshot import Snapshot
from iacorch.agent.network.dns.zone import Zone, records_of
from iacorch.agent.network.services.rules import INDEX, Lookup, ServiceKey
from iacorch.kit import limits
from iacorch.kit.clock import Clock


class Names:
    """Keeps `zone`."""

    def __init__(self, services: Lookup, slices: Lookup, snapshot: Snapshot, *, domain: str) -> None:
        self.zone = Zone(domain)
        self._services, self._slices, self._snapshot = services, slices, snapshot
        self._changed = asyncio.Event()

    def recall(self) -> None:
        """Take the names that were kept on disk, if there are any."""
        for owner, records in self._snapshot.read().items():
            self.zone.put(owner, records)
            self.zone.loaded = True

    def refresh(self, keys: Iterable[ServiceKey]) -> None:
        """Bring the records of these Services up to date."""
        for key in keys:
            service, owner = self._services.get(*key), "/".join(key)
            parts = self._slices.by_index(INDEX, owner)
            records = records_of(service, parts, domain=self.zone.domain) if service is not None else {}
            if records != self.zone.parts().get(owner, {}):
                self.zone.put(owner, records)
                self._changed.set()

    def complete(self) -> None:
        """Every Service has been seen: what is not among them is gone, and unknown names may be denied."""
        for owner in [owner for owner in self.zone.parts() if owner]:
            namespace, _, name = owner.partition("/")
            if self._services.get(namespace, name) is None:
                self.zone.put(owner, {})
                self._changed.set()
        self.zone.loaded = True

    async def keep_on_disk(self, clock: Clock) -> None:
        """Write the names a while after they changed, for ever. Raises NetworkFailed when the disk refuses."""
        while True:
            await self._changed.wait()
            await clock.sleep(limits.DNS_SNAPSHOT_SECONDS)
            self._changed.clear()
            parts = {owner: records for owner, records in self.zone.parts().items() if owner}
            await asyncio.to_thread(self._snapshot.write, parts)
