"""What the servicer asks of each resource type; one implementation a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from iacorch.infra.machines.docker_provider.schema import Schema

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that exists: its ID in the engine and all its properties, inputs included."""

    id: str
    outputs: dict[str, Any]


class Resource(Protocol):
    """Operations raise `DockerRefused` or `NotOurs`; `create`, `find` and `update` also `HalfMade`."""

    @property
    def schema(self) -> Schema: ...

    async def create(self, urn: str, inputs: Properties) -> Made:
        """Make it, or finish what an earlier create for the same `urn` and inputs began."""
        ...

    async def read(self, id: str, inputs: Properties, state: Properties) -> Made | None:
        """As it is now; None where it is gone."""
        ...

    async def find(self, urn: str, inputs: Properties) -> Made | None:
        """What a create for `urn` and `inputs` that was cut short has left; HalfMade where it is not finished."""
        ...

    async def update(self, id: str, inputs: Properties, state: Properties) -> Made:
        """Bring what exists to `inputs`, finishing a half-made one."""
        ...

    async def delete(self, id: str, state: Properties) -> None:
        """Remove it; gone already is fine."""
        ...
