"""Resources that are there before the program is: taken over (`import_`), or only looked at (`get`).

In: a registration with an ID to import, or a request to read. Out: the resource, recorded. What is imported belongs to
the stack from then on, so the program must describe it as it is; what is read never is changed nor deleted.
"""

from __future__ import annotations

from dataclasses import replace

from iacorch.infra.engine.builtin import steps, wire
from iacorch.infra.engine.builtin.execution import Execution
from iacorch.infra.engine.builtin.providers import Operations
from iacorch.infra.engine.builtin.recorder import Recorder
from iacorch.infra.engine.builtin.state import Resource
from iacorch.infra.engine.builtin.steps import Registration
from iacorch.infra.engine.contract import Diagnostic, Op, Severity
from iacorch.infra.engine.errors import ResourceFailed


class Existing:
    """Both ways of one deployment."""

    def __init__(self, execution: Execution, recorder: Recorder, *, preview: bool) -> None:
        self._execution, self._recorder, self._preview = execution, recorder, preview

    async def take(
        self, wanted: Registration, goal: Resource, operations: Operations, old: Resource | None, seed: bytes
    ) -> Resource:
        """Import. Another resource that the stack has under this URN is deleted at the end, as after a replacement."""
        async with self._execution.step(goal, Op.IMPORT, ()) as began:
            found = await operations.read(
                wanted.urn, wanted.import_id, inputs={}, outputs={}, timeout=goal.custom_timeouts.get("read", 0.0)
            )
            if not found.id:
                raise ResourceFailed(
                    f"there is nothing with the ID {wanted.import_id!r} to import", urn=wanted.urn,
                    hint="correct the option `import_`, or remove it to create the resource",
                )  # fmt: skip
            given = steps.keep_ignored(wanted.inputs, found.inputs, wanted.ignore_changes)
            inputs = await operations.check(wanted.urn, found.inputs, given, seed)
            diff = await operations.diff(
                wanted.urn, found.id, old=found.inputs, outputs=found.outputs, new=inputs, ignore=wanted.ignore_changes
            )
            if diff.changed:
                self._refuse(wanted, diff)
            new = replace(
                goal, id=found.id, inputs=inputs, created=began, modified=began,
                outputs=wire.mark_secret(found.outputs, goal.additional_secret_outputs),
                extra={**goal.extra, "importID": wanted.import_id},
            )  # fmt: skip
            if old is not None and not old.external:
                self._recorder.change_old(old, replace(old, delete=True))
            self._recorder.put(new, instead_of=old if old is not None and old.external else None)
            await self._recorder.commit()
        return new

    def _refuse(self, wanted: Registration, diff: steps.Diff) -> None:
        paths = ", ".join(change.path for change in diff.changes) or ", ".join(diff.keys)
        message = f"what is there differs from the program's inputs: {paths}"
        if not self._preview:
            raise ResourceFailed(message, urn=wanted.urn, hint="make the inputs in the program what is there")
        self._execution.listen(Diagnostic(Severity.WARNING, f"{message}; importing it will fail", wanted.urn))

    async def look(self, wanted: Resource, operations: Operations, old: Resource | None) -> Resource:
        """Read, and keep what was read as external. With an ID that a preview cannot know, nothing is known."""
        async with self._execution.step(wanted, Op.READ, ()):
            outputs: wire.Props = {}
            id_ = wanted.id
            if id_ != wire.UNKNOWN:
                found = await operations.read(wanted.urn, id_, inputs={}, outputs=wanted.inputs)
                if not found.id:
                    raise ResourceFailed(f"there is nothing with the ID {id_!r}", urn=wanted.urn)
                id_, outputs = found.id, found.outputs
            new = replace(wanted, id=id_, outputs=wire.mark_secret(outputs, wanted.additional_secret_outputs))
            if old is not None and not old.external:
                self._recorder.change_old(old, replace(old, delete=True))
                old = None
            self._recorder.put(new, instead_of=old, quietly=new == old)
            await self._recorder.commit()
        return new
