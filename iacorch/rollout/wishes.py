"""Asking the provisioner to make the machine of a claim a node again, and waiting for what comes of it.

In: a member with a claim. Out: nothing, or `WishFailed` in the provisioner's own words; what the API refuses comes as
the `ApiError` that it is. The wish is an annotation (`infra.bootstrap.marks`), which is taken back however this ends,
so that nothing is changed later behind our back; what was begun by then is done to its end. A claim that goes away
meanwhile needs nothing any more. Called by `run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM
from iacorch.api.objects import Object
from iacorch.client.contract import Client, PatchType
from iacorch.errors import ApiError, IacorchError, Invalid, NotFound, Unavailable
from iacorch.infra.bootstrap import marks
from iacorch.kit import limits
from iacorch.kit.clock import Clock, rfc3339
from iacorch.rollout.plan import Member

_WISH: Final = "/metadata/annotations/" + marks.UPDATE.replace("/", "~1")
"""Where a wish stands, as JSON patch says it."""


class WishFailed(IacorchError):
    """The machine of a claim was not changed, or changed back."""


class Wishes:
    """`wanted` is the mark of what machines are to be made nodes with."""

    def __init__(self, client: Client, clock: Clock, wanted: str, say: Callable[[str], None]) -> None:
        self._client, self._clock, self._wanted, self._say = client, clock, wanted, say

    async def carried_out(self, member: Member) -> None:
        """Raises WishFailed, and ApiError where the API refuses, or is away, when the wish is written."""
        wish = marks.wish(self._wanted, rfc3339(self._clock.now()))
        try:
            await self._client.patch(NODE_CLAIM, "", member.claim, {"metadata": {"annotations": {marks.UPDATE: wish}}})
            await self._wait(member, wish)
        except NotFound:
            self._say(f"{member.name}: its pool has given it back")
        finally:
            await self._take_back(member, wish)

    async def _wait(self, member: Member, wish: str) -> None:
        """Short patience for silence, a long one for a provisioner that says what it is at.

        Only while the API answers is the provisioner silent: away from it, it cannot be heard.
        """
        began = self._clock.monotonic()
        answered: float | None = began
        silent_seconds = 0.0
        heard, told = False, ""
        while True:
            claim = await self._look(member)
            now = self._clock.monotonic()
            if claim is None:
                answered = None
            else:
                silent_seconds += 0.0 if answered is None else now - answered
                answered = now
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
                if objects.annotations(claim).get(marks.UPDATE) != wish:
                    raise WishFailed(
                        f"{member.name}: somebody else wishes something of NodeClaim {member.claim} now",
                        hint="one `iacorch upgrade` at a time: wait for the other one's end",
                    )
                # What the condition says may be of a wish before this one.
                heard = heard or objects.status(claim).get("wish") == wish
                if heard and condition.get("status") == "Unknown" and words != told:
                    told = words
                    self._say(f"{member.name}: {words}")
                if not heard and silent_seconds > limits.WISH_HEARD_SECONDS:
                    raise _unheard(member, claim)
            if now - began > limits.WISH_SECONDS:
                why = "the API does not answer" if claim is None else told
                raise WishFailed(f"{member.name}: not done after {limits.WISH_SECONDS:.0f} s: {why}")
            await self._clock.sleep(limits.API_POLL_SECONDS)

    async def _look(self, member: Member) -> Object | None:
        """None while the API does not answer: it may be the very machine that is being changed."""
        try:
            return await self._client.get(NODE_CLAIM, "", member.claim)
        except Unavailable:
            return None

    async def _take_back(self, member: Member, wish: str) -> None:
        """Only what is ours, and without a word in place of why this ended."""
        # The comparison is the server's, so a wish that somebody writes at this moment stays.
        patch = [{"op": "test", "path": _WISH, "value": wish}, {"op": "remove", "path": _WISH}]
        try:
            await self._client.patch(NODE_CLAIM, "", member.claim, patch, patch_type=PatchType.JSON)
        except (NotFound, Invalid):
            return  # given back, or another's by now
        except ApiError as error:
            self._say(f"{member.name}: the wish on NodeClaim {member.claim} was not taken back: {error.message}")


def _unheard(member: Member, claim: Object) -> WishFailed:
    return WishFailed(
        f"{member.name}: nobody has taken up the wish on NodeClaim {member.claim} in"
        f" {limits.WISH_HEARD_SECONDS:.0f} s{_holder(claim)}",
        hint="machines of node pools are changed by `iacorch provisioner`: is it running?",
    )


def _holder(claim: Object) -> str:
    held_by = objects.status(claim).get("heldBy")
    return f" (it is held by {held_by})" if held_by else ""
