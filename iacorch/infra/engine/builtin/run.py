"""One run over one opened stack: monitor, plugins, program, deletes, last write, history.

In: an opened stack, how to run, and the program's process where there is one. Out: the deployment, settled. Whatever
goes wrong, the steps under way are finished and recorded first. `engine.py` imports this module only when a run needs
it: it brings gRPC and Pulumi's messages, which take as long to import as the program takes to start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import child
from iacorch.infra.engine.builtin.execution import cleanup
from iacorch.infra.engine.builtin.execution.deployment import Deployment
from iacorch.infra.engine.builtin.execution.recorder import Recorder
from iacorch.infra.engine.builtin.execution.work import Execution
from iacorch.infra.engine.builtin.plugins.host import PluginHost
from iacorch.infra.engine.builtin.plugins.own_provider import PACKAGE, Outputs, OwnProvider
from iacorch.infra.engine.builtin.plugins.providers import Providers
from iacorch.infra.engine.builtin.program import monitor
from iacorch.infra.engine.builtin.program.process import DONE, DYNAMIC, Program, failed, ignore_line, python_of
from iacorch.infra.engine.builtin.stack.opened import Opened
from iacorch.infra.engine.builtin.stack.project import StackConfig
from iacorch.infra.engine.builtin.values import urn
from iacorch.infra.engine.builtin.values.state import Encoder
from iacorch.infra.engine.contract import Diagnostic, Ending, Listener, Op, Options, Progress, Severity
from iacorch.infra.engine.errors import Interrupted, StateBroken, StateUnwritable
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run is given besides the stack. `held`: descriptors that its children inherit (`stack/locks.py`)."""

    kind: str
    options: Options
    preview: bool
    listen: Listener
    tasks: Tasks
    clock: Clock
    ids: Ids
    bundled: Mapping[str, Sequence[str]]
    environment: Mapping[str, str]
    held: Sequence[int]
    other_outputs: Outputs


class Run:
    """The parts of one run, put together."""

    def __init__(self, opened: Opened, setting: Setting, process: Program | None) -> None:
        self._opened, self._setting, self._process = opened, setting, process
        self._config, self._secret_keys = opened.config.resolved(opened.project, opened.cipher)
        self._errors: list[str] = []
        self._told_interrupted = False
        listen = setting.listen
        recorder = Recorder(
            opened.snapshot,
            Encoder(opened.ref.stack, opened.project.name, opened.cipher),
            setting.clock,
            salt=opened.cipher.salt or opened.snapshot.salt,
            write=None if setting.preview else opened.backend.write,
        )
        # Dynamic providers are the program's own code: the SDK brings their plugin, the program's Python runs it; -u,
        # since it writes its port and does not flush.
        dynamic = {DYNAMIC: (python_of(opened.project), "-u", "-m", "pulumi.dynamic")}
        self._host = PluginHost(
            setting.tasks, setting.bundled, setting.environment, opened.project.root, opened.project.main,
            lambda package, line: listen(Diagnostic(Severity.DEBUG, f"{package}: {line}")), setting.held, dynamic,
        )  # fmt: skip
        self.execution = Execution(
            parallel=setting.options.parallel, tasks=setting.tasks, listen=listen, clock=setting.clock
        )
        own = OwnProvider(setting.other_outputs)
        self.deployment = Deployment(
            stack=opened.ref.stack, project=opened.project.name, recorder=recorder,
            providers=Providers(self._host, setting.ids, recorder.find_exact, own), options=setting.options,
            preview=setting.preview, execution=self.execution, ids=setting.ids, config=self._config,
            secret_keys=self._secret_keys,
        )  # fmt: skip

    async def go(self) -> Deployment:
        """The work, with its end written down however it ends."""
        started, result = self._setting.clock.now(), "failed"
        deployment, ref = self.deployment, self._opened.ref
        servicer = monitor.Monitor(
            deployment, stack=ref.stack, project=self._opened.project.name, folder=self._opened.project.main,
            config=self._config, secret_keys=self._secret_keys, on_error_log=self._errors.append,
        )  # fmt: skip
        # Providers log through the same server as programs register, so it is there also without a program.
        server = await monitor.serve(servicer)
        self._host.engine_address = servicer.address
        for resource in self._opened.snapshot.resources:
            package = urn.package_of(resource.type)
            if resource.is_provider and not resource.delete and package != PACKAGE:
                self._host.expect(package)
        try:
            try:
                await self._work()
            except asyncio.CancelledError:
                self._interrupted()
                raise
            finally:
                await self._settled()
            result = "succeeded"
        finally:
            await server.stop(0)
            await servicer.close()
            deployment.recorder.close()
            if not self._setting.preview:
                self._remember(started, result)
        return deployment

    def _interrupted(self) -> None:
        """Nothing new begins; who waits is told once what is finished first."""
        if not self._told_interrupted:
            self._told_interrupted = True
            self.execution.fail(Interrupted("the deployment was interrupted"))
            self.execution.listen(Ending(tuple(self.execution.running)))

    def _remember(self, started: datetime, result: str) -> None:
        """An entry of the history. Without one the run is as good as with one, so a full disk only warns here."""
        try:
            self._opened.backend.add_history(
                kind=self._setting.kind, result=result, message=self._setting.options.message, started=started,
                changes=_plain(self.execution.counts), config=_history_config(self._opened.config),
            )  # fmt: skip
        except (StateUnwritable, StateBroken) as error:
            self.execution.listen(Diagnostic(Severity.WARNING, f"the history has no entry of this run: {error}"))

    async def _settled(self) -> None:
        """`_settle` to its end, however often this is cancelled meanwhile."""
        settling = self._setting.tasks.spawn(self._settle(), name="settle")
        cancelled: asyncio.CancelledError | None = None
        while not settling.done():
            try:
                await asyncio.wait([settling])
            except asyncio.CancelledError as again:
                cancelled = again
        if (failure := settling.result()) is not None:
            raise failure
        if cancelled is not None:
            raise cancelled

    async def _settle(self) -> EngineError | None:
        """The steps under way, the last write, then the plugins' end. Answers what went wrong with the write."""
        failure: EngineError | None = None
        await self.execution.drain()
        self.deployment.recorder.touch()
        try:
            await self.deployment.recorder.commit()
        except EngineError as error:
            failure = error
        await self._host.close()
        return failure

    async def _work(self) -> None:
        deployment, kind = self.deployment, self._setting.kind
        try:
            await cleanup.resolve_pending(deployment, program=self._process is not None)
            if kind == "refresh" or deployment.options.refresh_first:
                self.execution.listen(Progress("refreshing"))
                await cleanup.refresh(deployment)
            if kind == "refresh":
                return
            self.execution.counts.clear()
            if kind == "destroy":
                await cleanup.destroy(deployment)
                return
            await self._program()
        except asyncio.CancelledError:
            self._interrupted()  # said before what has begun is waited for
            raise
        finally:
            if self._process is not None:
                await self._process.stop()
                await self.execution.drain()
        await cleanup.delete_unwanted(deployment)

    async def _program(self) -> None:
        """Run the program to its end; raise what went wrong."""
        deployment, process = self.deployment, self._process
        assert process is not None
        self.execution.listen(Progress("running the program"))
        running = await process.run(
            stack=self._opened.ref.stack, monitor=self._host.engine_address, parallel=deployment.options.parallel,
            preview=deployment.preview, config=self._config, secret_keys=self._secret_keys,
        )  # fmt: skip
        listen = self.execution.listen
        running.follow(self._setting.tasks, ignore_line(lambda line: listen(Diagnostic(Severity.INFO, line))))
        await self._finished(running)
        await process.stop()
        await self.execution.drain()
        if self.execution.failure is not None:
            raise self.execution.failure
        if running.exit_code != DONE:
            raise failed("\n".join(self._errors) or running.tail, running.exit_code)

    async def _finished(self, running: child.Child) -> None:
        """Wait for the program; once the deployment has failed, only a little longer."""
        while not running.ended.is_set():
            try:
                async with asyncio.timeout(limits.ENGINE_PROGRAM_STOP_SECONDS):
                    await running.ended.wait()
            except TimeoutError:
                if self.execution.failure is not None and not self.execution.running:
                    return


def _plain(counts: Mapping[Op, int]) -> dict[str, int]:
    return {str(op): count for op, count in counts.items() if count}


def _history_config(config: StackConfig) -> dict[str, Any]:
    return {
        key: {"value": value.text, "secret": value.secure, "object": value.structured}
        for key, value in config.values.items()
    }
