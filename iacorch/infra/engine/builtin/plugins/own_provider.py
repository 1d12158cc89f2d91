"""The engine's own provider, of the package `pulumi`: the outputs of other stacks (`StackReference`).

In: `Read` of a stack's name. Out: its outputs, secrets marked. It has the operations of a plugin and no process. Names
are STACK, PROJECT/STACK or organization/PROJECT/STACK, all in the same backend and under the same passphrase.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

from iacorch.infra.engine.builtin.decisions.steps import Diff, compare
from iacorch.infra.engine.builtin.plugins.plugin import Read
from iacorch.infra.engine.builtin.values.wire import Props, has_secret
from iacorch.infra.engine.errors import Unsupported

PACKAGE: Final = "pulumi"
STACK_REFERENCE: Final = "pulumi:pulumi:StackReference"

#: The outputs of a stack by its name, as they stand in the state.
Outputs = Callable[[str], Awaitable[Props]]


class OwnProvider:
    """Has the operations of a plugin."""

    package = PACKAGE
    configured = True

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs

    async def check_config(self, urn_: str, old: Props, new: Props) -> Props:
        return new

    async def diff_config(self, urn_: str, id_: str, old: Props, outputs: Props, new: Props) -> Diff:
        return Diff(False)

    async def configure(self, urn_: str, id_: str, inputs: Props) -> None:
        """It has no configuration."""

    async def check(self, urn_: str, old: Props, new: Props, seed: bytes) -> Props:
        return new

    async def diff(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str] = ()
    ) -> Diff:
        changes = compare(old, new)
        return Diff(bool(changes), ("name",) if changes else (), changes=changes)

    async def read(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float = 0.0) -> Read:
        if f"{STACK_REFERENCE}::" not in urn_:
            self._refuse(urn_)
        name = str(outputs.get("name") or id_)
        found = await self._outputs(name)
        secrets = sorted(key for key, value in found.items() if has_secret(value))
        return Read(id_, {"name": name}, {"name": name, "outputs": found, "secretOutputNames": secrets})

    async def create(self, urn_: str, inputs: Props, *, timeout: float, preview: bool) -> tuple[str, Props]:
        self._refuse(urn_)

    async def update(
        self, urn_: str, id_: str, *, old: Props, outputs: Props, new: Props, ignore: Sequence[str], timeout: float,
        preview: bool,
    ) -> Props:  # fmt: skip
        self._refuse(urn_)

    async def delete(self, urn_: str, id_: str, *, inputs: Props, outputs: Props, timeout: float) -> None:
        """A reference is only looked at."""

    async def invoke(self, token: str, arguments: Props, *, preview: bool) -> tuple[Props, Sequence[Any]]:
        raise Unsupported(f"the function {token}")

    async def construct(self, request: Any, inputs: Props) -> Any:
        self._refuse(request.type)

    async def call(self, request: Any, arguments: Props) -> Any:
        raise Unsupported(f"the method {request.tok}")

    def _refuse(self, urn_: str) -> NoReturn:
        raise Unsupported("resources of the package pulumi other than stack references", where=urn_)
