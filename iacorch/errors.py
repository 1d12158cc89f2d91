"""Every error that may cross a room's door, as one tree.

    IacorchError
    +-- ApiError                 what the API answers; maps one to one to a Kubernetes Status
    |   +-- BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405, NotAcceptable 406
    |   +-- AlreadyExists 409, Conflict 409, Gone 410 (Expired), TooLarge 413, UnsupportedMedia 415, Invalid 422
    |   +-- TooManyRequests 429, InternalError 500, Unavailable 503, Timeout 504
    +-- StoreError               revisioned bytes: RevisionMismatch, KeyExists, Compacted, WatchTooSlow, StoreBroken
    +-- RuntimeFailed            the container runtime on a node
    +-- NetworkFailed            links, routes, rules on a node
    +-- EngineError              the deployment engines: state, locks, plugins, programs (iacorch.infra.engine)
    +-- MachineError             machines that cannot be had, read or deleted (iacorch.infra.machines)
    +-- BootstrapError           a machine that could not become a node (iacorch.infra.bootstrap)
    +-- ConfigError              what a person typed: file, field, found, expected

Each room raises its own branch and translates what third parties raise at its door. The type says what happened;
whether to try again is the caller's decision. `message` is for people: what failed, on what, found and expected.
Rooms add their leaves next to their code by subclassing a branch from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class IacorchError(Exception):
    """The root. `hint` says what to do next, where there is something to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(IacorchError):
    """What a person typed cannot be used; `where` names the file, flag or field."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Kubernetes Status's `details.causes`: a field path, a machine-readable reason, words."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(IacorchError):
    """An answer of the API that is not success, with what a Kubernetes Status needs."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    has_details: ClassVar[bool] = False
    """Are they there even when there is nothing in them?"""

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_seconds: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.group, self.kind, self.name, self.uid = group, kind, name, uid
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> dict[str, Any]:
        """The Kubernetes `Status` object, as sent on the wire."""
        details: dict[str, Any] = {}
        for field in ("name", "group", "kind", "uid"):
            if value := getattr(self, field):
                details[field] = value
        if self.causes:
            details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in self.causes]
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if details or self.has_details:
            body["details"] = details
        return body


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"
    has_details = True  # kubectl debug looks inside to tell an absent pod from an absent subresource


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The asked resource version is older than what is kept: list again."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMedia(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Unavailable(ApiError):
    """The server cannot be reached or is not ready; nothing is known about whether the request was carried out."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


class StoreError(IacorchError):
    """The branch of revisioned bytes."""


class RevisionMismatch(StoreError):
    """Compare-and-swap lost: the key is at `actual` (0: it does not exist), the caller expected `expected`."""

    def __init__(self, key: bytes, *, expected: int, actual: int) -> None:
        super().__init__(f"{key!r} is at revision {actual}, expected {expected}")
        self.key, self.expected, self.actual = key, expected, actual


class KeyExists(StoreError):
    """Create found the key present, at `actual`."""

    def __init__(self, key: bytes, *, actual: int) -> None:
        super().__init__(f"{key!r} exists at revision {actual}")
        self.key, self.actual = key, actual


class Compacted(StoreError):
    """History before `oldest` is no longer kept."""

    def __init__(self, *, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} has been compacted; the oldest kept is {oldest}")
        self.asked, self.oldest = asked, oldest


class FutureRevision(StoreError):
    """A revision was asked for that the store has not reached."""

    def __init__(self, *, asked: int, current: int) -> None:
        super().__init__(f"revision {asked} is ahead of the store, which is at {current}")
        self.asked, self.current = asked, current


class WatchTooSlow(StoreError):
    """A watcher did not drain its bounded queue and was cut off; watch again from the last revision seen."""


class StoreBroken(StoreError):
    """The store's file cannot be read or written; says what was found."""


class RuntimeFailed(IacorchError):
    """The container runtime refused or failed; `operation` and `subject` say what was asked of it."""

    def __init__(self, message: str, *, operation: str = "", subject: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.operation, self.subject = operation, subject


class NetworkFailed(IacorchError):
    """A link, route, rule or name could not be set on a node."""


class EngineError(IacorchError):
    """The branch of the deployment engines; leaves live in `iacorch.infra.engine.errors`."""


class MachineError(IacorchError):
    """The branch of machine drivers; leaves live in `iacorch.infra.machines.errors`."""


class BootstrapError(IacorchError):
    """The branch of machines that could not become nodes; leaves live in `iacorch.infra.bootstrap.errors`."""
