"""How the work of a deployment is run: as tasks, so many at a time, timed, counted and told. A failure stops it.

In: coroutines. Out: their answers, or the first error. After a failure nothing new begins, and what has begun is
finished and recorded. `deployment.py`, `actions.py` and `cleanup.py` do all they do in here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.decisions.steps import show
from iacorch.infra.engine.builtin.values import urn
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Change, Listener, Op, ResourceDone, ResourcePre
from iacorch.infra.engine.errors import Interrupted, ResourceFailed
from iacorch.kit.clock import Clock, rfc3339_micro
from iacorch.kit.tasks import Tasks

T = TypeVar("T")


class Execution:
    """One deployment's work. `running` are the steps that run now."""

    def __init__(self, *, parallel: int, tasks: Tasks, listen: Listener, clock: Clock) -> None:
        self.listen, self.clock = listen, clock
        self.counts: Counter[Op] = Counter()
        self.failure: EngineError | None = None
        self.running: list[tuple[Op, str]] = []
        self._slots = asyncio.Semaphore(max(1, parallel))
        self._tasks = tasks
        self._working: set[asyncio.Task[Any]] = set()

    def go_on(self) -> None:
        """Raise Interrupted once the deployment has failed: the reason is told elsewhere."""
        if self.failure is not None:
            raise Interrupted("the deployment is ending")

    def fail(self, error: EngineError) -> None:
        """Remember the first failure; nothing new begins after it."""
        if self.failure is None:
            self.failure = error

    async def apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` in a task of the deployment, so that it goes on when whoever asked for it has gone."""
        task = self._tasks.spawn(self._guarded(work))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        outcome: T | EngineError = await asyncio.shield(task)
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | EngineError:
        outcome: T | EngineError
        ended = False
        try:
            outcome = await work
            ended = True
        except EngineError as error:
            self.fail(error)
            outcome, ended = error, True
        finally:
            if not ended:  # a fault of the engine's own, or cancelled: whoever waits for this may not go on
                self.fail(Interrupted("a step of the deployment did not come to its end"))
        return outcome

    async def together(self, works: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Do all of `works` at once and raise the first failure after the last has ended.

        When this is cancelled, what has begun is finished and nothing new begins.
        """
        await asyncio.gather(*(self.apart(work) for work in works), return_exceptions=True)
        if self.failure is not None:
            raise self.failure

    async def drain(self) -> None:
        """Wait until every step that has begun is finished and recorded."""
        while self._working:
            await asyncio.wait(set(self._working))

    def step(self, resource: Resource, op: Op, changes: tuple[Change, ...], *, counted: bool = True) -> _Running:
        """Around one step: a slot, events, seconds, the count."""
        return _Running(self, resource, op, changes, self._slots, counted=counted)


class _Running:
    """The frame of one step; entering it gives the time it began."""

    def __init__(
        self, execution: Execution, resource: Resource, op: Op, changes: tuple[Change, ...],
        slots: asyncio.Semaphore, *, counted: bool,
    ) -> None:  # fmt: skip
        self._execution, self._resource, self._op, self._changes = execution, resource, op, changes
        self._quiet = urn.is_default_provider(resource.urn)
        self._slots, self._counted = slots, counted and not self._quiet
        self._began = 0.0

    async def __aenter__(self) -> str:
        await self._slots.acquire()
        try:
            self._execution.go_on()
        except Interrupted:
            self._slots.release()
            raise
        clock = self._execution.clock
        self._began = clock.monotonic()
        self._execution.running.append((self._op, self._resource.urn))
        if not self._quiet:
            resource = self._resource
            inputs = show(resource.inputs)
            self._execution.listen(ResourcePre(resource.urn, resource.type, self._op, self._changes, inputs))
        return rfc3339_micro(clock.now())

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._slots.release()
        self._execution.running.remove((self._op, self._resource.urn))
        seconds = self._execution.clock.monotonic() - self._began
        text = ""
        if isinstance(error, EngineError):
            text = error.message
            if isinstance(error, ResourceFailed) and not error.urn:
                error.urn = self._resource.urn
            self._execution.fail(error)
        if error is None and self._counted:
            self._execution.counts[self._op] += 1
        if text or (error is None and not self._quiet):
            self._execution.listen(
                ResourceDone(self._resource.urn, self._resource.type, self._op, seconds, self._changes, text)
            )
