"""Asking the provisioner to make the machine of a claim a node again, and waiting for what comes of it.

In: a member with a claim. Out: nothing, or `WishFailed` in the provisioner's own words. The wish is an annotation
(`infra.bootstrap.marks`), which is taken back however this ends, so that nothing is changed later behind our back; what
was begun by then is done to its end. A claim that goes away meanwhile needs nothing any more. Called by `run`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import IacorchError, NotFound
from iacorch.infra.bootstrap import marks
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339
from iacorch.rollout.plan import Member


class WishFailed(IacorchError):
    """The machine of a claim was not changed, or changed back."""


class Wishes:
    """`wanted` is the mark of what machines are to be made nodes with."""

    def __init__(self, client: Client, clock: Clock, wanted: str, say: Callable[[str], None]) -> None:
        self._client, self._clock, self._wanted, self._say = client, clock, wanted, say

    async def carried_out(self, member: Member) -> None:
        """Raises WishFailed."""
        wish = marks.wish(self._wanted, rfc3339(self._clock.now()))
        try:
            await self._write(member.claim, wish)
            await self._wait(member, wish)
        except NotFound:
            self._say(f"{member.name}: its pool has given it back")
        finally:
            with contextlib.suppress(NotFound):
                await self._write(member.claim, None)

    async def _wait(self, member: Member, wish: str) -> None:
        """Short patience for silence, a long one for a provisioner that says what it is at."""
        began = self._clock.monotonic()
        told = ""
        while True:
            claim = await self._client.get(NODE_CLAIM, "", member.claim)
            if objects.is_deleting(claim):
                self._say(f"{member.name}: its pool gives it back")
                return
            condition = objects.condition(claim, marks.UPDATED) or {}
            words = str(condition.get("message") or condition.get("reason") or "")
            if objects.status(claim).get("answered") == wish:
                if condition.get("status") != "True":
                    raise WishFailed(f"{member.name}: {words}")
                self._say(f"{member.name}: {words}")
                return
            now = self._clock.monotonic()
            if condition.get("status") == "Unknown" and words != told:
                told = words
                self._say(f"{member.name}: {words}")
            if not told and now - began > limits.WISH_HEARD_SECONDS:
                raise WishFailed(
                    f"{member.name}: nobody has taken up the wish on NodeClaim {member.claim} in"
                    f" {limits.WISH_HEARD_SECONDS:.0f} s{_holder(claim)}",
                    hint="machines of node pools are changed by `iacorch provisioner`: is it running?",
                )
            if now - began > limits.WISH_SECONDS:
                raise WishFailed(f"{member.name}: not done after {limits.WISH_SECONDS:.0f} s: {told}")
            await self._clock.sleep(limits.API_POLL_SECONDS)

    async def _write(self, claim: str, wish: str | None) -> None:
        patch = {"metadata": {"annotations": {marks.UPDATE: wish}}}
        await self._client.patch(NODE_CLAIM, "", claim, patch)


def _holder(claim: Object) -> str:
    held_by = objects.status(claim).get("heldBy")
    return f" (it is held by {held_by})" if held_by else ""
