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
        return self.backend(stack).unlock_all()

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
        self, kind: str, ref: StackRef, options: Options, listen: Listener,
        work: Callable[[Opened, Deployment, PluginHost, Tasks, Mapping[str, str]], Awaitable[None]], *, preview: bool,
    ) -> Result:  # fmt: skip
        """Everything around the work itself."""
        began, started = self._clock.monotonic(), self._clock.now()
        listen(Progress("opening the stack"))
        async with self._locked(ref, write=not preview):
            opened = await self.open(ref)
            if not preview:
                opened.backend.back_up(opened.backend.read())
                if opened.cipher.salt and opened.cipher.salt != opened.config.salt and not opened.config.salt:
                    replace(opened.config, salt=opened.cipher.salt).save()
            config, secret_keys = opened.config.resolved(opened.project, opened.cipher)
            environment = {**os.environ, **options.environment}
            recorder = self._recorder(opened, preview=preview)
            result: Result | None = None
            deployment: Deployment | None = None
            try:
                async with Tasks("deployment") as tasks:
                    host = PluginHost(
                        tasks, self._bundled, environment, opened.project.root, opened.project.main,
                        lambda package, line: listen(Diagnostic(Severity.DEBUG, f"{package}: {line}")),
                    )  # fmt: skip
                    providers = Providers(host, self._ids, recorder.find_exact)
                    deployment = Deployment(
                        stack=ref.stack, project=opened.project.name, recorder=recorder, providers=providers,
                        options=options, preview=preview, tasks=tasks, listen=listen, clock=self._clock,
                        ids=self._ids,
                        config=config, secret_keys=secret_keys,
                    )  # fmt: skip
                    try:
                        await work(opened, deployment, host, tasks, environment)
                    except asyncio.CancelledError:
                        deployment.fail(Interrupted("the deployment was interrupted"))
                        raise
                    finally:
                        await asyncio.shield(self._settle(deployment, host))
                seconds = self._clock.monotonic() - began
                result = Result(dict(deployment.counts), _outputs(recorder.snapshot()), seconds)
            finally:
                recorder.close()
                if not preview:
                    opened.backend.add_history(
                        kind=kind, result="succeeded" if result is not None else "failed", message=options.message,
                        started=started, changes=_plain(deployment.counts if deployment is not None else {}),
                        config=_history_config(opened.config),
                    )  # fmt: skip
            listen(Summary(result.changes, result.seconds))
            return result

    @asynccontextmanager
    async def _locked(self, ref: StackRef, *, write: bool) -> AsyncIterator[None]:
        if not write:
            yield
            return
        backend = self.backend(ref)
        backend.read()
        mine = backend.lock()
        try:
            yield
        finally:
            mine.unlink(missing_ok=True)

    def _recorder(self, opened: Opened, *, preview: bool) -> Recorder:
        encoder = Encoder(opened.ref.stack, opened.project.name, opened.cipher)
        salt = opened.cipher.salt or opened.snapshot.salt
        write = None if preview else opened.backend.write
        return Recorder(opened.snapshot, encoder, self._clock, salt=salt, write=write)

    async def _settle(self, deployment: Deployment, host: PluginHost) -> None:
        """The steps under way, the last write, then the plugins' end."""
        try:
            await deployment.drain()
            deployment.recorder.touch()
            await deployment.recorder.commit()
        finally:
            await host.close()

    async def _up(
        self, opened: Opened, deployment: Deployment, host: PluginHost, tasks: Tasks, environment: Mapping[str, str]
    ) -> None:
        config, secret_keys = opened.config.resolved(opened.project, opened.cipher)
        errors: list[str] = []
        servicer = monitor.Monitor(
            deployment, stack=opened.ref.stack, project=opened.project.name, config=config, secret_keys=secret_keys,
            on_error_log=errors.append,
        )  # fmt: skip
        server, address = await monitor.serve(servicer)
        host.engine_address = address
        running: child.Child | None = None
        try:
            await cleanup.resolve_pending(deployment)
            if deployment.options.refresh_first:
                deployment.listen(Progress("refreshing"))
                await cleanup.refresh(deployment)
                deployment.counts.clear()
            deployment.listen(Progress("running the program"))
            running = await program.start(
                opened.project, stack=opened.ref.stack, monitor=address, parallel=deployment.options.parallel,
                preview=deployment.preview, config=config, secret_keys=secret_keys, environment=environment,
            )  # fmt: skip
            listen = deployment.listen
            running.follow(tasks, program.ignore_line(lambda line: listen(Diagnostic(Severity.INFO, line))))
            await self._finished(running, deployment)
        finally:
            if running is not None:
                await running.stop()
            await deployment.drain()
            await server.stop(0)
        if deployment.failure is not None:
            raise deployment.failure
        if running.exit_code != 0:
            said = "\n".join(errors) or running.tail or f"exit code {running.exit_code}"
            raise program.failed(said)
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

    async def _refresh(
        self, opened: Opened, deployment: Deployment, host: PluginHost, tasks: Tasks, environment: Mapping[str, str]
    ) -> None:
        await cleanup.resolve_pending(deployment)
        await cleanup.refresh(deployment)

    async def _destroy(
        self, opened: Opened, deployment: Deployment, host: PluginHost, tasks: Tasks, environment: Mapping[str, str]
    ) -> None:
        await cleanup.resolve_pending(deployment)
        if deployment.options.refresh_first:
            await cleanup.refresh(deployment)
            deployment.counts.clear()
        await cleanup.destroy(deployment)


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
