"""Carrying a rollout out: drain, upgrade, uncordon, batch by batch; the first failure ends it.

In: a `Rollout` and `Hands` (what is done to machines and Nodes; `Cluster` below is the real one). Out: the names that
were changed, or `RolloutStopped`, which says which machine, why, and what was done before. Whatever happens, what was
cordoned here is uncordoned; a run that was killed leaves an annotation by which the next one knows. Who cordoned a Node
is asked at that moment: what the plan saw may be hours old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from iacorch.api import objects
from iacorch.api.catalogue import NODE
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.errors import Conflict, IacorchError, NotFound
from iacorch.infra.engine.contract import Deployer, Listener, Options, StackRef
from iacorch.infra.provider.resources import cluster
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.rollout.plan import CORDONED, Batch, Member, Rollout, is_cordoned, is_ours, unready
from iacorch.rollout.wishes import Wishes

_AGAIN: Final = "mend what it says and run it again: machines that are done are passed over"

Say = Callable[[str], None]


class RolloutStopped(IacorchError):
    """`done` were changed, also what `at` names if it is among them; what comes after `at` was not begun."""

    def __init__(self, at: Batch | str, why: str, done: Sequence[str], *, hint: str = "") -> None:
        before = f"; changed before: {', '.join(done)}" if done else "; nothing was changed before"
        super().__init__(f"the upgrade stopped at {at}: {why}{before}", hint=hint)
        self.done = tuple(done)


class Hands(Protocol):
    """What a rollout does to the world."""

    async def nodes(self) -> Sequence[Object]: ...

    async def cordon(self, name: str) -> None:
        """What others have cordoned already stays theirs."""
        ...

    async def uncordon(self, name: str) -> None:
        """Only what `cordon` has cordoned, in this run or one before."""
        ...

    async def drain(self, name: str) -> Sequence[str]:
        """Pods that are still there when the time is over."""
        ...

    async def upgrade(self, members: Sequence[Member]) -> None:
        """Raises IacorchError; then the machine runs its old build again where that was possible."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """`max_unready`: how many other nodes may be not ready. Without `drain` containers run on while agents restart."""

    drain: bool = True
    force: bool = False
    max_unready: int = 0


async def run(rollout: Rollout, hands: Hands, say: Say, rules: Rules = Rules()) -> tuple[str, ...]:
    """Raises RolloutStopped."""
    done: list[str] = []
    for name in rollout.leftovers:
        say(f"{name}: was left cordoned by a run before")
    if still := await _uncordon(rollout.leftovers, hands):
        raise RolloutStopped("what a run before left cordoned", still, done, hint=_AGAIN)
    for number, batch in enumerate(rollout.batches, 1):
        say(f"{number} of {len(rollout.batches)}: {batch}")
        try:
            others = unready(await hands.nodes(), batch)
            if len(others) > rules.max_unready:
                why = f"{len(others)} other nodes are not ready: {', '.join(others[:5])}"
                hint = "mend them first, or allow it with --max-unready"
                raise RolloutStopped(batch, why, done, hint=hint)
            await _change(batch, hands, rules, done, say)
        except RolloutStopped:
            raise
        except IacorchError as error:
            raise RolloutStopped(batch, error.message, done, hint=error.hint or _AGAIN) from error
        done += [member.name for member in batch.members]
        # Also those of a run that was cut off, where this one drains nothing.
        if still := await _uncordon(_nodes(batch), hands):
            raise RolloutStopped(batch, still, done, hint=_AGAIN)
    return tuple(done)


async def _change(batch: Batch, hands: Hands, rules: Rules, done: Sequence[str], say: Say) -> None:
    """Leaves the nodes cordoned, unless it fails."""
    try:
        if rules.drain:
            for name in _nodes(batch):
                await hands.cordon(name)
            for name in _nodes(batch):
                left = await hands.drain(name)
                if left and not rules.force:
                    hint = "see which budget or pod holds them; --force goes on, --no-drain lets containers run on"
                    why = f"{len(left)} pods did not leave {name}: {', '.join(left[:3])}"
                    raise RolloutStopped(batch, why, done, hint=hint)
        await hands.upgrade(batch.members)
    except BaseException:
        if still := await _uncordon(_nodes(batch), hands):
            say(f"{still}; the next run uncordons them")
        raise


def _nodes(batch: Batch) -> tuple[str, ...]:
    return tuple(member.name for member in batch.members if member.role == "node")


async def _uncordon(names: Sequence[str], hands: Hands) -> str:
    """Which are still cordoned, and why; "" when none is."""
    still: dict[str, str] = {}
    for name in names:
        try:
            await hands.uncordon(name)
        except IacorchError as error:
            still[name] = error.message
    return f"still cordoned: {', '.join(still)} ({next(iter(still.values()))})" if still else ""


class Cluster:
    """Implements `Hands`: the API for Nodes, a targeted `up` for machines, wishes for those of node pools."""

    def __init__(
        self,
        client: Client,
        deployer: Deployer,
        refs: Mapping[str, StackRef],
        clock: Clock,
        *,
        say: Say,
        listen: Listener,
        drain_seconds: float,
        wanted: str = "",
    ) -> None:
        self._client, self._deployer, self._refs, self._clock = client, deployer, refs, clock
        self._say, self._listen, self._drain_seconds = say, listen, drain_seconds
        self._wishes = Wishes(client, clock, wanted, say)

    async def nodes(self) -> Sequence[Object]:
        return (await self._client.list(NODE)).items

    async def cordon(self, name: str) -> None:
        await self._mark(name, cordoned=True)

    async def uncordon(self, name: str) -> None:
        await self._mark(name, cordoned=False)

    async def drain(self, name: str) -> Sequence[str]:
        return await cluster.drain(self._client, name, self._clock, self._say, timeout_seconds=self._drain_seconds)

    async def upgrade(self, members: Sequence[Member]) -> None:
        claimed = [member for member in members if member.claim]
        if claimed:
            # All of them to their end, whatever becomes of one: what is under way goes on, and is waited for.
            ends = await asyncio.gather(
                *(self._wishes.carried_out(member) for member in claimed), return_exceptions=True
            )
            if failed := [end for end in ends if isinstance(end, BaseException)]:
                for end in failed[1:]:
                    self._say(f"also: {end}")
                raise failed[0]
        for stack in dict.fromkeys(member.stack for member in members if not member.claim):
            urns = tuple(member.urn for member in members if member.stack == stack)
            names = ", ".join(member.name for member in members if member.stack == stack)
            options = Options(targets=urns, message=f"upgrade of {names}")
            await self._deployer.up(self._refs[stack], options, self._listen)

    async def _mark(self, name: str, *, cordoned: bool) -> None:
        """A Node that is gone, or was never there, has nothing to mark."""
        for _ in range(limits.ROLLOUT_MARK_TRIES):
            try:
                node = await self._client.get(NODE, "", name)
                if is_cordoned(node) if cordoned else not is_ours(node):
                    return
                await self._client.patch(NODE, "", name, _marking(node, cordoned=cordoned))
            except NotFound:
                self._say(f"{name}: there is no such Node")
                return
            except Conflict as stale:
                conflict = stale  # somebody wrote it since it was read: whose is it now?
            else:
                return
        raise conflict


def _marking(node: Object, *, cordoned: bool) -> Object:
    return {
        "metadata": {
            "resourceVersion": objects.resource_version(node),
            "annotations": {CORDONED: "true" if cordoned else None},
        },
        "spec": {"unschedulable": True if cordoned else None},
    }
