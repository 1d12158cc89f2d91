"""`metadata.managedFields`: which manager owns which fields.

In: the entries of an object. Out: `Owners`, a value with one `Owner` for each manager, operation and subresource, and
entries again. Times change only with the fields they stand beside, so that writing the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from iacorch.api.apply import fields
from iacorch.api.apply.fields import Path
from iacorch.api.objects import Object
from iacorch.errors import BadRequest, Cause, Conflict
from iacorch.kit.clock import rfc3339

Operation: TypeAlias = Literal["Apply", "Update"]
_OPERATIONS: Final[dict[Any, Operation]] = {"Apply": "Apply", "Update": "Update"}


@dataclass(frozen=True, slots=True)
class Manager:
    """Who owns: one entry of managedFields for each."""

    name: str
    operation: Operation
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    manager: Manager
    paths: frozenset[Path]
    time: str = ""

    def words(self) -> str:
        """As Kubernetes names it in a conflict."""
        text = f'"{self.manager.name}"'
        if self.manager.subresource:
            text += f' with subresource "{self.manager.subresource}"'
        if self.manager.operation == "Update":
            text += f" using {self.manager.api_version}" + (f" at {self.time}" if self.time else "")
        return text


Owners: TypeAlias = tuple[Owner, ...]


def read(entries: Any) -> Owners:
    """Raises BadRequest for entries that are none."""
    found = []
    for index, entry in enumerate(entries or ()):
        at = f"metadata.managedFields[{index}]"
        if not isinstance(entry, dict):
            raise BadRequest(f"{at}: Invalid value: must be an object")
        if (operation := _OPERATIONS.get(entry.get("operation"))) is None:
            raise BadRequest(f'{at}.operation: Invalid value: "{entry.get("operation")}": must be `Apply` or `Update`')
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            raise BadRequest(f'{at}.fieldsType: Invalid value: "{entry["fieldsType"]}": must be `FieldsV1`')
        manager = Manager(
            str(entry.get("manager", "")),
            operation,
            str(entry.get("apiVersion", "")),
            str(entry.get("subresource", "")),
        )
        found.append(Owner(manager, fields.from_v1(entry.get("fieldsV1") or {}), str(entry.get("time", ""))))
    return tuple(found)


def write(owners: Owners) -> list[Object]:
    """Entries of those that own anything, appliers first, then by time, as Kubernetes orders them."""
    entries = []
    for owner in sorted((owner for owner in owners if owner.paths), key=_order):
        entry = {
            "manager": owner.manager.name,
            "operation": owner.manager.operation,
            "apiVersion": owner.manager.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.to_v1(owner.paths),
        }
        if owner.time:
            entry["time"] = owner.time
        if owner.manager.subresource:
            entry["subresource"] = owner.manager.subresource
        entries.append(entry)
    return entries


def _order(owner: Owner) -> tuple[str, str, str, str, str]:
    manager = owner.manager
    return manager.operation, owner.time, manager.name, manager.api_version, manager.subresource


def paths_of(owners: Owners, manager: Manager) -> frozenset[Path]:
    return next((owner.paths for owner in owners if owner.manager == manager), frozenset())


def with_paths(owners: Owners, manager: Manager, paths: frozenset[Path], *, now: datetime) -> Owners:
    """This manager owns these and nothing else."""
    if paths == paths_of(owners, manager):
        return owners
    others = tuple(owner for owner in owners if owner.manager != manager)
    return (*others, Owner(manager, paths, rfc3339(now)))


def others(owners: Owners, manager: Manager) -> Owners:
    return tuple(owner for owner in owners if owner.manager != manager)


def without_paths(owners: Owners, paths: frozenset[Path]) -> Owners:
    return tuple(replace(owner, paths=owner.paths - paths) if owner.paths & paths else owner for owner in owners)


def conflict(found: Sequence[tuple[Owner, Path]]) -> Conflict:
    """The refusal of an apply: every field that another one owns."""
    if len(found) == 1:
        owner, path = found[0]
        message = f"Apply failed with 1 conflict: conflict with {owner.words()}: {fields.words(path)}"
    else:
        by_owner: dict[str, list[str]] = {}
        for owner, path in found:
            by_owner.setdefault(owner.words(), []).append(f"- {fields.words(path)}")
        parts = [f"conflicts with {words}:\n" + "\n".join(paths) for words, paths in sorted(by_owner.items())]
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(parts)
    causes = [
        Cause(fields.words(path), f"conflict with {owner.words()}", "FieldManagerConflict") for owner, path in found
    ]
    return Conflict(message, causes=causes)
