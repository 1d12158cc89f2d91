"""The one protocol of deployments.

In: `StackRef` (which program, which stack, which state), `Options`, and a listener that hears `Event` values as they
happen. Out: `Result`. `builtin.engine.BuiltIn` and `cli_engine.PulumiCli` implement it and pass one conformance suite;
callers never need to know which one they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


class Op(StrEnum):
    """What happens to one resource; Pulumi's words."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    IMPORT = "import"
    READ = "read"
    REFRESH = "refresh"


class Severity(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class StackRef:
    """One stack: the folder with `Pulumi.yaml`, the stack's name, and where its state is kept (`file://DIR`)."""

    work_dir: Path
    stack: str
    backend_url: str


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `targets` and `excludes` are URNs (`*` matches within a URN); no targets means everything."""

    parallel: int = 16
    targets: tuple[str, ...] = ()
    target_dependents: bool = False
    excludes: tuple[str, ...] = ()
    exclude_dependents: bool = False
    refresh_first: bool = False
    preview_only: bool = False
    message: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One property that differs. Values are `[secret]` where they are secret and `[unknown]` where not yet known."""

    path: str
    old: Any
    new: Any
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ResourcePre:
    """A step begins. `inputs` are what the program asks for, shown as in `Change`."""

    urn: str
    type: str
    op: Op
    changes: tuple[Change, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ResourceDone:
    """A step ended; `error` is empty when it went well."""

    urn: str
    type: str
    op: Op
    seconds: float
    changes: tuple[Change, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something said by the program, a provider or the engine."""

    severity: Severity
    message: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """A phase of the deployment, or of the work on one resource, for people who wait."""

    message: str
    urn: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The deployment was cancelled: nothing new begins; these steps (op and URN) are finished and recorded first."""

    running: tuple[tuple[Op, str], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The last event: how many resources met which fate."""

    changes: Mapping[Op, int]
    seconds: float


Event = ResourcePre | ResourceDone | Diagnostic | Progress | Ending | Summary
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who only want the result."""


@dataclass(frozen=True, slots=True)
class Output:
    """One stack output. `value` is always the plain value; whoever shows it looks at `secret`."""

    value: Any
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a deployment did, or would do. Outputs that are not known in a preview are left out.

    `before` are the outputs as they were; None from an engine that has not read them.
    """

    changes: Mapping[Op, int]
    outputs: Mapping[str, Output]
    seconds: float
    before: Mapping[str, Output] | None = None

    @property
    def changed(self) -> bool:
        """Anything but resources left as they were."""
        return any(count for op, count in self.changes.items() if op not in (Op.SAME, Op.READ, Op.REFRESH))


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One past update, newest first in lists. Times are Unix seconds."""

    kind: str
    result: str
    started: int
    ended: int
    message: str
    changes: Mapping[str, int]


class Deployer(Protocol):
    """Both engines. Every method raises `EngineError` leaves (`iacorch.infra.engine.errors`) and leaves state intact.

    A deployment that is cancelled (`CancelledError`) finishes and records the steps that had begun, then ends.
    """

    name: str

    async def preview(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result: ...

    async def up(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result: ...

    async def refresh(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result: ...

    async def destroy(self, stack: StackRef, options: Options, listen: Listener = ignore) -> Result: ...

    async def outputs(self, stack: StackRef) -> Mapping[str, Output]: ...

    async def history(self, stack: StackRef) -> tuple[HistoryEntry, ...]: ...

    async def create_stack(self, stack: StackRef) -> None: ...

    async def remove_stack(self, stack: StackRef) -> None:
        """Forget an empty stack: its state file, and nothing else."""
        ...

    async def stacks(self, stack: StackRef) -> tuple[str, ...]:
        """The names of this project's stacks in the backend."""
        ...

    async def unlock(self, stack: StackRef) -> int:
        """Remove every lock of the stack; returns how many there were. What `pulumi cancel` does."""
        ...
