"""Time as an argument.

In: nothing. Out: `Clock`, the protocol everyone takes; `SystemClock`, which only composition roots make. The simulation
brings its own clock (`iacorch.sim`). Wall time is an aware UTC datetime; monotonic time is in seconds and only for
differences.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Reads time and waits. Nothing else in the package does either."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less yields once."""
        ...


class SystemClock:
    """The real one. Under a virtual-time event loop `monotonic` and `sleep` follow that loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class LoopClock:
    """Follows the running event loop's time from a fixed wall-clock `start`: deterministic under a virtual loop."""

    def __init__(self, start: datetime) -> None:
        self._start = start

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start.timestamp() + asyncio.get_running_loop().time(), UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def rfc3339(moment: datetime) -> str:
    """Kubernetes `metav1.Time`: UTC, whole seconds, `Z`."""
    return _second(math.floor(moment.timestamp()))


@lru_cache(maxsize=1024)
def _second(timestamp: int) -> str:
    """Much is written in one second, and many seconds are read again."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat()[:19] + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """Kubernetes `metav1.MicroTime`: UTC, six decimals, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """Either form, aware. Raises ValueError on anything else."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is before the first or after the last moment that can be told") from error
