"""Carries out one step: notes it on disk, asks the provider, puts the outcome on disk, and only then answers.

In: an old resource, the goal, the operations of its provider. Out: the resource as it is now. What
`decisions/steps.py` decided is done here; whose turn it is, is `deployment.py`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from iacorch.errors import EngineError
from iacorch.infra.engine.builtin.decisions import steps
from iacorch.infra.engine.builtin.execution.recorder import Recorder
from iacorch.infra.engine.builtin.execution.work import Execution
from iacorch.infra.engine.builtin.plugins.plugin import HalfMade
from iacorch.infra.engine.builtin.plugins.providers import Operations, Providers
from iacorch.infra.engine.builtin.values import urn, wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.contract import Change, Op, ResourceDone
from iacorch.infra.engine.errors import CallTimedOut, PluginDied, Protected


class Actions:
    """The steps of one deployment. `seen`: URNs that the program has registered."""

    def __init__(
        self, execution: Execution, recorder: Recorder, providers: Providers, seen: set[str], *, preview: bool
    ) -> None:
        self._execution, self._recorder, self._providers = execution, recorder, providers
        self._seen, self._preview = seen, preview
        self._going: dict[str, asyncio.Event] = {}

    async def same(self, old: Resource, goal: Resource, *, counted: bool = True) -> Resource:
        new = replace(goal, id=old.id, outputs=old.outputs, init_errors=old.init_errors)
        if goal.is_provider:
            # An unchanged provider is configured with what it had, so that a change it calls none stays unseen.
            await self._providers.same(goal.urn, old.id, old.inputs)
        self._recorder.put(new, instead_of=old, quietly=new == old)
        if counted and not urn.is_default_provider(new.urn):
            self._execution.counts[Op.SAME] += 1
            self._execution.listen(ResourceDone(new.urn, new.type, Op.SAME, 0.0))
        await self._recorder.commit()
        return new

    async def create(
        self, goal: Resource, operations: Operations | None, op: Op, changes: tuple[Change, ...],
        old: Resource | None = None, kept: Resource | None = None,
    ) -> Resource:  # fmt: skip
        """Create `goal`. `old` leaves the state with it; `kept` stays, marked for deletion at the end."""
        async with self._execution.step(goal, op, changes) as began:
            new = replace(goal, created=began, modified=began)
            if operations is not None:
                ticket = self._recorder.begin("creating", goal)
                await self._recorder.commit()
                timeout = goal.custom_timeouts.get("create", 0.0)
                try:
                    id_, outputs = await operations.create(
                        goal.urn, goal.inputs, timeout=timeout, preview=self._preview
                    )
                    new = replace(new, id=id_, outputs=_secrets(goal, outputs))
                except HalfMade as half:
                    new = replace(
                        new, id=half.id, outputs=_secrets(goal, half.outputs), init_errors=half.reasons or ("unknown",)
                    )
                    self._made(new, old, kept, ticket)
                    await self._recorder.commit()
                    raise
                except (PluginDied, CallTimedOut):
                    raise  # whether it was made is not known: the operation stays noted, the next run looks
                except EngineError:
                    self._recorder.end(ticket)
                    await self._recorder.commit()
                    raise
                self._made(new, old, kept, ticket)
            else:
                self._made(new, old, kept, None)
            await self._recorder.commit()
        return new

    def _made(self, new: Resource, old: Resource | None, kept: Resource | None, ticket: int | None) -> None:
        if ticket is not None:
            self._recorder.end(ticket)
        if kept is not None:
            self._recorder.alter(kept, delete=True)
        self._recorder.put(new, instead_of=old)

    async def update(
        self, old: Resource, goal: Resource, operations: Operations, changes: tuple[Change, ...]
    ) -> Resource:
        async with self._execution.step(goal, Op.UPDATE, changes) as began:
            new = replace(goal, id=old.id, modified=began)
            ticket = self._recorder.begin("updating", replace(goal, id=old.id, outputs=old.outputs))
            await self._recorder.commit()
            try:
                outputs = await operations.update(
                    goal.urn, old.id, old=old.inputs, outputs=old.outputs, new=goal.inputs,
                    ignore=goal.ignore_changes, timeout=goal.custom_timeouts.get("update", 0.0),
                    preview=self._preview,
                )  # fmt: skip
                new = replace(new, outputs=_secrets(goal, outputs))
            except HalfMade as half:
                self._recorder.end(ticket)
                half_made = replace(new, outputs=_secrets(goal, half.outputs), init_errors=half.reasons or ("unknown",))
                self._recorder.put(half_made, instead_of=old)
                await self._recorder.commit()
                raise
            except (PluginDied, CallTimedOut):
                raise
            except EngineError:
                self._recorder.end(ticket)
                await self._recorder.commit()
                raise
            self._recorder.end(ticket)
            self._recorder.put(new, instead_of=old)
            await self._recorder.commit()
        return new

    async def replace(
        self, old: Resource, goal: Resource, operations: Operations | None, first: bool, changes: tuple[Change, ...]
    ) -> Resource:
        if not first:
            return await self.create(goal, operations, Op.REPLACE, changes, kept=old)
        found = await self._replaced_with(old)
        # What was registered while they were asked about needs `old` no more, else its program had waited for it.
        dependents = [dependent for dependent in found if dependent.urn not in self._seen]
        if held := [dependent for dependent in dependents if dependent.protect]:
            raise Protected(
                f"{held[0].urn} must be replaced with {old.urn}, and it is protected",
                hint="remove `protect` in the program, run up, then change it",
            )
        doomed = {old.urn, *(dependent.urn for dependent in dependents)}
        gone = asyncio.Event()
        self._going |= dict.fromkeys((dependent.urn for dependent in dependents), gone)
        try:
            for dependent in reversed(dependents):
                await self._delete_for_replacement(dependent, doomed)
        finally:
            gone.set()
        await self._delete_for_replacement(old, doomed)
        return await self.create(goal, operations, Op.REPLACE, changes, old=old)

    async def settled(self, urn_: str) -> None:
        """Wait while the resource is being deleted to be replaced: whoever registers it finds it deleted."""
        if urn_ in self._going:
            await self._going[urn_].wait()

    async def _delete_for_replacement(self, old: Resource, doomed: Collection[str]) -> None:
        """Delete what comes back later in this run; until then it is in the state as pending replacement."""
        if old.pending_replacement:
            return
        async with self._execution.step(old, Op.DELETE, (), counted=False):
            await self.delete_outside(old, doomed)
            self._recorder.alter(old, pending_replacement=True)
            await self._recorder.commit()

    async def delete_outside(self, old: Resource, doomed: Collection[str]) -> None:
        """Ask the provider to delete; noted before, not recorded after. `doomed` are URNs that go in the same run."""
        if not old.custom or old.external or old.retain_on_delete or old.is_provider or self._preview:
            return
        if old.deleted_with in doomed:
            return  # it goes with that one
        plugin = await self._providers.serving(old.provider)
        ticket = self._recorder.begin("deleting", old)
        await self._recorder.commit()
        try:
            await plugin.delete(
                old.urn, old.id, inputs=old.inputs, outputs=old.outputs,
                timeout=old.custom_timeouts.get("delete", 0.0),
            )  # fmt: skip
        except (PluginDied, CallTimedOut):
            raise
        except EngineError:
            self._recorder.end(ticket)
            await self._recorder.commit()
            raise
        self._recorder.end(ticket)

    async def _replaced_with(self, root: Resource) -> list[Resource]:
        """Old dependents that must be replaced with `root`: their diff, with what it gave unknown, says so."""
        gone = {root.urn}
        found: list[Resource] = []
        for dependent in steps.dependents(self._recorder.old(), [root.urn]):
            if dependent.urn in self._seen or not dependent.custom or dependent.external or dependent.delete:
                continue
            provider_gone = bool(dependent.provider) and urn.split_reference(dependent.provider)[0] in gone
            lost = {k for k, needed in dependent.property_dependencies.items() if gone & set(needed)}
            if not provider_gone and not lost & dependent.inputs.keys():
                continue
            if not provider_gone:
                inputs = {k: wire.UNKNOWN if k in lost else v for k, v in dependent.inputs.items()}
                asked: Operations = (
                    self._providers if dependent.is_provider else await self._providers.serving(dependent.provider)
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


def _secrets(goal: Resource, outputs: Props) -> Props:
    return wire.mark_secret(outputs, goal.additional_secret_outputs)
