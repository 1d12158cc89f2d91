"""The schedule: which policies are due, and the loop that checks when one is. The clock is an argument.

In: `DriftPolicy` objects, the memory (when each was last checked), the moment. Out: `due`, pure; `run`, the loop behind
`iacorch drift --watch`, which runs where states and credentials are: on the control plane's machine, an operator's, in
a CI job. Between checks by schedule the workload layer is looked at all the time: there drift matters in seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from iacorch.drift.check import Checked, Edges, Scope, check_and_correct
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Policies, Policy
from iacorch.drift.model import Layer
from iacorch.kit import limits
from iacorch.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Due:
    """The policies whose time has come, and the layers that they ask to look at."""

    names: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()


def due(policies: Policies, memory: Memory, now: datetime) -> Due:
    """A policy that was never checked is due at its next time, not at once: making a policy is no check."""
    ready = [policy for policy in policies.policies if _is_due(policy, memory, now)]
    layers = {layer for policy in ready for layer in policy.layers}
    return Due(tuple(policy.name for policy in ready), tuple(layer for layer in Layer if layer in layers))


def _is_due(policy: Policy, memory: Memory, now: datetime) -> bool:
    last = memory.checked.get(policy.name)
    return (
        policy.schedule is not None and not policy.suspended and last is not None and policy.schedule.is_due(last, now)
    )


def noted(memory: Memory, policies: Policies, names: Iterable[str], now: datetime) -> Memory:
    """The memory after the named policies were checked; new policies count from now, removed ones are forgotten."""
    checked = {policy.name: memory.checked.get(policy.name, now) for policy in policies.policies if policy.schedule}
    return replace(memory, checked={**checked, **dict.fromkeys(names, now)})


def next_due(policies: Policies, now: datetime) -> datetime | None:
    """When the next check by schedule is. Pure."""
    times = [t for p in policies.policies if p.schedule and not p.suspended and (t := p.schedule.after(now))]
    return min(times, default=None)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop asks and tells: the policies as they are now, people's approvals, where a check's outcome goes."""

    policies: Callable[[], Awaitable[Policies]]
    approvals: Callable[[Memory], Awaitable[Memory]]
    tell: Callable[[Checked, Policies, Due], Awaitable[None]]
    say: Callable[[str], None]


async def run(
    edges: Edges, hooks: Hooks, memory: Memory, clock: Clock, *, watch: Scope | None, rounds: int | None = None
) -> Memory:
    """Check when a policy is due, and what `watch` names all the time; for ever, or so many rounds."""
    done = 0
    while rounds is None or done < rounds:
        done += 1
        policies = await hooks.policies()
        memory = noted(await hooks.approvals(memory), policies, (), clock.now())
        ready = due(policies, memory, clock.now())
        scope = Scope(ready.layers, deep=True) if ready.layers else watch
        if scope is not None:
            checked = await check_and_correct(edges, scope, policies, memory, clock, hooks.say)
            memory = noted(checked.memory, policies, ready.names, clock.now())
            await hooks.tell(replace(checked, memory=memory), policies, ready)
        await clock.sleep(limits.DRIFT_WATCH_SECONDS if watch is not None else limits.DRIFT_TICK_SECONDS)
    return memory
