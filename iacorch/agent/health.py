"""Whether this machine can run pods: the container runtime answers, the disk takes what is promised.

In: the runtime, a clock, the journal's last failure. Out: `Health`, of which `node.py` makes the conditions Ready and
DiskPressure. The composition root runs `Watching.run` beside the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from iacorch.agent.runtime.contract import Runtime
from iacorch.errors import RuntimeFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """Why not, in words that stay the same for as long as the trouble does; "" where all is well."""

    runtime: str = ""
    disk: str = ""


class Watching:
    """Asks the runtime again and again; one answer that does not come is no news yet, the next one is."""

    def __init__(self, runtime: Runtime, clock: Clock, *, disk_trouble: Callable[[], str]) -> None:
        self._runtime, self._clock, self._disk_trouble = runtime, clock, disk_trouble
        self._missed = 0
        self._why = ""

    def health(self) -> Health:
        return Health(self._why if self._missed >= limits.RUNTIME_MISSED_ANSWERS else "", self._disk_trouble())

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.ask()
            await self._clock.sleep(limits.RUNTIME_ASK_SECONDS)

    async def ask(self) -> None:
        """Once."""
        try:
            async with asyncio.timeout(limits.RUNTIME_ASK_SECONDS):
                await self._runtime.info()
        except TimeoutError:
            self._why = "the container runtime does not answer in time"
        except RuntimeFailed as error:
            self._why = f"the container runtime does not answer: {error.message}"
        else:
            self._missed = 0
            return
        self._missed += 1
        log.warning("the container runtime is not well", missed=self._missed, why=self._why)
