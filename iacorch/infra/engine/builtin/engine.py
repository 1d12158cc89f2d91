"""`BuiltIn`: the Deployer that needs nothing but Python. Puts the parts of this package together.

In: a stack reference and options. Out: a result, events on the way, a state file that the Pulumi CLI continues. Order
of a run: lock, program's process, project, configuration, key and state, backup, then `run.py`; unlock. The program
starts first, since it takes longest: it imports while the stack is opened.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.program import process
from iacorch.infra.engine.builtin.program.process import Program
from iacorch.infra.engine.builtin.stack import opened
from iacorch.infra.engine.builtin.stack.backend import Backend
from iacorch.infra.engine.builtin.stack.opened import Opened
from iacorch.infra.engine.builtin.stack.passphrase import new_cipher
from iacorch.infra.engine.builtin.stack.project import load_project, load_stack_config
from iacorch.infra.engine.contract import (
    HistoryEntry,
    Listener,
    Options,
    Output,
    Progress,
    Result,
    StackRef,
    Summary,
    ignore,
)
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks

#: Named, not imported: it brings gRPC and Pulumi's messages, and the program's process is to start before that.
_RUN: Final = "iacorch.infra.engine.builtin.run"


class BuiltIn:
    """The built-in engine. `bundled` names the command of each provider plugin that iacorch brings along."""

    name = "builtin"

    def __init__(
        self, clock: Clock, ids: Ids, *, passphrase: str | None, bundled: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._clock, self._ids = clock, ids
        self._passphrase = passphrase
        self._bundled = bundled or {}

    # What the protocol asks for

    async def preview(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run("preview", stack, options, listen, preview=True)

    async def up(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        if options.preview_only:
            return await self.preview(stack, options, listen)
        return await self._run("update", stack, options, listen, preview=False)

    async def refresh(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run("refresh", stack, options, listen, preview=options.preview_only)

    async def destroy(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run("destroy", stack, options, listen, preview=options.preview_only)

    async def outputs(self, stack: StackRef) -> Mapping[str, Output]:
        return opened.outputs_of((await self.open(stack, to_write=False)).snapshot)

    async def history(self, stack: StackRef) -> tuple[HistoryEntry, ...]:
        return self.backend(stack).history()

    async def create_stack(self, stack: StackRef) -> None:
        """Make an empty stack; with a passphrase at hand, its salt is made too, as `pulumi stack init` does."""
        project = load_project(stack.work_dir)
        config = load_stack_config(project, stack.stack)
        if config.salt:
            await opened.cipher_for(self._passphrase, config.salt, self._ids.token, where=str(config.path))
        self.backend(stack).create()
        if not config.salt and self._passphrase is not None:
            replace(config, salt=(await new_cipher(self._passphrase, self._ids.token)).salt).save()

    async def remove_stack(self, stack: StackRef) -> None:
        async with self._locked(stack, ignore, write=True):
            found = await self.open(stack, to_write=False)
            if found.snapshot.resources:
                raise EngineError(
                    f"the stack {stack.stack} still has {len(found.snapshot.resources)} resources",
                    hint="destroy it first",
                )
            found.backend.remove()

    async def stacks(self, stack: StackRef) -> tuple[str, ...]:
        return self.backend(stack).stacks()

    async def unlock(self, stack: StackRef) -> int:
        return self.backend(stack).locks.clear()

    # Its parts, for those who work on the files of a stack

    def backend(self, ref: StackRef) -> Backend:
        return opened.backend_of(ref, self._clock, self._ids)

    async def open(self, ref: StackRef, *, to_write: bool = True) -> Opened:
        """Read everything about a stack; nothing is locked or written yet."""
        return await opened.open_stack(ref, self._passphrase, self._clock, self._ids, to_write=to_write)

    async def _run(self, kind: str, ref: StackRef, options: Options, listen: Listener, *, preview: bool) -> Result:
        """Lock, start the program's process, open, run."""
        began = self._clock.monotonic()
        listen(Progress("opening the stack"))
        environment = {**os.environ, **options.environment}
        async with self._locked(ref, listen, write=not preview) as held, Tasks("deployment") as tasks:
            program: Program | None = None
            try:
                if kind in ("preview", "update"):
                    program = await process.start(load_project(ref.work_dir), environment, held)
                # Three things that take half a second each, at once: the program's imports, ours, the key.
                stack, _ = await asyncio.gather(
                    self.open(ref, to_write=not preview), asyncio.to_thread(importlib.import_module, _RUN)
                )
                from iacorch.infra.engine.builtin.run import Run, Setting

                if not preview:
                    stack.backend.back_up(stack.backend.read())
                    if stack.cipher.salt and not stack.config.salt:
                        replace(stack.config, salt=stack.cipher.salt).save()
                setting = Setting(
                    kind, options, preview, listen, tasks, self._clock, self._ids, self._bundled, environment, held,
                    lambda name: opened.outputs_of_other(ref, name, self._passphrase, self._clock, self._ids),
                )  # fmt: skip
                deployment = await Run(stack, setting, program).go()
            finally:
                if program is not None:
                    await program.stop()
        outputs, before = (opened.outputs_of(s) for s in (deployment.recorder.snapshot(), stack.snapshot))
        result = Result(dict(deployment.execution.counts), outputs, self._clock.monotonic() - began, before)
        listen(Summary(result.changes, result.seconds))
        return result

    @asynccontextmanager
    async def _locked(self, ref: StackRef, listen: Listener, *, write: bool) -> AsyncIterator[Sequence[int]]:
        """The stack for this run alone, if it is to write; gives the descriptors that its children inherit."""
        if not write:
            yield ()
            return
        backend = self.backend(ref)
        backend.read()
        async with backend.locks.writing(on_wait=lambda why: listen(Progress(why))) as descriptor:
            yield (descriptor,)
