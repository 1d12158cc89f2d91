"""One run over one stack: what the program registers becomes steps, in the order in which they are possible.

In: registrations (from `program/monitor.py`), the old state. Out: recorded state, events, counts. Asks the provider,
lets `steps.next_step` decide and has `actions.py` carry it out; `work.py` says how it is run. `cleanup.py` has what
happens without the program: deletes, refresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from iacorch.infra.engine.builtin.decisions import aliases, steps
from iacorch.infra.engine.builtin.decisions.scope import Scope
from iacorch.infra.engine.builtin.decisions.steps import Diff, Registration
from iacorch.infra.engine.builtin.execution.actions import Actions
from iacorch.infra.engine.builtin.execution.existing import Existing
from iacorch.infra.engine.builtin.execution.recorder import Recorder
from iacorch.infra.engine.builtin.execution.work import Execution
from iacorch.infra.engine.builtin.plugins.providers import Operations, Providers, default_name, with_version
from iacorch.infra.engine.builtin.values import urn, wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.contract import Change, Op, Options
from iacorch.infra.engine.errors import Protected, ResourceFailed
from iacorch.kit.ids import Ids

#: What other engines note of a resource and is true for one run only.
_PASSING: Final = ("sourcePosition", "stackTrace", "aliases")


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration. `skipped`: a target left it out, so nothing is known about it."""

    resource: Resource
    skipped: bool = False


class Deployment:
    """One run over one stack."""

    def __init__(
        self, *, stack: str, project: str, recorder: Recorder, providers: Providers, options: Options, preview: bool,
        execution: Execution, ids: Ids, config: Mapping[str, str], secret_keys: frozenset[str],
    ) -> None:  # fmt: skip
        self.stack, self.project = stack, project
        self.recorder, self.providers = recorder, providers
        self.options, self.preview = options, preview
        self.execution = execution
        self.seen: set[str] = set()
        self.interrupted: dict[str, tuple[int, Resource]] = {}
        self.actions = Actions(execution, recorder, providers, self.seen, preview=preview)
        self.existing = Existing(execution, recorder)
        self.scope = Scope.of(options)
        self._ids, self._config, self._secret_keys = ids, config, secret_keys
        self._defaults: dict[tuple[str, str], str] = {}
        self._default_lock = asyncio.Lock()
        self._former: dict[str, str] = {}
        self._now: dict[str, str] = {}
        self._skipped: set[str] = set()
        self.untouched: set[str] = set()

    async def register(self, wanted: Registration) -> Registered:
        """One registration, all the way to the disk. Raises what went wrong, after remembering it."""
        self.execution.go_on()
        return await self.execution.apart(self._register(wanted))

    async def _register(self, wanted: Registration) -> Registered:
        self._see(wanted.urn)
        steps.check_paths(wanted)
        old = await self._old(wanted)
        in_ = self.seen - self.untouched - {wanted.urn}
        if not self.scope.has(wanted.urn, wanted.type, _needs(wanted), in_=in_, out=self.untouched):
            return await self._leave(wanted, old)
        if missing := [needed for needed in _needs(wanted) if needed in self._skipped]:
            raise ResourceFailed(
                f"it needs {missing[0]}, which is to be created but is not among the targets",
                urn=wanted.urn,
                hint="add it to the targets",
            )
        operations = await self._operations(wanted)
        seed = self._ids.token(32)
        imported = False
        if operations is not None and _to_import(wanted, old):
            old = await self.existing.take(wanted, self._goal(wanted, None, wanted.inputs), operations, old)
            imported = True
        looked_at = None
        if old is not None and old.external:
            # It was only looked at; the program now wants one of its own, which takes its place once it is there.
            looked_at, old = old, None
        before = self._inputs_before(wanted.urn, old)
        given = steps.keep_ignored(wanted.inputs, before, wanted.ignore_changes) if old is not None else wanted.inputs
        inputs = given if operations is None else await operations.check(wanted.urn, before, given, seed)
        diff = await self._diff(old, wanted, operations, inputs)
        step = steps.next_step(old, wanted, inputs, diff)
        if operations is not None and isinstance(step, steps.Replace):
            inputs = await operations.check(wanted.urn, {}, wanted.inputs, seed)
        goal = self._goal(wanted, old, inputs)
        done = await self._carry_out(step, old or looked_at, goal, operations, counted=not imported)
        return Registered(done)

    async def _carry_out(
        self, step: steps.Step, old: Resource | None, goal: Resource, operations: Operations | None, *, counted: bool
    ) -> Resource:
        match step:
            case steps.Refuse(reason):
                raise Protected(f"{goal.urn}: {reason}", hint="remove `protect` in the program, run up, then change it")
            case steps.Create():
                return await self.actions.create(goal, operations, Op.CREATE, (), old=old)
            case steps.Replace(first, changes):
                assert old is not None
                return await self.actions.replace(old, goal, operations, first, changes)
            case steps.Update(changes):
                assert old is not None
                assert operations is not None
                return await self.actions.update(old, goal, operations, changes)
            case steps.Same():
                assert old is not None
                return await self.actions.same(old, goal, counted=counted)

    async def read(self, wanted: Resource) -> Resource:
        """Look at a resource of somebody else's."""
        self.execution.go_on()
        return await self.execution.apart(self._read(wanted))

    async def _read(self, wanted: Resource) -> Resource:
        self._see(wanted.urn)
        operations = await self.providers.serving(wanted.provider)
        return await self.existing.look(wanted, operations, self.recorder.find_old(wanted.urn))

    def _see(self, urn_: str) -> None:
        if (other := self._now.get(urn_)) is not None:
            raise ResourceFailed(f"{other} has it as an alias, and is what it was", urn=urn_)
        if urn_ in self.seen:
            raise ResourceFailed("another resource of the same type and name is registered already", urn=urn_)
        self.seen.add(urn_)

    # What to ask before deciding

    async def _old(self, wanted: Registration) -> Resource | None:
        """The resource in the state, under its URN or a former one."""
        former = aliases.candidates(
            wanted.urn, wanted.parent, wanted.aliases, stack=self.stack, project=self.project,
            parent_was=self._former.get(wanted.parent, ""),
        )  # fmt: skip
        for name in (wanted.urn, *former):
            await self.actions.settled(name)
        if (old := self.recorder.find_old(wanted.urn)) is not None:
            return old
        for candidate in former:
            if (other := self._now.get(candidate)) is not None:
                raise ResourceFailed(f"{candidate} is an alias of it, and of {other} too", urn=wanted.urn)
            if candidate not in self.seen and (old := self.recorder.find_old(candidate)) is not None:
                self._former[wanted.urn], self._now[candidate] = candidate, wanted.urn
                self.seen.add(candidate)
                return old
        return None

    def _inputs_before(self, urn_: str, old: Resource | None) -> Props:
        """What the inputs were: of the resource, or of a create that was cut short, so that names it drew are kept."""
        if old is not None:
            return old.inputs
        if urn_ not in self.interrupted:
            return {}
        ticket, begun = self.interrupted.pop(urn_)
        self.recorder.end(ticket)  # written together with the note of the create that follows
        return begun.inputs

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

    async def _leave(self, wanted: Registration, old: Resource | None) -> Registered:
        self.untouched.add(wanted.urn)
        if old is None:
            self._skipped.add(wanted.urn)
            return Registered(self._goal(wanted, None, wanted.inputs), skipped=True)
        self.untouched.add(old.urn)
        self.recorder.leave(old)
        self.execution.counts[Op.SAME] += 1
        return Registered(old)

    def _goal(self, wanted: Registration, old: Resource | None, inputs: Props) -> Resource:
        extra = {k: v for k, v in old.extra.items() if k not in _PASSING} if old else {}
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
            deleted_with=wanted.deleted_with,
            additional_secret_outputs=wanted.additional_secret_outputs,
            custom_timeouts=wanted.custom_timeouts,
            ignore_changes=wanted.ignore_changes,
            replace_on_changes=wanted.replace_on_changes,
            created=old.created if old else "",
            modified=old.modified if old else "",
            extra=extra,
        )

    async def register_outputs(self, urn_: str, outputs: Props) -> None:
        """What a component says about itself once its children are there."""
        self.execution.go_on()
        if urn_ in self.untouched:
            return
        resource = self.recorder.find(urn_)
        if resource is None or urn_ not in self.seen:
            raise ResourceFailed("outputs were registered for a resource that is not", urn=urn_)
        self.recorder.put(replace(resource, outputs=outputs), quietly=resource.outputs == outputs)
        await self.recorder.commit()


def _to_import(wanted: Registration, old: Resource | None) -> bool:
    """Not again, once it is the stack's."""
    return bool(wanted.import_id) and (old is None or old.external or old.id != wanted.import_id)


def _needs(wanted: Registration) -> frozenset[str]:
    needed = {wanted.parent, wanted.deleted_with, *wanted.dependencies}
    needed.update(u for deps in wanted.property_dependencies.values() for u in deps)
    if wanted.provider:
        needed.add(urn.split_reference(wanted.provider)[0])
    return frozenset(needed - {""})
