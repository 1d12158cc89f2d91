"""Waiting for a condition, bounded: the only place in these tests where real time passes on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 120.0


async def until(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    """The first value that is accepted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            value = await read()
            if accept(value):
                return value
            await asyncio.sleep(0.01)
