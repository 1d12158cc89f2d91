"""Resources that are there before the program is: taken over (`import_`), or only looked at (`get`).

In: a registration with an ID to import, or a request to read. Out: the resource, recorded. What is imported belongs to
the stack from then on and becomes what the program says; what is read never is changed nor deleted.
"""

from __future__ import annotations

from dataclasses import replace

from iacorch.infra.engine.builtin.decisions.steps import Registration
from iacorch.infra.engine.builtin.execution.recorder import Recorder
from iacorch.infra.engine.builtin.execution.work import Execution
from iacorch.infra.engine.builtin.plugins.providers import Operations
from iacorch.infra.engine.builtin.values import wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Op
from iacorch.infra.engine.errors import ResourceFailed


class Existing:
    """Both ways of one deployment."""

    def __init__(self, execution: Execution, recorder: Recorder) -> None:
        self._execution, self._recorder = execution, recorder

    async def take(
        self, wanted: Registration, goal: Resource, operations: Operations, old: Resource | None
    ) -> Resource:
        """Import: from here on the resource is an old one, as it was found. What the program wants else is an update.

        Another resource that the stack has under this URN is deleted at the end, as after a replacement.
        """
        async with self._execution.step(goal, Op.IMPORT, ()) as began:
            found = await operations.read(
                wanted.urn, wanted.import_id, inputs={}, outputs={}, timeout=goal.custom_timeouts.get("read", 0.0)
            )
            if not found.id:
                raise ResourceFailed(
                    f"there is nothing with the ID {wanted.import_id!r} to import", urn=wanted.urn,
                    hint="correct the option `import_`, or remove it to create the resource",
                )  # fmt: skip
            # It was read without knowing what is secret: the program's inputs tell.
            inputs, outputs = (wire.keep_secret(props, wanted.inputs) for props in (found.inputs, found.outputs))
            taken = replace(
                goal, id=found.id, inputs=inputs, created=began, modified=began,
                outputs=wire.mark_secret(outputs, goal.additional_secret_outputs),
                extra={**goal.extra, "importID": wanted.import_id},
            )  # fmt: skip
            if old is not None and not old.external:
                self._recorder.alter(old, delete=True)
                old = None
            self._recorder.adopt(taken, instead_of=old)
            await self._recorder.commit()
        return taken

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
                self._recorder.alter(old, delete=True)
                old = None
            self._recorder.put(new, instead_of=old, quietly=new == old)
            await self._recorder.commit()
        return new
