"""Wishes on claims: what a rollout asks of the provisioner, and what it makes of the answers. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest

from iacorch.api import objects
from iacorch.api.catalogue import NODE_CLAIM, Kind
from iacorch.api.objects import Object
from iacorch.errors import Unavailable
from iacorch.infra.bootstrap.marks import UPDATE
from iacorch.kit import limits
from iacorch.kit.virtual import run_virtual
from iacorch.rollout.plan import Member
from iacorch.rollout.run import RolloutStopped
from iacorch.server.local import LocalClient
from tests.rollout.test_run import MEMBERS, World, changed, new_world

OF_A_POOL = Member("c", "", "", "node", "z2", claim="claim-c")
Story = Callable[[World], Awaitable[None]]


class Line(LocalClient):
    """`away` while nobody answers; `before_patch` is what somebody else does just before a claim is patched."""

    away = False
    before_patch: Callable[[], Awaitable[object]] | None = None

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        if self.away:
            raise Unavailable("nobody answers")
        return await super().get(kind, namespace, name)

    async def patch(self, kind: Kind, *args: Any, **options: Any) -> Object:
        if kind == NODE_CLAIM and self.before_patch is not None:
            before, self.before_patch = self.before_patch, None
            await before()
        return await super().patch(kind, *args, **options)


def told(story: Story) -> None:
    """With node c of a pool, and its claim."""

    async def main() -> None:
        world = await new_world(Line)
        offering = {"machineType": "m", "capacityType": "owned", "capacity": {"cpu": "1"}}
        spec = {"classRef": {"name": "class"}, "offering": offering}
        claim = {"apiVersion": NODE_CLAIM.api_version, "kind": "NodeClaim", "metadata": {"name": "claim-c"}}
        await world.client.create(NODE_CLAIM, {**claim, "spec": spec})
        await story(world)
        claims = (await world.client.list(NODE_CLAIM)).items
        assert [objects.annotations(claim).get(UPDATE) for claim in claims] in ([], [None]), "no wish is left behind"
        assert await world.cordoned() == []

    run_virtual(main())


async def provisioner(world: World, *answers: tuple[str, str]) -> str:
    """Hears one wish and answers it: condition `Updated`, one state after another. The wish."""
    while True:
        claim = await world.client.get(NODE_CLAIM, "", "claim-c")
        if wish := objects.annotations(claim).get(UPDATE):
            break
        await asyncio.sleep(0.1)
    for state, words in answers:
        condition = {"type": "Updated", "status": state, "reason": "Updating", "message": words}
        condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        status = {"conditions": [condition], "wish": wish, **({} if state == "Unknown" else {"answered": wish})}
        await world.client.patch(NODE_CLAIM, "", "claim-c", {"status": status}, subresource="status")
        await asyncio.sleep(100)
    return wish


def test_a_machine_of_a_pool_is_asked_for_and_waited_for() -> None:
    async def story(world: World) -> None:
        done, wish = await asyncio.gather(
            changed(world, members=(MEMBERS[1], OF_A_POOL)),
            provisioner(world, ("Unknown", "Unpack the bundle"), ("True", "it runs new")),
        )
        assert (done, wish.partition(" ")[0]) == (("a", "c"), "new/ca.1")
        assert world.targets == [("a",)], "its stack is the provisioner's"
        assert world.said[-2:] == ["c: Unpack the bundle", "c: it runs new"]

    told(story)


def test_a_machine_of_a_pool_that_went_back_stops_the_rollout() -> None:
    async def story(world: World) -> None:
        answering = asyncio.ensure_future(provisioner(world, ("False", "build 1 runs again")))
        with pytest.raises(RolloutStopped, match="c: build 1 runs again"):
            await changed(world, members=(OF_A_POOL,))
        await answering

    told(story)


def test_it_is_said_when_nobody_hears_the_wish() -> None:
    async def story(world: World) -> None:
        with pytest.raises(RolloutStopped, match="nobody has taken up the wish") as stopped:
            await changed(world, members=(OF_A_POOL,))
        assert "iacorch provisioner" in stopped.value.hint

    told(story)


def test_while_the_api_is_away_nobody_is_called_silent() -> None:
    """Its machine may be the very one that is changed, and nobody can take a wish up meanwhile."""

    async def story(world: World) -> None:
        line = cast("Line", world.client)

        async def outage() -> None:
            await asyncio.sleep(1)
            line.away = True
            await asyncio.sleep(2 * limits.WISH_HEARD_SECONDS)
            line.away = False
            await asyncio.sleep(limits.WISH_HEARD_SECONDS / 2)
            await provisioner(world, ("True", "it runs new"))

        done, _ = await asyncio.gather(changed(world, members=(OF_A_POOL,)), outage())
        assert done == ("c",)

    told(story)


def test_a_wish_that_is_written_while_ours_is_taken_back_stays() -> None:
    async def story(world: World) -> None:
        line = cast("Line", world.client)
        theirs = {"metadata": {"annotations": {UPDATE: "theirs 1"}}}

        async def heard() -> None:
            await provisioner(world, ("Unknown", "Unpack the bundle"))
            line.before_patch = partial(LocalClient.patch, line, NODE_CLAIM, "", "claim-c", theirs)

        answering = asyncio.ensure_future(heard())
        with pytest.raises(RolloutStopped, match="not done after"):
            await changed(world, members=(OF_A_POOL,))
        await answering
        claim = await world.client.get(NODE_CLAIM, "", "claim-c")
        assert objects.annotations(claim)[UPDATE] == "theirs 1"
        await world.client.patch(NODE_CLAIM, "", "claim-c", {"metadata": {"annotations": {UPDATE: None}}})

    told(story)


def test_what_is_said_of_an_earlier_wish_is_no_answer_to_this_one() -> None:
    async def story(world: World) -> None:
        condition = {"type": "Updated", "status": "Unknown", "reason": "Updating", "message": "an earlier one"}
        condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
        status = {"conditions": [condition], "wish": "old/ca.1 noon"}
        await world.client.patch(NODE_CLAIM, "", "claim-c", {"status": status}, subresource="status")
        with pytest.raises(RolloutStopped, match="nobody has taken up the wish"):
            await changed(world, members=(OF_A_POOL,))

    told(story)


def test_two_upgrades_at_once_do_not_take_each_others_wish_away() -> None:
    async def story(world: World) -> None:
        async def somebody_else() -> None:
            await provisioner(world)
            await world.client.patch(NODE_CLAIM, "", "claim-c", {"metadata": {"annotations": {UPDATE: "theirs 1"}}})

        other = asyncio.ensure_future(somebody_else())
        with pytest.raises(RolloutStopped, match="somebody else wishes something"):
            await changed(world, members=(OF_A_POOL,))
        await other
        claim = await world.client.get(NODE_CLAIM, "", "claim-c")
        assert objects.annotations(claim)[UPDATE] == "theirs 1"
        await world.client.patch(NODE_CLAIM, "", "claim-c", {"metadata": {"annotations": {UPDATE: None}}})

    told(story)


def test_a_provisioner_that_never_comes_to_an_end_is_given_up() -> None:
    async def story(world: World) -> None:
        answering = asyncio.ensure_future(provisioner(world, ("Unknown", "the pool's budget")))
        with pytest.raises(RolloutStopped, match=r"not done after .*: the pool's budget"):
            await changed(world, members=(OF_A_POOL,))
        await answering

    told(story)


def test_a_machine_that_is_given_back_needs_no_other_build() -> None:
    async def story(world: World) -> None:
        async def give_back() -> None:
            await provisioner(world)
            await world.client.delete(NODE_CLAIM, "", "claim-c")

        done, _ = await asyncio.gather(changed(world, members=(OF_A_POOL,)), give_back())
        assert done == ("c",)
        assert "c: its pool has given it back" in world.said

    told(story)
