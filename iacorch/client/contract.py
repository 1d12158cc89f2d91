"""The client's contract: objects are dicts, kinds are catalogue rows, errors are `errors.ApiError`s.

Who calls it: controllers, scheduler, agent, provider, command line. A write carries the resource version it was based
on inside the object, as Kubernetes does; a conflict raises `Conflict` and is a reason to look again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object


class PatchType(StrEnum):
    """The content type of a patch body."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Propagation(StrEnum):
    """What a delete does with dependents."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A whole list (pages already joined) as of `revision` (the list's metadata.resourceVersion)."""

    items: Sequence[Object]
    revision: str


class WatchType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event; a BOOKMARK's object has only its metadata.resourceVersion."""

    type: WatchType
    object: Object


class Client(Protocol):
    """Every method raises `errors.ApiError`s, `Unavailable` when nobody answers. Cluster kinds have namespace ""."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Raises NotFound."""
        ...

    async def list(
        self, kind: Kind, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        """All objects of a kind, in one namespace or ("") in all, in key order."""
        ...

    def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        revision: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Events after `revision`, with bookmarks. Raises Gone when it is too old; the iterator may simply end."""
        ...

    async def create(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Raises AlreadyExists, Invalid. With `subresource` (`binding`, `eviction`) the name is the object's."""
        ...

    async def update(self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Replace; `subresource` is "", `status` or `scale`. Raises Conflict when metadata.resourceVersion is stale."""
        ...

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Change some fields; optimistic only when the patch carries metadata.resourceVersion."""
        ...

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> Object | None:
        """Returns the object when it lives on (grace period, finalizers), None when it is gone. Raises NotFound."""
        ...
