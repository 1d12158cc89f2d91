"""What can go wrong between a wanted resource and a Docker Engine, as the servicer reports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from iacorch.errors import EngineError


class DockerRefused(EngineError):
    """The Docker Engine answered with an error; `status` is its HTTP status, 0 where it could not be reached."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class HalfMade(EngineError):
    """The resource exists under `id` but is not as wanted; the next update resumes it."""

    def __init__(self, *, id: str, outputs: Mapping[str, Any], reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id, self.outputs, self.reasons = id, dict(outputs), tuple(reasons)


class NotOurs(EngineError):
    """Something else already has the name that was asked for."""
