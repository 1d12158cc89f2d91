"""What a resource module gives the servicer: a specification, pure decisions, and the edge that acts.

`Resource` is implemented by the modules of `resources/`. Inputs arrive checked, opened (no secret marks) and with
their defaults; outputs are closed again by the servicer according to the specification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from iacorch.errors import IacorchError
from iacorch.infra.provider.properties import Difference, Failure, ResourceSpec
from iacorch.kit import limits

Properties = Mapping[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One resource as the engine names it, how long it may take, and where its progress is told."""

    urn: str
    timeout_seconds: float
    say: Say

    @property
    def name(self) -> str:
        return name_of(self.urn)

    @property
    def token(self) -> str:
        return token_of(self.urn)

    def patience(self, seconds: float) -> float:
        """How long one wait of the whole may take that usually takes `seconds`.

        A program that gives its machine more time than usual knows it to be slow: each wait grows with it.
        """
        return min(seconds * max(1.0, self.timeout_seconds / limits.CREATE_SECONDS), self.timeout_seconds)


CUT_SHORT: Final = "its creation was cut short"


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists: its ID, and outputs beside its inputs."""

    id: str
    outputs: Properties = field(repr=False)


class HalfMade(IacorchError):
    """Something exists under `id` and is not done; the engine keeps it and the next update resumes it."""

    def __init__(self, made: Made, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.made, self.reasons = made, tuple(reasons)


class Resource(Protocol):
    """One resource type."""

    spec: ResourceSpec

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        """Inputs with what follows from the others or the URN filled in. Pure; unknown values stay unknown."""
        ...

    def check(self, inputs: Properties) -> Sequence[Failure]:
        """What only this resource knows to be wrong. Pure."""
        ...

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        """Whether a replacement cannot exist beside what it replaces. Pure."""
        ...

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        """Outputs as far as they are known before anything is done. Changes nothing."""
        ...

    async def create(self, request: Request, inputs: Properties) -> Made:
        """Make it, or go on with what an earlier try under the same token made. Raises HalfMade, IacorchError."""
        ...

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        """What is found; None when it is certain that there is nothing any more."""
        ...

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        """What a create of `inputs` that was cut short has left, None for nothing.

        HalfMade where there is something to go on with: the engine keeps it, and the next update finishes it.
        """
        ...

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        """Bring it to `inputs`. `old` are the inputs before. Raises HalfMade, IacorchError."""
        ...

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        """Remove it; what is gone already is fine."""
        ...


@runtime_checkable
class Importable(Protocol):
    """A resource type whose IDs say where to look, so that `pulumi import` can read one without inputs."""

    async def adopt(self, request: Request, id: str) -> tuple[dict[str, Any], Made] | None:
        """Inputs as far as they can be told, and what was found under the ID that a person typed; None for nothing."""
        ...


def name_of(urn: str) -> str:
    """The name the program gave: the last part of the URN."""
    return urn.rsplit("::", 1)[-1]


def token_of(urn: str) -> str:
    """What marks things in the world as this resource's: 16 hexadecimal digits, the same for every try."""
    return hashlib.sha256(urn.encode()).hexdigest()[:16]


def words(error: IacorchError) -> str:
    """What a person reads: what failed, and what to do."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
