"""What a request is once HTTP has been taken off it: who, what, and with which options.

In: nothing but literals. Out: frozen values, as a tuple where each request makes some. `http` and `local` build them,
`registry` and `authz` read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from iacorch.api.catalogue import Kind
from iacorch.errors import AlreadyExists, Conflict, NotFound

MASTERS: Final = "system:masters"
NODES: Final = "system:nodes"
AUTHENTICATED: Final = "system:authenticated"
NODE_USER_PREFIX: Final = "system:node:"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: frozenset[str] = frozenset()
    uid: str = ""

    @property
    def node_name(self) -> str:
        """The node whose agent this is, or empty."""
        is_node = NODES in self.groups and self.name.startswith(NODE_USER_PREFIX)
        return self.name.removeprefix(NODE_USER_PREFIX) if is_node else ""


def node_user(node_name: str) -> User:
    return User(NODE_USER_PREFIX + node_name, frozenset({NODES, AUTHENTICATED}))


SYSTEM: Final = User("system:iacorch", frozenset({MASTERS, AUTHENTICATED}))
"""The control plane's own controllers and scheduler."""


class Target(NamedTuple):
    """What is asked for. `name` is empty for collections, `namespace` for cluster kinds and for all namespaces."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def not_found(self) -> NotFound:
        group, plural = self.kind.group_resource
        resource = self.kind.group_resource
        return NotFound(f'{resource} "{self.name}" not found', group=group, kind=plural, name=self.name)

    def already_exists(self, name: str) -> AlreadyExists:
        group, plural = self.kind.group_resource
        resource = self.kind.group_resource
        return AlreadyExists(f'{resource} "{name}" already exists', group=group, kind=plural, name=name)

    def conflict(self, why: str) -> Conflict:
        group, plural = self.kind.group_resource
        message = f'Operation cannot be fulfilled on {self.kind.group_resource} "{self.name}": {why}'
        return Conflict(message, group=group, kind=plural, name=self.name)


STALE: Final = "the object has been modified; please apply your changes to the latest version and try again"

FieldValidation = Literal["Strict", "Warn", "Ignore"]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Warn"
    force: bool = False


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """A list's or watch's options, as the query gives them."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    bookmarks: bool = False
    send_initial_events: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    propagation: str = ""
    dry_run: bool = False

    @staticmethod
    def from_body(body: Mapping[str, Any]) -> DeleteOptions:
        preconditions = body.get("preconditions") or {}
        orphan = body.get("orphanDependents")
        return DeleteOptions(
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            grace_seconds=body.get("gracePeriodSeconds"),
            propagation=body.get("propagationPolicy") or ("Orphan" if orphan else ""),
            dry_run=bool(body.get("dryRun")),
        )
