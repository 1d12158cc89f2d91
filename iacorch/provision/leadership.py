"""Which of several provisioners decides: the one that holds the Lease `iacorch-provisioner` in kube-system.

In: a client, a clock, this provisioner's name. Out: whether it leads now. Who does not lead makes no claims and takes
on none; the claims that it holds already (`status.heldBy`: their stacks are in its folder) it goes on with. Called by
`provisioner`.

Nobody's clock is compared with anybody else's: a lease has ended for an onlooker when it has looked the same to him for
as long as a lease lasts. Who cannot renew stops to lead well before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import LEASE
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import AlreadyExists, ApiError, Conflict, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339_micro

log = structlog.get_logger(__name__)
NAMESPACE: Final = "kube-system"
NAME: Final = "iacorch-provisioner"


@dataclass(frozen=True, slots=True)
class Sight:
    """A lease as somebody sees it: `since` is when (monotonic) it began to look like this to him."""

    holder: str
    renewed: str
    since: float


def may_take(sight: Sight | None, me: str, *, now: float) -> bool:
    """Nobody has it, I have it, or who has it was silent for as long as a lease lasts. Pure."""
    return sight is None or sight.holder in ("", me) or now - sight.since >= limits.LEADER_LEASE_SECONDS


def seen(before: Sight | None, lease: Object, *, now: float) -> Sight:
    """What is seen now; the time stands still while nothing changes. Pure."""
    spec = objects.spec(lease)
    found = (str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or ""))
    if before is not None and found == (before.holder, before.renewed):
        return before
    return Sight(*found, now)


class Leadership:
    """`run` it; `leads` tells. `changed` is called when this provisioner begins to lead."""

    def __init__(self, client: Client, clock: Clock, me: str, changed: Callable[[], None] = lambda: None) -> None:
        self._client, self._clock, self._me, self.changed = client, clock, me, changed
        self._sight: Sight | None = None
        self._until = float("-inf")

    @property
    def leads(self) -> bool:
        return self._clock.monotonic() < self._until

    async def run(self) -> None:
        """For ever: take the lease when it can be had, renew it, look at it."""
        while True:
            led = self.leads
            try:
                async with asyncio.timeout(limits.LEASE_CALL_SECONDS):
                    await self._turn()
            except (ApiError, TimeoutError) as error:
                log.info("the lease was not renewed", error=str(error) or "no answer in time")
            if led != self.leads:
                log.info("this provisioner decides" if not led else "another provisioner decides", name=self._me)
            if self.leads and not led:
                self.changed()
            await self._clock.sleep(limits.LEADER_RENEW_SECONDS)

    async def resign(self) -> None:
        """Let the next one begin at once."""
        if not self.leads:
            return
        self._until = float("-inf")
        try:
            async with asyncio.timeout(limits.LEASE_CALL_SECONDS):
                lease = await self._client.get(LEASE, NAMESPACE, NAME)
                if objects.spec(lease).get("holderIdentity") == self._me:
                    left = {name: value for name, value in objects.spec(lease).items() if name != "holderIdentity"}
                    await self._client.update(LEASE, {**lease, "spec": left})
        except (ApiError, TimeoutError) as error:
            log.info("the lease was not given back", error=str(error) or "no answer in time")

    async def _turn(self) -> None:
        asked = self._clock.monotonic()
        try:
            lease = await self._client.get(LEASE, NAMESPACE, NAME)
        except NotFound:
            lease = None
        if lease is not None:
            self._sight = seen(self._sight, lease, now=asked)
            if not may_take(self._sight, self._me, now=asked):
                self._until = float("-inf")
                return
        try:
            await self._write(lease)
        except (Conflict, AlreadyExists):
            self._until = float("-inf")  # somebody was quicker; the next look tells who
            return
        self._until = asked + limits.LEADER_ACT_SECONDS

    async def _write(self, lease: Object | None) -> None:
        now = rfc3339_micro(self._clock.now())
        mine: dict[str, Any] = {
            "holderIdentity": self._me,
            "renewTime": now,
            "leaseDurationSeconds": int(limits.LEADER_LEASE_SECONDS),
        }
        if lease is None:
            metadata = {"name": NAME, "namespace": NAMESPACE}
            body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}
            await self._client.create(LEASE, {**body, "spec": {**mine, "acquireTime": now}})
            return
        spec = objects.spec(lease)
        if spec.get("holderIdentity") != self._me:
            mine |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        await self._client.update(LEASE, {**lease, "spec": {**spec, **mine}})
