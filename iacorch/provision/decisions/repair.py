"""The ladder for a machine whose node is not healthy: which rung is next, or why none is.

In: how long the node is unhealthy, what was tried, the pool's policy, how the rest of the pool is. Out: a `Verdict`.
Called by `lifecycle` for each claim. Pure.

| rung         | what                                          | needs                                             |
|--------------|-----------------------------------------------|---------------------------------------------------|
| RestartAgent | the agent's service is started again          | nothing                                           |
| Bootstrap    | facts, plan, playbook, as for a new machine   | nothing                                           |
| Reboot       | the machine is powered off and on             | few unhealthy                                     |
| Reimage      | a fresh machine in its place, same node       | few unhealthy, fenced                             |
| Replace      | another claim; this one is removed            | few unhealthy, fenced, the pool's back-off is over|

A rung is tried once. When it has not helped within its patience, the next one is. A machine that was mended and fails
again soon goes on where it stopped; one that was well for long starts over. Rungs that cannot help are left out: a
machine that is gone is replaced, one that is powered off is powered on.

Budgets: at most `maxAtOnce` machines of a pool are on the ladder. When more than `maxUnhealthy` are unhealthy at once
the fault is probably not theirs: only the first two rungs, which disturb nobody, are still tried, and the pool says so.
Fenced means: known to be off, or gone. Until then nothing that is tied to its data may start elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.values import intstr
from iacorch.kit import limits
from iacorch.kit.clock import rfc3339
from iacorch.provision.pools.pool import RepairPolicy, share


class Rung(StrEnum):
    RESTART_AGENT = "RestartAgent"
    BOOTSTRAP = "Bootstrap"
    REBOOT = "Reboot"
    REIMAGE = "Reimage"
    REPLACE = "Replace"


GENTLE: Final = frozenset({Rung.RESTART_AGENT, Rung.BOOTSTRAP})


class Power(StrEnum):
    """What the machine's driver says."""

    ON = "on"
    OFF = "off"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class History:
    """What a claim's status remembers. `tried` in order; the last one is `rung`, since `rung_since`."""

    unhealthy_since: datetime | None = None
    rung: str = ""
    rung_since: datetime | None = None
    tried: tuple[str, ...] = ()

    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.unhealthy_since is not None:
            found["unhealthySince"] = rfc3339(self.unhealthy_since)
        if self.rung:
            found["rung"] = self.rung
        if self.rung_since is not None:
            found["rungSince"] = rfc3339(self.rung_since)
        if self.tried:
            found["tried"] = list(self.tried)
        return found


def history_of(status: Mapping[str, Any]) -> History:
    found = status.get("repair") or {}
    return History(
        objects.moment(found.get("unhealthySince")),
        found.get("rung") or "",
        objects.moment(found.get("rungSince")),
        tuple(found.get("tried") or ()),
    )


@dataclass(frozen=True, slots=True)
class Ward:
    """The pool: how many machines, how many of them unhealthy; how many others are on the ladder, or being updated."""

    total: int = 1
    unhealthy: int = 1
    on_ladder: int = 0
    replace_not_before: datetime | None = None
    updating: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rung`: climb it now. Otherwise wait (`again_seconds`), or `stopped`: a person is needed. `why` in words."""

    why: str
    rung: Rung | None = None
    again_seconds: float | None = None
    stopped: bool = False


def too_many(policy: RepairPolicy, ward: Ward) -> bool:
    """Whether so much is unhealthy at once that nothing drastic is done."""
    return ward.unhealthy > max(1, intstr.scaled(policy.max_unhealthy, ward.total, round_up=False))


def decide(history: History, policy: RepairPolicy, ward: Ward, *, power: Power, failed: bool, now: datetime) -> Verdict:
    """For an unhealthy machine. `failed`: the current rung ended with an error, so there is nothing to wait for."""
    if not policy.automatic:
        return Verdict("the pool's repair policy is Never", stopped=True)
    since = history.unhealthy_since or now
    if not history.rung and power is not Power.GONE:
        left = policy.patience["Unhealthy"] - (now - since).total_seconds()
        if left > 0:
            return Verdict("it may come back by itself", again_seconds=left)
    if history.rung and history.rung_since is not None and not failed and power is not Power.GONE:
        left = policy.patience[history.rung] - (now - max(history.rung_since, since)).total_seconds()
        if left > 0:
            return Verdict(f"waiting whether {history.rung} helps", again_seconds=left)
    rung = _next(history, policy, power)
    if rung is None:
        return Verdict(f"tried {', '.join(history.tried) or 'nothing'}; nothing is left to try", stopped=True)
    if not history.rung and ward.on_ladder >= max(share(policy.at_once, ward.total), 0):
        return Verdict(
            f"{ward.on_ladder} other machines are being repaired", again_seconds=limits.PROVISION_LOOK_SECONDS
        )
    if rung not in GENTLE and too_many(policy, ward):
        words = f"{ward.unhealthy} of {ward.total} machines are unhealthy at once: {rung} is left to a person"
        return Verdict(words, again_seconds=limits.PROVISION_LOOK_SECONDS, stopped=True)
    if rung is Rung.REPLACE and ward.replace_not_before is not None and now < ward.replace_not_before:
        left = (ward.replace_not_before - now).total_seconds()
        return Verdict("the pool waits before it replaces another machine", again_seconds=left)
    return Verdict(_reason(rung, power, history), rung=rung)


def _next(history: History, policy: RepairPolicy, power: Power) -> Rung | None:
    useless: frozenset[str] = frozenset()
    if power is Power.GONE:
        useless = frozenset(Rung) - {Rung.REPLACE}
    elif power is Power.OFF:
        useless = GENTLE
    for name in Rung:
        if name in policy.rungs and name not in history.tried and name not in useless:
            return name
    return None


def _reason(rung: Rung, power: Power, history: History) -> str:
    if power is Power.GONE:
        return "the machine is gone"
    if power is Power.OFF and not history.tried:
        return "the machine is powered off"
    return f"{history.rung} did not help" if history.rung else "the node is not Ready"


def climbed(history: History, rung: Rung, *, now: datetime) -> History:
    return History(history.unhealthy_since or now, rung, now, (*history.tried, rung))


def unhealthy(history: History, *, now: datetime) -> History:
    """The node is not Ready as of now."""
    if history.unhealthy_since is not None:
        return history
    return History(now, history.rung, history.rung_since, history.tried)


def healthy(history: History, *, now: datetime) -> History:
    """The node is Ready: after long enough everything is forgotten, until then what was tried is not."""
    if not history.tried:
        return History()
    well_since = history.rung_since or now
    if history.unhealthy_since is None and (now - well_since).total_seconds() >= limits.REPAIR_STABLE_SECONDS:
        return History()
    # from here on `rung_since` is since when it is well
    since = now if history.unhealthy_since is not None else well_since
    return History(None, "", since, history.tried)
