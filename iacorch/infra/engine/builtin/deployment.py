"""The executor: asks the provider, lets `steps.next_step` decide, carries the step out, records it, answers.

In: registrations (from `monitor.py`), the old state. Out: recorded state, events, counts. Every operation on a
provider is noted on disk before it is asked for and its outcome is on disk before anybody hears of it. The first
failure stops new steps; those under way are finished and recorded. `cleanup.py` has what happens without the program:
deletes, refresh.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin import steps, urn, wire
from iacorch.infra.engine.builtin.plugins import HalfMade
from iacorch.infra.engine.builtin.providers import Operations, Providers, default_name, with_version
from iacorch.infra.engine.builtin.recorder import Recorder
from iacorch.infra.engine.builtin.state import Resource
from iacorch.infra.engine.builtin.steps import Diff, Registration
from iacorch.infra.engine.builtin.wire import Props
from iacorch.infra.engine.contract import Change, Listener, Op, Options, ResourceDone, ResourcePre
from iacorch.infra.engine.errors import Interrupted, PluginDied, Protected, ResourceFailed, Unsupported
from iacorch.kit.clock import Clock, rfc3339_micro
from iacorch.kit.ids import Ids
from iacorch.kit.tasks import Tasks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration. `skipped`: a target left it out, so nothing is known about it."""

    resource: Resource
    skipped: bool = False


class Deployment:
    """One run over one stack."""

    def __init__(
        self, *, stack: str, project: str, recorder: Recorder, providers: Providers, options: Options, preview: bool,
        tasks: Tasks,
        listen: Listener, clock: Clock, ids: Ids, config: Mapping[str, str], secret_keys: frozenset[str],
    ) -> None:  # fmt: skip
        self.stack, self.project = stack, project
        self.recorder, self.providers = recorder, providers
        self.options, self.preview = options, preview
        self.listen = listen
        self.counts: Counter[Op] = Counter()
        self.failure: EngineError | None = None
        self.seen: set[str] = set()
        self.clock = clock
        self._ids, self._config, self._secret_keys = ids, config, secret_keys
        self._slots = asyncio.Semaphore(max(1, options.parallel))
        self._defaults: dict[tuple[str, str], str] = {}
        self._default_lock = asyncio.Lock()
        self._skipped: set[str] = set()
        self.busy = 0
        self._tasks = tasks
        self._working: set[asyncio.Task[Any]] = set()
        self._untouched: set[str] = set()

    def fail(self, error: EngineError) -> None:
        """Remember the first failure; nothing new begins after it."""
        if self.failure is None:
            self.failure = error

    async def register(self, wanted: Registration) -> Registered:
        """One registration, all the way to the disk. Raises what went wrong, after remembering it."""
        if self.failure is not None:
            raise Interrupted("the deployment is ending")
        return await self.apart(self._register(wanted))

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
        try:
            return await work
        except EngineError as error:
            self.fail(error)
            return error

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

    async def _register(self, wanted: Registration) -> Registered:
        if wanted.urn in self.seen:
            raise ResourceFailed("another resource of the same type and name is registered already", urn=wanted.urn)
        self.seen.add(wanted.urn)
        old = self.recorder.find_old(wanted.urn)
        if old is not None and old.external:
            raise Unsupported("taking over a resource that another program owns", where=wanted.urn)
        if not self._targeted(wanted):
            return await self._leave(wanted, old)
        if missing := [needed for needed in _needs(wanted) if needed in self._skipped]:
            raise ResourceFailed(
                f"it needs {missing[0]}, which is to be created but is not among the targets",
                urn=wanted.urn,
                hint="add it to the targets",
            )
        operations = await self._operations(wanted)
        seed = self._ids.token(32)
        before = old.inputs if old is not None else {}
        given = steps.keep_ignored(wanted.inputs, before, wanted.ignore_changes) if old is not None else wanted.inputs
        inputs = given if operations is None else await operations.check(wanted.urn, before, given, seed)
        diff = await self._diff(old, wanted, operations, inputs)
        step = steps.next_step(old, wanted, inputs, diff)
        if operations is not None and isinstance(step, steps.Replace):
            inputs = await operations.check(wanted.urn, {}, wanted.inputs, seed)
        goal = self._goal(wanted, old, inputs)
        match step:
            case steps.Refuse(reason):
                raise Protected(
                    f"{wanted.urn}: {reason}", hint="remove `protect` in the program, run up, then change it"
                )
            case steps.Create():
                return Registered(await self._create(goal, operations, Op.CREATE, ()))
            case steps.Replace(first, changes):
                assert old is not None
                return Registered(await self._replace(old, goal, operations, first, changes))
            case steps.Update(changes):
                assert old is not None
                assert operations is not None
                return Registered(await self._update(old, goal, operations, wanted, changes))
            case steps.Same():
                assert old is not None
                return Registered(await self._same(old, goal))

    # What to ask before deciding

    async def _operations(self, wanted: Registration) -> Operations | None:
        if not wanted.custom:
            return None
        return self.providers if urn.is_provider(wanted.type) else await self.providers.serving(wanted.provider)

    async def _diff(
        self, old: Resource | None, wanted: Registration, operations: Operations | None, inputs: Props
    ) -> Diff | None:
        if old is None or operations is None or not old.custom:
            return None
        if old.provider != wanted.provider and await self._provider_replaces(old.provider, wanted.provider):
            change = Change("provider", old.provider, wanted.provider, replaces=True)
            return Diff(True, ("provider",), changes=(change,))
        return await operations.diff(
            wanted.urn, old.id, old=old.inputs, outputs=old.outputs, new=inputs, ignore=wanted.ignore_changes
        )

    async def _provider_replaces(self, old_ref: str, new_ref: str) -> bool:
        """Whether resources must be made anew because another provider serves them: the new one decides."""
        if not old_ref or not new_ref:
            return True
        old = self.recorder.find_exact(*urn.split_reference(old_ref))
        new_urn, new_id = urn.split_reference(new_ref)
        new = self.recorder.find(new_urn)
        if old is None or new is None:
            return True
        plugin = await self.providers.serving(new_ref)
        diff = await plugin.diff_config(new_urn, new_id, old.inputs, old.outputs, new.outputs)
        return diff.changed and bool(diff.replaces)

    async def default_provider(self, package: str, version: str) -> str:
        """The reference of the default provider, registered when first needed from the configuration of its package."""
        async with self._default_lock:
            if (known := self._defaults.get((package, version))) is not None:
                return known
            inputs: Props = {}
            for key, value in self._config.items():
                namespace, _, name = key.partition(":")
                if namespace == package:
                    inputs[name] = wire.secret(value) if key in self._secret_keys else value
            type_ = urn.PROVIDER_PREFIX + package
            name = default_name(version)
            found = await self.register(
                Registration(
                    urn=urn.make(self.stack, self.project, "", type_, name),
                    type=type_,
                    custom=True,
                    inputs=with_version(inputs, version),
                )
            )
            reference = urn.reference(found.resource.urn, found.resource.id)
            self._defaults[package, version] = reference
            return reference

    # Targets

    def _targeted(self, wanted: Registration) -> bool:
        if not self.options.targets or wanted.type == urn.STACK_TYPE or urn.is_provider(wanted.type):
            return True
        if urn.matches(wanted.urn, self.options.targets):
            return True
        if not self.options.target_dependents:
            return False
        touched = self.seen - self._untouched - {wanted.urn}
        ordinary = {u for u in touched if urn.type_of(u) != urn.STACK_TYPE and not urn.is_provider(urn.type_of(u))}
        return bool(_needs(wanted) & ordinary)

    async def _leave(self, wanted: Registration, old: Resource | None) -> Registered:
        self._untouched.add(wanted.urn)
        if old is None:
            self._skipped.add(wanted.urn)
            return Registered(self._goal(wanted, None, wanted.inputs), skipped=True)
        self.recorder.put(old, instead_of=old, quietly=True)
        self.counts[Op.SAME] += 1
        return Registered(old)

    def _goal(self, wanted: Registration, old: Resource | None, inputs: Props) -> Resource:
        extra = {k: v for k, v in old.extra.items() if k not in ("sourcePosition", "stackTrace")} if old else {}
        return Resource(
            urn=wanted.urn,
            type=wanted.type,
            custom=wanted.custom,
            inputs=inputs,
            parent=wanted.parent,
            provider=wanted.provider,
            dependencies=wanted.dependencies,
            property_dependencies=wanted.property_dependencies,
            protect=wanted.protect,
            retain_on_delete=wanted.retain_on_delete,
            additional_secret_outputs=wanted.additional_secret_outputs,
            custom_timeouts=wanted.custom_timeouts,
            ignore_changes=wanted.ignore_changes,
            replace_on_changes=wanted.replace_on_changes,
            created=old.created if old else "",
            modified=old.modified if old else "",
            extra=extra,
        )

    # The steps

    async def _same(self, old: Resource, goal: Resource) -> Resource:
        new = replace(goal, id=old.id, outputs=old.outputs, init_errors=old.init_errors)
        if goal.is_provider:
            # An unchanged provider is configured with what it had, so that a change it calls none stays unseen.
            await self.providers.same(goal.urn, old.id, old.inputs)
        self.recorder.put(new, instead_of=old, quietly=new == old)
        if not urn.is_default_provider(new.urn):
            self.counts[Op.SAME] += 1
            self.listen(ResourceDone(new.urn, new.type, Op.SAME, 0.0))
        await self.recorder.commit()
        return new

    async def _create(
        self, goal: Resource, operations: Operations | None, op: Op, changes: tuple[Change, ...],
        old: Resource | None = None, kept: Resource | None = None,
    ) -> Resource:  # fmt: skip
        """Create `goal`. `old` leaves the state with it; `kept` stays, marked for deletion at the end."""
        async with self.step(goal, op, changes) as began:
            new = replace(goal, created=began, modified=began)
            if operations is not None:
                ticket = self.recorder.begin("creating", goal)
                await self.recorder.commit()
                timeout = goal.custom_timeouts.get("create", 0.0)
                try:
                    id_, outputs = await operations.create(goal.urn, goal.inputs, timeout=timeout, preview=self.preview)
                    new = replace(new, id=id_, outputs=_secrets(goal, outputs))
                except HalfMade as half:
                    new = replace(
                        new, id=half.id, outputs=_secrets(goal, half.outputs), init_errors=half.reasons or ("unknown",)
                    )
                    self._made(new, old, kept, ticket)
                    await self.recorder.commit()
                    raise
                except PluginDied:
                    raise  # whether it was made is not known: the operation stays noted, the next run looks
                except EngineError:
                    self.recorder.end(ticket)
                    await self.recorder.commit()
                    raise
                self._made(new, old, kept, ticket)
            else:
                self._made(new, old, kept, None)
            await self.recorder.commit()
        return new

    def _made(self, new: Resource, old: Resource | None, kept: Resource | None, ticket: int | None) -> None:
        if ticket is not None:
            self.recorder.end(ticket)
        if kept is not None:
            self.recorder.change_old(kept, replace(kept, delete=True))
        self.recorder.put(new, instead_of=old)

    async def _update(
        self, old: Resource, goal: Resource, operations: Operations, wanted: Registration, changes: tuple[Change, ...]
    ) -> Resource:
        async with self.step(goal, Op.UPDATE, changes) as began:
            new = replace(goal, id=old.id, modified=began)
            ticket = self.recorder.begin("updating", replace(goal, id=old.id, outputs=old.outputs))
            await self.recorder.commit()
            try:
                outputs = await operations.update(
                    goal.urn, old.id, old=old.inputs, outputs=old.outputs, new=goal.inputs,
                    ignore=wanted.ignore_changes, timeout=goal.custom_timeouts.get("update", 0.0),
                    preview=self.preview,
                )  # fmt: skip
                new = replace(new, outputs=_secrets(goal, outputs))
            except HalfMade as half:
                self.recorder.end(ticket)
                half_made = replace(new, outputs=_secrets(goal, half.outputs), init_errors=half.reasons or ("unknown",))
                self.recorder.put(half_made, instead_of=old)
                await self.recorder.commit()
                raise
            except PluginDied:
                raise
            except EngineError:
                self.recorder.end(ticket)
                await self.recorder.commit()
                raise
            self.recorder.end(ticket)
            self.recorder.put(new, instead_of=old)
            await self.recorder.commit()
        return new

    async def _replace(
        self, old: Resource, goal: Resource, operations: Operations | None, first: bool, changes: tuple[Change, ...]
    ) -> Resource:
        if not first:
            return await self._create(goal, operations, Op.REPLACE, changes, kept=old)
        for dependent in reversed(await self._replaced_with(old)):
            if dependent.protect:
                raise Protected(
                    f"{dependent.urn} must be replaced with {old.urn}, and it is protected",
                    hint="remove `protect` in the program, run up, then change it",
                )
            await self._delete_for_replacement(dependent)
        condemned = await self._delete_for_replacement(old)
        return await self._create(goal, operations, Op.REPLACE, changes, old=condemned)

    async def _delete_for_replacement(self, old: Resource) -> Resource:
        """Delete what comes back later in this run; until then it is in the state as pending replacement."""
        if old.pending_replacement:
            return old
        async with self.step(old, Op.DELETE, (), counted=False):
            await self.delete_outside(old)
            condemned = replace(old, pending_replacement=True)
            self.recorder.change_old(old, condemned)
            await self.recorder.commit()
        return condemned

    async def delete_outside(self, old: Resource) -> None:
        """Ask the provider to delete; noted before, not recorded after."""
        if not old.custom or old.external or old.retain_on_delete or old.is_provider or self.preview:
            return
        plugin = await self.providers.serving(old.provider)
        ticket = self.recorder.begin("deleting", old)
        await self.recorder.commit()
        try:
            await plugin.delete(
                old.urn, old.id, inputs=old.inputs, outputs=old.outputs,
                timeout=old.custom_timeouts.get("delete", 0.0),
            )  # fmt: skip
        except PluginDied:
            raise
        except EngineError:
            self.recorder.end(ticket)
            await self.recorder.commit()
            raise
        self.recorder.end(ticket)

    async def _replaced_with(self, root: Resource) -> list[Resource]:
        """Old dependents that must be replaced with `root`: their diff, with what it gave unknown, says so."""
        gone = {root.urn}
        found: list[Resource] = []
        for dependent in steps.dependents(self.recorder.old(), [root.urn]):
            if dependent.urn in self.seen or not dependent.custom or dependent.external or dependent.delete:
                continue
            provider_gone = bool(dependent.provider) and urn.split_reference(dependent.provider)[0] in gone
            lost = {k for k, needed in dependent.property_dependencies.items() if gone & set(needed)}
            if not provider_gone and not lost & dependent.inputs.keys():
                continue
            if not provider_gone:
                inputs = {k: wire.UNKNOWN if k in lost else v for k, v in dependent.inputs.items()}
                asked: Operations = (
                    self.providers if dependent.is_provider else await self.providers.serving(dependent.provider)
                )
                diff = await asked.diff(
                    dependent.urn, dependent.id, old=dependent.inputs, outputs=dependent.outputs, new=inputs,
                    ignore=dependent.ignore_changes,
                )  # fmt: skip
                if not steps.with_replace_on_changes(diff, dependent.replace_on_changes).replaces:
                    continue
            gone.add(dependent.urn)
            found.append(dependent)
        return found

    async def register_outputs(self, urn_: str, outputs: Props) -> None:
        """What a component says about itself once its children are there."""
        if self.failure is not None:
            raise Interrupted("the deployment is ending")
        if urn_ in self._untouched:
            return
        resource = self.recorder.find(urn_)
        if resource is None or urn_ not in self.seen:
            raise ResourceFailed("outputs were registered for a resource that is not", urn=urn_)
        self.recorder.put(replace(resource, outputs=outputs), quietly=resource.outputs == outputs)
        await self.recorder.commit()

    def step(self, resource: Resource, op: Op, changes: tuple[Change, ...], *, counted: bool = True) -> _Running:
        """Around one step: a slot, events, seconds, the count."""
        return _Running(self, resource, op, changes, self._slots, counted)


class _Running:
    """The frame of one step; entering it gives the time it began."""

    def __init__(
        self, deployment: Deployment, resource: Resource, op: Op, changes: tuple[Change, ...],
        slots: asyncio.Semaphore, counted: bool,
    ) -> None:  # fmt: skip
        self._deployment, self._resource, self._op, self._changes = deployment, resource, op, changes
        self._quiet = urn.is_default_provider(resource.urn)
        self._slots, self._counted = slots, counted and not self._quiet
        self._began = 0.0

    async def __aenter__(self) -> str:
        await self._slots.acquire()
        if self._deployment.failure is not None:
            self._slots.release()
            raise Interrupted("the deployment is ending")
        clock = self._deployment.clock
        self._began = clock.monotonic()
        self._deployment.busy += 1
        if not self._quiet:
            self._deployment.listen(ResourcePre(self._resource.urn, self._resource.type, self._op, self._changes))
        return rfc3339_micro(clock.now())

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._slots.release()
        self._deployment.busy -= 1
        seconds = self._deployment.clock.monotonic() - self._began
        text = ""
        if isinstance(error, EngineError):
            text = error.message
            if isinstance(error, ResourceFailed) and not error.urn:
                error.urn = self._resource.urn
            self._deployment.fail(error)
        if error is None and self._counted:
            self._deployment.counts[self._op] += 1
        if text or (error is None and not self._quiet):
            self._deployment.listen(
                ResourceDone(self._resource.urn, self._resource.type, self._op, seconds, self._changes, text)
            )


def _needs(wanted: Registration) -> frozenset[str]:
    needed = {wanted.parent, *wanted.dependencies}
    needed.update(u for deps in wanted.property_dependencies.values() for u in deps)
    if wanted.provider:
        needed.add(urn.split_reference(wanted.provider)[0])
    return frozenset(needed - {""})


def _secrets(goal: Resource, outputs: Props) -> Props:
    return wire.mark_secret(outputs, goal.additional_secret_outputs)
