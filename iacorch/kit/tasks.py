"""Task groups with an owner, and loops that outlive an error.

`Tasks` is the only way to start a task: used as a context manager, it ends its children when its block is left, and a
child that dies of an unexpected error ends the group, so nothing fails unseen. `keep_running` wraps a loop that should
be restarted with back-off instead; `failure_of` is for work that is done for one of many, who should fail alone. One of
the two places where `except Exception` is allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from iacorch.errors import IacorchError
from iacorch.kit.clock import Clock

T = TypeVar("T")


class Tasks:
    """An owned group of tasks.

    Leaving the block cancels and awaits every child. If a child raised, the block's body is cancelled and the first
    error is raised from the block. `spawn` may be called only inside the block.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order of starting, so that ending is repeatable too
        self._owner: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._leaving = self._cancelled_owner = False

    async def __aenter__(self) -> Tasks:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.stop()
        except asyncio.CancelledError as again:
            cancelled = again
        while self._tasks:
            try:
                await asyncio.wait(list(self._tasks))  # they have been told to end; they may need a moment
            except asyncio.CancelledError as again:
                cancelled = again
        if self._failure is not None:
            if self._owner is not None and self._cancelled_owner:
                self._owner.uncancel()
            raise self._failure
        if cancelled is not None:
            raise cancelled

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str = "") -> asyncio.Task[T]:
        """Start `work` as a child; its unexpected error ends the group."""
        label = name or getattr(work, "__qualname__", "task")
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{label}")
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    async def stop(self) -> None:
        """Cancel every child and wait until all have ended."""
        while self._tasks:
            children = list(self._tasks)
            for task in children:
                task.cancel()
            await asyncio.wait(children)
            for task in children:
                self._tasks.pop(task, None)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._failure is None:
            self._failure = error
            if self._owner is not None and not self._leaving:
                self._cancelled_owner = self._owner.cancel()


async def failure_of(work: Awaitable[None], *, name: str) -> Exception | None:
    """Await `work`; an unexpected error is logged and answered, so that it ends this work and not the group."""
    try:
        await work
    except IacorchError as error:  # it says itself what it is about
        _log().warning("an error ended one piece of work", work=name, error=error.message)
        return error
    except Exception as error:
        log = _log()
        log.warning("an unexpected error ended one piece of work", work=name, error=repr(error), exc_info=error)
        return error
    return None


async def keep_running(
    work: Callable[[], Awaitable[None]],
    *,
    name: str,
    clock: Clock,
    start_seconds: float = 0.2,
    max_seconds: float = 30.0,
) -> None:
    """Run `work` for ever; on an error, log it and start again after a doubling pause that a good run resets."""
    pause = start_seconds
    while True:
        began = clock.monotonic()
        try:
            await work()
        except IacorchError as error:  # expected: one line says it all
            _log().warning("restarting after an error", task=name, pause_seconds=pause, error=error.message)
        except Exception as error:
            log = _log()
            log.warning("restarting after an error", task=name, pause_seconds=pause, error=repr(error), exc_info=error)
        if clock.monotonic() - began > max_seconds:
            pause = start_seconds
        await clock.sleep(pause)
        pause = min(pause * 2, max_seconds)


def _log() -> Any:
    """Imported when there is something to say: it brings rich, which takes a command as long as all of asyncio."""
    import structlog

    return structlog.get_logger(__name__)
