"""What a check is at, for whoever waits: a look takes a minute where Ansible tries the roles.

In: parts of the work, each as long as it lasts. Out: a line every few seconds with what goes on and for how long.
`edges` names its parts; the command line says them on standard error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from iacorch.kit import limits
from iacorch.kit.clock import Clock

T = TypeVar("T")


class Doing:
    """Parts of the work that go on now, in the order in which they began."""

    def __init__(self) -> None:
        self._now: dict[str, None] = {}

    async def of(self, what: str, work: Awaitable[T]) -> T:
        """Do `work`, which is called `what` as long as it lasts."""
        self._now[what] = None
        try:
            return await work
        finally:
            self._now.pop(what, None)

    async def tell(self, clock: Clock, say: Callable[[str], None]) -> None:
        """Say what goes on, now and then, until cancelled."""
        began = clock.monotonic()
        while True:
            await clock.sleep(limits.DRIFT_SAY_SECONDS)
            if self._now:
                say(f"  {clock.monotonic() - began:3.0f} s  looking: {'; '.join(self._now)}")
