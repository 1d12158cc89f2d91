"""The work queue of a controller: keys in, one worker a key, back-off for errors, timers for waiting.

A key that is added while it is being worked on is worked on again afterwards; a key that is added twice is worked on
once. Back-off is for errors (`retry`); waiting for the world is `add_after`. Bounded by the number of distinct keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from iacorch.kit import limits
from iacorch.kit.clock import Clock

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Call from one event loop. `get` hands a key to one worker, who must call `done` with it."""

    def __init__(
        self,
        clock: Clock,
        *,
        backoff_start_seconds: float = limits.QUEUE_BACKOFF_START_SECONDS,
        backoff_max_seconds: float = limits.QUEUE_BACKOFF_MAX_SECONDS,
    ) -> None:
        self._clock = clock
        self._start, self._max = backoff_start_seconds, backoff_max_seconds
        self._ready: dict[K, None] = {}
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Work on `key` as soon as a worker is free."""
        self._drop_timer(key)
        if key in self._active:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = None
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on `key` in `seconds`; an earlier timer for it stands."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if (timer := self._timers.get(key)) is not None:
            if timer[0] <= due:
                return
            timer[1].cancel()
        handle = asyncio.get_running_loop().call_later(seconds, self.add, key)
        self._timers[key] = (due, handle)

    def retry(self, key: K) -> float:
        """Work on `key` again after its back-off, which doubles up to the cap; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(self._start * 2.0 ** min(failures, 30), self._max)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """Reset the back-off of `key` after it succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, in the order of adding."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = next(iter(self._ready))
        del self._ready[key]
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker is finished with `key`."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Cancel every timer."""
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()

    @property
    def idle(self) -> bool:
        """Nothing ready and nothing in work (timers may be pending)."""
        return not self._ready and not self._active

    @property
    def pending_timers(self) -> int:
        return len(self._timers)

    def __len__(self) -> int:
        return len(self._ready)

    def _drop_timer(self, key: K) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer[1].cancel()
