"""The places that the conformance suite is run against: one `World` for each driver.

A world opens drivers on one account (each call is another operator), says what a good specification is there and what
is unknown there, and does to the account what the driver cannot: use up a quota, cut an answer off.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from iacorch.infra.machines.contract import MachineDriver, MachineSpec, OwnerTags
from iacorch.kit.clock import Clock
from iacorch.kit.ids import SystemIds

IDS = SystemIds()
_numbers = itertools.count(1)


class QuickClock:
    """Waiting passes at once: for places that have no time of their own."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        self._passed += max(seconds, 0.001)
        await asyncio.sleep(0)


def nothing() -> None:
    """Where a world has no such trouble to make."""


@dataclass
class World:
    """One account. `open` makes another operator; what is None cannot be brought about there."""

    open: Callable[[], MachineDriver]
    clock: Clock
    spec: MachineSpec
    """A good one; tests give it names and tokens."""
    bad: dict[str, Any] = field(default_factory=dict)
    """Fields of a MachineSpec and values that are unknown there."""
    fill_quota: Callable[[], None] | None = None
    run_dry: Callable[[MachineSpec], None] | None = None
    lose_answer: Callable[[], None] | None = None
    """The next create is carried out, and its answer is lost."""
    throttle: Callable[[int], None] | None = None
    list_late: Callable[[], None] | None = None
    make_foreign: Callable[[], Awaitable[str]] | None = None
    """Somebody else's machine; its ID."""
    several: bool = True
    """Whether a test may make more than one machine."""
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    def named(self, name: str = "", **changes: Any) -> MachineSpec:
        """The good specification with a name and a token of its own."""
        number = next(_numbers)
        unique = f"{name or 'machine'}-{number}-{IDS.suffix()}"
        owner = OwnerTags(self.spec.owner.cluster, token=f"token-{unique}", claim=f"claim-{unique}")
        return replace(self.spec, **{"name": unique, "owner": owner, **changes})
