"""An event loop on virtual time: when every task waits, the clock jumps to the next timer.

In: a coroutine. Out: its result, hours of waiting later, at once. Who uses it: tests and `iacorch.sim`. There are no
sockets, threads or subprocesses on this loop, so a run depends on nothing but its inputs. `kit.clock.LoopClock` reads
this loop's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Every task waits for something that no timer will bring."""


class _Jump:
    """Stands where a real loop has its selector: instead of waiting, moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[NoReturn]:
        if timeout is None:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self._loop) if not task.done())
            raise Deadlock(f"nothing is scheduled and nothing will happen; waiting: {', '.join(waiting)}")
        if timeout > 0:
            self._loop.advance(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Starts at 0.0 seconds. Only timers move it."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        self._clock_resolution = 1e-6  # far above the rounding of a float that counts years in seconds
        self._selector = _Jump(self)

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward; called by the loop itself."""
        self._seconds += max(seconds, self._clock_resolution)

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a loop of its own; raises Deadlock when it can never end."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
