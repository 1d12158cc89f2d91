"""`PulumiCli`: the Deployer that runs the Pulumi CLI, through Pulumi's Automation API.

In: a stack reference and options. Out: the same results and events as the built-in engine gives, translated from the
CLI's event log. The Automation API is synchronous, so each call runs in a thread; events come back on the loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pulumi import automation
from pulumi.automation import errors as automation_errors
from pulumi.automation import events as engine_events

from iacorch.infra.engine.contract import (
    Change,
    Diagnostic,
    Event,
    HistoryEntry,
    Listener,
    Op,
    Options,
    Output,
    Progress,
    ResourceDone,
    ResourcePre,
    Result,
    Severity,
    StackRef,
    Summary,
    ignore,
)
from iacorch.infra.engine.errors import CliFailed, PassphraseWrong, StackExists, StackLocked, StackMissing
from iacorch.kit.clock import Clock

_OPS: Final = {
    "same": Op.SAME,
    "create": Op.CREATE,
    "update": Op.UPDATE,
    "delete": Op.DELETE,
    "replace": Op.REPLACE,
    "create-replacement": Op.REPLACE,
    "import": Op.IMPORT,
    "import-replacement": Op.IMPORT,
    "read": Op.READ,
    "refresh": Op.REFRESH,
}
_SEVERITIES: Final = {"warning": Severity.WARNING, "error": Severity.ERROR, "debug": Severity.DEBUG}


class PulumiCli:
    """The real Pulumi CLI."""

    name = "pulumi"

    def __init__(self, clock: Clock, *, passphrase: str | None, path: Sequence[str] = ()) -> None:
        """`path`: folders with provider plugins, looked at before PATH."""
        self._clock = clock
        self._passphrase = passphrase
        self._path = path

    async def preview(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run(stack, options, listen, lambda s, o: s.preview(refresh=options.refresh_first, **o))

    async def up(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        if options.preview_only:
            return await self.preview(stack, options, listen)
        return await self._run(stack, options, listen, lambda s, o: s.up(refresh=options.refresh_first, **o))

    async def refresh(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        return await self._run(
            stack, options, listen, lambda s, o: s.preview_refresh(**o) if options.preview_only else s.refresh(**o)
        )

    async def destroy(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result:
        def work(s: automation.Stack, o: dict[str, Any]) -> Any:
            if options.excludes:
                raise CliFailed(
                    "the Pulumi CLI's Automation API knows no exclusions for destroy",
                    hint="name what is to go with --target, or use the built-in engine with --engine builtin",
                )
            o = {key: value for key, value in o.items() if not key.startswith("exclude")}
            if options.preview_only:
                return s.preview_destroy(**o)
            return s.destroy(refresh=options.refresh_first, **o)

        return await self._run(stack, options, listen, work)

    async def outputs(self, stack: StackRef) -> Mapping[str, Output]:
        found: Mapping[str, Output] = await self._call(stack, lambda: _outputs(self._select(stack)))
        return found

    async def history(self, stack: StackRef) -> tuple[HistoryEntry, ...]:
        def work() -> tuple[HistoryEntry, ...]:
            return tuple(
                HistoryEntry(
                    kind=entry.kind,
                    result=entry.result,
                    started=int(entry.start_time.timestamp()),
                    ended=int(entry.end_time.timestamp()) if entry.end_time else 0,
                    message=entry.message,
                    changes={str(getattr(op, "value", op)): n for op, n in (entry.resource_changes or {}).items()},
                )
                for entry in self._select(stack).history()
            )

        found: tuple[HistoryEntry, ...] = await self._call(stack, work)
        return found

    async def create_stack(self, stack: StackRef) -> None:
        await self._call(stack, lambda: self._workspace(stack).create_stack(stack.stack))

    async def remove_stack(self, stack: StackRef) -> None:
        await self._call(stack, lambda: self._workspace(stack).remove_stack(stack.stack))

    async def stacks(self, stack: StackRef) -> tuple[str, ...]:
        found = await self._call(stack, lambda: self._workspace(stack).list_stacks())
        return tuple(sorted(item.name.rpartition("/")[2] for item in found))

    async def unlock(self, stack: StackRef) -> int:
        locks = _lock_folder(stack)
        before = len(list(locks.rglob("*.json")))
        await self._call(stack, lambda: self._select(stack).cancel())
        return before - len(list(locks.rglob("*.json")))

    def _workspace(self, ref: StackRef, environment: Mapping[str, str] | None = None) -> automation.LocalWorkspace:
        own = {
            # The CLI looks for provider plugins on PATH: ours stands beside the running Python.
            "PATH": os.pathsep.join([*self._path, str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PULUMI_BACKEND_URL": _absolute(ref),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        if self._passphrase is not None:
            own["PULUMI_CONFIG_PASSPHRASE"] = self._passphrase
        return automation.LocalWorkspace(work_dir=str(ref.work_dir), env_vars={**own, **(environment or {})})

    def _select(self, ref: StackRef, environment: Mapping[str, str] | None = None) -> automation.Stack:
        return automation.Stack.select(ref.stack, self._workspace(ref, environment))

    async def _run(
        self, ref: StackRef, options: Options, listen: Listener, work: Callable[[automation.Stack, dict[str, Any]], Any]
    ) -> Result:
        began = self._clock.monotonic()
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            loop.call_soon_threadsafe(listen, event)

        translator = _Translator(self._clock, tell)
        listen(Progress("starting the Pulumi CLI"))

        def run() -> dict[str, Output]:
            stack = self._select(ref, options.environment)
            arguments: dict[str, Any] = {
                "parallel": options.parallel,
                "target": list(options.targets) or None,
                "target_dependents": options.target_dependents or None,
                "exclude": list(options.excludes) or None,
                "exclude_dependents": options.exclude_dependents or None,
                "on_event": translator.hear,
                "color": "never",
            }
            if options.message:
                arguments["message"] = options.message
            work(stack, arguments)
            return _outputs(stack)

        outputs = await self._call(ref, run, said=translator.errors)
        result = Result(translator.changes, outputs, self._clock.monotonic() - began)
        listen(Summary(result.changes, result.seconds))
        return result

    async def _call(self, ref: StackRef, work: Callable[[], Any], *, said: list[str] | None = None) -> Any:
        try:
            return await asyncio.to_thread(work)
        except automation_errors.StackNotFoundError as error:
            raise StackMissing(
                f"no stack {ref.stack} in {ref.backend_url}", hint=f"make it with: iacorch stack init {ref.stack}"
            ) from error
        except automation_errors.StackAlreadyExistsError as error:
            raise StackExists(f"the stack {ref.stack} exists already") from error
        except automation_errors.ConcurrentUpdateError as error:
            raise StackLocked(
                f"the stack {ref.stack} is locked by another process",
                hint=f"wait for it to end; if it has, remove the lock with: iacorch stack unlock {ref.stack}",
            ) from error
        except automation_errors.CommandError as error:
            text = "\n".join(said or ()) or _last_error(str(error))
            if "passphrase" in text or "passphrase" in str(error):
                raise PassphraseWrong(
                    f"the stack {ref.stack}: {_last_error(str(error))}", hint="set PULUMI_CONFIG_PASSPHRASE"
                ) from error
            if "currently locked" in str(error):
                raise StackLocked(_last_error(str(error)), hint="iacorch stack unlock removes a dead lock") from error
            raise CliFailed(f"the Pulumi CLI failed: {text}") from error


class _Translator:
    """The CLI's events as ours. Called from the thread that reads the event log."""

    def __init__(self, clock: Clock, tell: Callable[[Event], None]) -> None:
        self._clock, self._tell = clock, tell
        self._began: dict[tuple[str, str], float] = {}
        self.changes: dict[Op, int] = {}
        self.errors: list[str] = []

    def hear(self, event: engine_events.EngineEvent) -> None:
        if (pre := event.resource_pre_event) is not None:
            self._pre(pre.metadata)
        elif (done := event.res_outputs_event) is not None:
            self._done(done.metadata, "")
        elif (failed := event.res_op_failed_event) is not None:
            self._done(failed.metadata, "failed")
        elif (said := event.diagnostic_event) is not None and said.ephemeral:
            if said.urn and (line := said.message.strip()):
                self._tell(Progress(line, said.urn))
        elif said is not None:
            severity = _SEVERITIES.get(str(said.severity), Severity.INFO)
            text = said.message.strip()
            if text and severity is Severity.ERROR:
                self.errors.append(text)
            if text:
                self._tell(Diagnostic(severity, text, said.urn or ""))
        elif (summary := event.summary_event) is not None:
            counts: Counter[Op] = Counter()
            for name, count in (summary.resource_changes or {}).items():
                if (op := _OPS.get(str(getattr(name, "value", name)))) is not None:
                    counts[op] += count
            self.changes = dict(counts)

    def _pre(self, meta: engine_events.StepEventMetadata) -> None:
        op = _OPS.get(_op(meta))
        if op is None or _op(meta) == "replace":
            return
        self._began[meta.urn, _op(meta)] = self._clock.monotonic()
        if op is not Op.SAME:
            inputs = (meta.new.inputs if meta.new is not None else None) or {}
            self._tell(ResourcePre(meta.urn, meta.type, op, _changes(meta), inputs))

    def _done(self, meta: engine_events.StepEventMetadata, error: str) -> None:
        op = _OPS.get(_op(meta))
        if op is None or _op(meta) == "replace":
            return
        now = self._clock.monotonic()
        seconds = now - self._began.pop((meta.urn, _op(meta)), now)
        self._tell(ResourceDone(meta.urn, meta.type, op, seconds, _changes(meta), error))


def _op(meta: engine_events.StepEventMetadata) -> str:
    return str(getattr(meta.op, "value", meta.op))


def _changes(meta: engine_events.StepEventMetadata) -> tuple[Change, ...]:
    old = (meta.old.inputs if meta.old is not None else None) or {}
    new = (meta.new.inputs if meta.new is not None else None) or {}
    detailed = meta.detailed_diff or {}
    found = [
        Change(path, old.get(path), new.get(path), replaces="replace" in str(getattr(d.diff_kind, "value", "")))
        for path, d in sorted(detailed.items())
    ]
    found += [Change(key, old.get(key), new.get(key)) for key in meta.diffs or () if key not in detailed]
    return tuple(found)


def _outputs(stack: automation.Stack) -> dict[str, Output]:
    return {key: Output(item.value, item.secret) for key, item in stack.outputs().items()}


def _absolute(ref: StackRef) -> str:
    scheme, separator, rest = ref.backend_url.partition("://")
    if scheme != "file" or not separator:
        return ref.backend_url
    path = Path(rest).expanduser()
    path = path if path.is_absolute() else ref.work_dir / path
    path.mkdir(parents=True, exist_ok=True)
    return f"file://{path.resolve()}"


def _lock_folder(ref: StackRef) -> Path:
    return Path(_absolute(ref).removeprefix("file://")) / ".pulumi" / "locks"


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "error:" in line]
    return lines[-1].partition("error:")[2].strip() if lines else text.strip()[-2000:]
