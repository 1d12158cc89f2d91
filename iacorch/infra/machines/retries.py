"""The one place that asks a cloud again, and the waits for a machine to come and go. All bounded.

In: a call that raises leaves of MachineError. Out: its answer, or the last error. Only what asking again can mend is
asked again: Throttled (after the cloud's own pause, if it named one) and CloudUnavailable. Every call of a driver is
safe to repeat, because `create` carries its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from iacorch.infra.machines.contract import Machine, MachineDriver, MachineId, MachineState
from iacorch.infra.machines.errors import (
    CannotDo,
    CloudUnavailable,
    Interrupted,
    MachineNotFound,
    NeverBooted,
    Throttled,
)
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids

T = TypeVar("T")
_HOPELESS: Final = frozenset({MachineState.BROKEN, MachineState.DELETING})
"""What a machine that is being made does not come back from. EC2 takes one away again that it could not start."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often, and with which pauses; a pause is drawn between half and all of its length."""

    attempts: int = limits.CLOUD_ATTEMPTS
    start_seconds: float = limits.CLOUD_BACKOFF_START_SECONDS
    max_seconds: float = limits.CLOUD_BACKOFF_MAX_SECONDS

    def pause_seconds(self, attempt: int, fraction: float, *, asked_seconds: float = 0.0) -> float:
        """The pause after `attempt` (from 0). Never shorter than the cloud asked for, up to the longest."""
        full = min(self.start_seconds * 2.0**attempt, self.max_seconds)
        return max(full * (0.5 + fraction / 2), min(asked_seconds, self.max_seconds))


class Retries:
    """Asks again. One per driver."""

    def __init__(self, clock: Clock, ids: Ids, backoff: Backoff | None = None) -> None:
        self.clock = clock
        self._ids = ids
        self._backoff = backoff or Backoff()

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's answer. Raises its last error after the last attempt, and any other error at once."""
        attempt = 0
        while True:
            asked_seconds = 0.0
            try:
                return await call()
            except Throttled as error:
                if attempt + 1 >= self._backoff.attempts:
                    raise
                asked_seconds = error.retry_after_seconds
            except CloudUnavailable:
                if attempt + 1 >= self._backoff.attempts:
                    raise
            pause = self._backoff.pause_seconds(attempt, self._ids.fraction(), asked_seconds=asked_seconds)
            await self.clock.sleep(pause)
            attempt += 1


async def wait_running(
    driver: MachineDriver,
    id: MachineId,
    clock: Clock,
    *,
    timeout_seconds: float = limits.MACHINE_BOOT_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> Machine:
    """The machine once it runs and has an address.

    Raises NeverBooted (with its console, where the driver has one), Interrupted, MachineNotFound.
    """
    deadline = clock.monotonic() + timeout_seconds
    told = ""
    while True:
        machine = await driver.read(id)
        if machine.state is MachineState.RUNNING and machine.address:
            return machine
        if machine.interruption is not None and machine.state is MachineState.DELETING:
            raise Interrupted(id, machine.interruption.reason)
        seen = f"{machine.state.value} {machine.problem}".strip()
        if machine.state in _HOPELESS or clock.monotonic() >= deadline:
            waited = timeout_seconds - max(0.0, deadline - clock.monotonic())
            raise NeverBooted(id, waited_seconds=waited, seen=seen, console=await console_tail(driver, id))
        if seen != told:
            say(f"{machine.name} ({id}): {seen}")
            told = seen
        await clock.sleep(limits.CLOUD_POLL_SECONDS)


async def wait_gone(
    driver: MachineDriver, id: MachineId, clock: Clock, *, timeout_seconds: float = limits.MACHINE_GONE_SECONDS
) -> None:
    """Return when there is no such machine any more. Raises CloudUnavailable when it is still there after the time."""
    deadline = clock.monotonic() + timeout_seconds
    while True:
        try:
            machine = await driver.read(id)
        except MachineNotFound:
            return
        if clock.monotonic() >= deadline:
            raise CloudUnavailable("delete", f"{id} is still {machine.state.value} after {timeout_seconds:.0f} s")
        await clock.sleep(limits.CLOUD_POLL_SECONDS)


async def console_tail(driver: MachineDriver, id: MachineId, *, lines: int = 5) -> str:
    """The last lines of its console on one line; empty where there is none."""
    try:
        text = await driver.console(id)
    except (CannotDo, MachineNotFound, CloudUnavailable, Throttled):
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())
