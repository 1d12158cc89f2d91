"""`BuiltIn`: the Deployer that needs nothing but Python. Puts the parts of this package together.

In: a stack reference and options. Out: a result, events on the way, a state file that the Pulumi CLI continues. Order
of a run: project and configuration, lock, key, state, backup, monitor, what a crash left, refresh if asked, program,
deletes, last write, history, unlock. Whatever goes wrong, the steps under way are finished and recorded first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import child, cleanup, monitor, program, urn, wire
from iacorch.infra.engine.builtin.backend import Backend, open_backend
from iacorch.infra.engine.builtin.deployment import Deployment
from iacorch.infra.engine.builtin.passphrase import NoCipher, PassphraseCipher, new_cipher, open_cipher
from iacorch.infra.engine.builtin.plugins import PluginHost
from iacorch.infra.engine.builtin.program import Program
from iacorch.infra.engine.builtin.project import Project, StackConfig, load_project, load_stack_config
from iacorch.infra.engine.builtin.providers import Providers
from iacorch.infra.engine.builtin.recorder import Recorder
from iacorch.infra.engine.builtin.state import Encoder, Snapshot, parse, peek_salt
from iacorch.infra.engine.contract import (
    Diagnostic,
    HistoryEntry,
    Listener,
    Op,
    Options,
    Output,
    Progress,
    Result,
    Severity,
    StackRef,
    Summary,
    ignore,
)
from iacorch.infra.engine.errors import Interrupted, PassphraseWrong
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks

Cipher = PassphraseCipher | NoCipher


@dataclass(frozen=True, slots=True)
class Opened:
    """A stack ready to be worked on."""

    ref: StackRef
    project: Project
    config: StackConfig
    backend: Backend
    cipher: Cipher
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of one run. `process` is the program's, where the run needs one."""

    opened: Opened
    deployment: Deployment
    host: PluginHost
    tasks: Tasks
    process: Program | None
    config: Mapping[str, str]
    secret_keys: frozenset[str]
    errors: list[str]


Work = Callable[[Run], Awaitable[None]]


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
        return await self._run("preview", stack, options, listen, self._up, preview=True)

    async def up(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        if options.preview_only:
            return await self.preview(stack, options, listen)
        return await self._run("update", stack, options, listen, self._up, preview=False)

    async def refresh(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run("refresh", stack, options, listen, self._refresh, preview=options.preview_only)

    async def destroy(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run("destroy", stack, options, listen, self._destroy, preview=options.preview_only)

    async def outputs(self, stack: StackRef) -> Mapping[str, Output]:
        return _outputs((await self.open(stack)).snapshot)

    async def history(self, stack: StackRef) -> tuple[HistoryEntry, ...]:
        return self.backend(stack).history()

    async def create_stack(self, stack: StackRef) -> None:
        """Make an empty stack; with a passphrase at hand, its salt is made too, as `pulumi stack init` does."""
        project = load_project(stack.work_dir)
        config = load_stack_config(project, stack.stack)
        if config.salt:
            await self._cipher(config.salt, where=str(config.path))
        self.backend(stack).create()
        if not config.salt and self._passphrase is not None:
            replace(config, salt=(await new_cipher(self._passphrase, self._ids.token)).salt).save()

    async def remove_stack(self, stack: StackRef) -> None:
        opened = await self.open(stack)
        if opened.snapshot.resources:
            raise EngineError(
                f"the stack {stack.stack} still has {len(opened.snapshot.resources)} resources",
                hint="destroy it first",
            )
        opened.backend.remove()

    async def stacks(self, stack: StackRef) -> tuple[str, ...]:
        return self.backend(stack).stacks()

    async def unlock(self, stack: StackRef) -> int:
        return self.backend(stack).locks.clear()

    # Opening

    def backend(self, ref: StackRef) -> Backend:
        return open_backend(ref, load_project(ref.work_dir).name, self._clock, self._ids)

    async def open(self, ref: StackRef) -> Opened:
        """Read everything about a stack; nothing is locked or written."""
        project = load_project(ref.work_dir)
        backend = open_backend(ref, project.name, self._clock, self._ids)
        data = backend.read()
        config = load_stack_config(project, ref.stack)
        salt, secrets = peek_salt(data, str(backend.path))
        salt = salt or config.salt
        cipher: Cipher = NoCipher()
        if salt and (self._passphrase is not None or secrets):
            cipher = await self._cipher(salt, where=str(backend.path))
        elif not salt and self._passphrase is not None:
            cipher = await new_cipher(self._passphrase, self._ids.token)
        return Opened(ref, project, config, backend, cipher, parse(data, cipher, str(backend.path)))

    async def _cipher(self, salt: str, *, where: str) -> PassphraseCipher:
        if self._passphrase is None:
            raise PassphraseWrong(
                f"{where}: the stack is protected by a passphrase, and none was given",
                hint="set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it",
            )
        return await open_cipher(self._passphrase, salt, self._ids.token, where=where)

    # Running

    async def _run(
        self, kind: str, ref: StackRef, options: Options, listen: Listener, work: Work, *, preview: bool
    ) -> Result:
        """Lock, start the program's process, open, work, settle."""
        began = self._clock.monotonic()
        listen(Progress("opening the stack"))
        environment = {**os.environ, **options.environment}
        async with self._locked(ref, listen, write=not preview) as held, Tasks("deployment") as tasks:
            process: Program | None = None
            try:
                if kind in ("preview", "update"):
                    process = await program.start(load_project(ref.work_dir), environment, held)
                opened = await self.open(ref)
                if not preview:
                    opened.backend.back_up(opened.backend.read())
                    if opened.cipher.salt and not opened.config.salt:
                        replace(opened.config, salt=opened.cipher.salt).save()
                run = self._start(opened, options, listen, tasks, environment, process, held, preview=preview)
                await self._recorded(kind, run, work, preview=preview)
            finally:
                if process is not None:
                    await process.stop()
        deployment = run.deployment
        result = Result(
            dict(deployment.counts), _outputs(deployment.recorder.snapshot()), self._clock.monotonic() - began
        )
        listen(Summary(result.changes, result.seconds))
        return result

    def _start(
        self, opened: Opened, options: Options, listen: Listener, tasks: Tasks, environment: Mapping[str, str],
        process: Program | None, held: Sequence[int], *, preview: bool,
    ) -> Run:  # fmt: skip
        """The parts of a run, put together."""
        config, secret_keys = opened.config.resolved(opened.project, opened.cipher)
        recorder = self._recorder(opened, preview=preview)
        host = PluginHost(
            tasks, self._bundled, environment, opened.project.root, opened.project.main,
            lambda package, line: listen(Diagnostic(Severity.DEBUG, f"{package}: {line}")), held,
        )  # fmt: skip
        deployment = Deployment(
            stack=opened.ref.stack, project=opened.project.name, recorder=recorder,
            providers=Providers(host, self._ids, recorder.find_exact), options=options, preview=preview, tasks=tasks,
            listen=listen, clock=self._clock, ids=self._ids, config=config, secret_keys=secret_keys,
        )  # fmt: skip
        return Run(opened, deployment, host, tasks, process, config, secret_keys, [])

    async def _recorded(self, kind: str, run: Run, work: Work, *, preview: bool) -> None:
        """The work, with its end written down however it ends."""
        started, result = self._clock.now(), "failed"
        deployment = run.deployment
        servicer = monitor.Monitor(
            deployment, stack=run.opened.ref.stack, project=run.opened.project.name, config=run.config,
            secret_keys=run.secret_keys, on_error_log=run.errors.append,
        )  # fmt: skip
        # Providers log through the same server as programs register, so it is there also without a program.
        server, run.host.engine_address = await monitor.serve(servicer)
        try:
            try:
                await work(run)
            except asyncio.CancelledError:
                deployment.fail(Interrupted("the deployment was interrupted"))
                raise
            finally:
                await asyncio.shield(self._settle(run))
            result = "succeeded"
        finally:
            await server.stop(0)
            deployment.recorder.close()
            if not preview:
                run.opened.backend.add_history(
                    kind=kind, result=result, message=deployment.options.message, started=started,
                    changes=_plain(deployment.counts), config=_history_config(run.opened.config),
                )  # fmt: skip

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

    def _recorder(self, opened: Opened, *, preview: bool) -> Recorder:
        encoder = Encoder(opened.ref.stack, opened.project.name, opened.cipher)
        salt = opened.cipher.salt or opened.snapshot.salt
        write = None if preview else opened.backend.write
        return Recorder(opened.snapshot, encoder, self._clock, salt=salt, write=write)

    async def _settle(self, run: Run) -> None:
        """The steps under way, the last write, then the plugins' end."""
        try:
            await run.deployment.drain()
            run.deployment.recorder.touch()
            await run.deployment.recorder.commit()
        finally:
            await run.host.close()

    async def _up(self, run: Run) -> None:
        deployment, process = run.deployment, run.process
        assert process is not None
        try:
            await cleanup.resolve_pending(deployment)
            if deployment.options.refresh_first:
                deployment.listen(Progress("refreshing"))
                await cleanup.refresh(deployment)
                deployment.counts.clear()
            deployment.listen(Progress("running the program"))
            running = await process.run(
                stack=run.opened.ref.stack, monitor=run.host.engine_address, parallel=deployment.options.parallel,
                preview=deployment.preview, config=run.config, secret_keys=run.secret_keys,
            )  # fmt: skip
            listen = deployment.listen
            running.follow(run.tasks, program.ignore_line(lambda line: listen(Diagnostic(Severity.INFO, line))))
            await self._finished(running, deployment)
        finally:
            await process.stop()
            await deployment.drain()
        if deployment.failure is not None:
            raise deployment.failure
        if running.exit_code != 0:
            raise program.failed("\n".join(run.errors) or running.tail or f"exit code {running.exit_code}")
        await cleanup.delete_unwanted(deployment)

    async def _finished(self, running: child.Child, deployment: Deployment) -> None:
        """Wait for the program; once the deployment has failed, only a little longer."""
        while not running.ended.is_set():
            try:
                async with asyncio.timeout(limits.ENGINE_PROGRAM_STOP_SECONDS):
                    await running.ended.wait()
            except TimeoutError:
                if deployment.failure is not None and not deployment.busy:
                    return

    async def _refresh(self, run: Run) -> None:
        await cleanup.resolve_pending(run.deployment)
        await cleanup.refresh(run.deployment)

    async def _destroy(self, run: Run) -> None:
        await cleanup.resolve_pending(run.deployment)
        if run.deployment.options.refresh_first:
            await cleanup.refresh(run.deployment)
            run.deployment.counts.clear()
        await cleanup.destroy(run.deployment)


def _outputs(snapshot: Snapshot) -> dict[str, Output]:
    root = next((r for r in snapshot.resources if r.type == urn.STACK_TYPE and not r.delete), None)
    if root is None:
        return {}
    return {
        key: Output(wire.reveal(value), wire.has_secret(value))
        for key, value in root.outputs.items()
        if not wire.has_unknown(value)
    }


def _plain(counts: Mapping[Op, int]) -> dict[str, int]:
    return {str(op): count for op, count in counts.items() if count}


def _history_config(config: StackConfig) -> dict[str, dict[str, object]]:
    return {
        key: {"value": value.text, "secret": value.secure, "object": value.structured}
        for key, value in config.values.items()
    }
