"""The collector that every check writes to, in the words of Kubernetes' field errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from iacorch.errors import Cause
from iacorch.kit import limits

IMMUTABLE: Final = "field is immutable"


class Problems:
    """Causes in the order found; at most `limits.REPORTED_PROBLEMS` are kept."""

    def __init__(self) -> None:
        self.found: list[Cause] = []

    def required(self, path: str, words: str = "") -> None:
        self._add(path, "Required value" + (f": {words}" if words else ""), "FieldValueRequired")

    def invalid(self, path: str, value: Any, words: str) -> None:
        self._add(path, f"Invalid value: {shown(value)}: {words}", "FieldValueInvalid")

    def duplicate(self, path: str, value: Any) -> None:
        self._add(path, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")

    def not_found(self, path: str, value: Any) -> None:
        self._add(path, f"Not found: {shown(value)}", "FieldValueNotFound")

    def forbidden(self, path: str, words: str) -> None:
        self._add(path, f"Forbidden: {words}", "FieldValueForbidden")

    def too_long(self, path: str, limit_bytes: int) -> None:
        self._add(path, f"Too long: may not be more than {limit_bytes} bytes", "FieldValueTooLong")

    def unsupported(self, path: str, value: Any, supported: Sequence[str]) -> None:
        words = ", ".join(shown(entry) for entry in sorted(supported))
        self._add(path, f"Unsupported value: {shown(value)}: supported values: {words}", "FieldValueNotSupported")

    def each(self, path: str, value: Any, complaints: Iterable[str]) -> None:
        """What `iacorch.api.names` complains of."""
        for words in complaints:
            self.invalid(path, value, words)

    def one_of(self, path: str, value: Any, supported: Sequence[str]) -> None:
        """A value that is absent or empty is somebody else's question."""
        if value and value not in supported:
            self.unsupported(path, value, supported)

    def at_least(self, path: str, value: int | None, low: int) -> None:
        if value is not None and value < low:
            self.invalid(
                path,
                value,
                f"must be greater than or equal to {low}" if low == 0 else f"must be greater than {low - 1}",
            )

    def between(self, path: str, value: int | None, low: int, high: int) -> None:
        if value is not None and not low <= value <= high:
            self.invalid(path, value, f"must be between {low} and {high}, inclusive")

    def unique(self, path: str, values: Iterable[tuple[str, Any]]) -> None:
        """(path, value) pairs of which no value may come twice; empty ones are skipped. `path` names a bare list."""
        seen: set[Any] = set()
        for where, value in values:
            if value and value in seen:
                self.duplicate(where or path, value)
            seen.add(value)

    def immutable(self, path: str, new: Any, old: Any) -> None:
        if new != old:
            self.invalid(path, new, IMMUTABLE)

    def _add(self, path: str, message: str, reason: str) -> None:
        if len(self.found) < limits.REPORTED_PROBLEMS:
            self.found.append(Cause(path, message, reason))


def shown(value: Any) -> str:
    """As Go prints a value in a field error: text quoted, objects as JSON."""
    return "null" if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
