"""Objects in the store: keys, encoding, resource versions, encryption at rest.

In: kinds, objects. Out: `Stored`, which holds the object's encoded bytes and decodes them on demand. The bytes are made
once, at the write, and shared by gets, lists and every watcher. A resource version is the store's revision and is only
known after the write, so it is not in the stored bytes: the encoding starts with `{"metadata":{` and reading splices
it in there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import orjson

from iacorch.api import events
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.errors import Compacted, FutureRevision, Gone, KeyExists, RevisionMismatch, Timeout
from iacorch.server.request import Target
from iacorch.store.contract import Change, Entry, Revision, Store

_HEAD: Final = b'{"metadata":{'


class Cipher(Protocol):
    """Encrypts values of the kinds that must not lie open in the file; `context` binds a value to its key."""

    def seal(self, plain: bytes, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, context: bytes) -> bytes: ...


class Stored(NamedTuple):
    """One object as it was at one revision."""

    raw: bytes
    revision: int

    def decode(self) -> Object:
        """A fresh dict with its resource version."""
        obj: Object = orjson.loads(self.raw)
        obj["metadata"]["resourceVersion"] = str(self.revision)
        return obj

    def wire(self) -> bytes:
        """The JSON that clients get."""
        return b'%b"resourceVersion":"%d",%b' % (_HEAD, self.revision, self.raw[len(_HEAD) :])


def encode(obj: Mapping[str, Any]) -> bytes:
    """The stored form: metadata first, without a resource version."""
    stored = {"metadata": None, **obj}  # in the first place, wherever `obj` has it
    if "resourceVersion" in obj["metadata"]:
        stored["metadata"] = {field: value for field, value in obj["metadata"].items() if field != "resourceVersion"}
    return orjson.dumps(stored)


class ObjectStore:
    """The store as the registry sees it. Secrets are sealed where there is a cipher."""

    def __init__(self, store: Store, cipher: Cipher | None = None) -> None:
        self.store = store
        self._cipher = cipher

    @staticmethod
    @lru_cache(maxsize=1024)
    def prefix(kind: Kind, namespace: str = "") -> bytes:
        group, plural = kind.stored_as
        prefix = f"/{group or 'core'}/{plural}/"
        return (prefix + f"{namespace}/" if kind.namespaced and namespace else prefix).encode()

    @classmethod
    def key(cls, target: Target) -> bytes:
        return cls.prefix(target.kind, target.namespace) + target.name.encode()

    def _encoded(self, kind: Kind, obj: Object) -> bytes:
        return encode(events.to_core(obj) if kind.storage else obj)

    def _stored(self, kind: Kind, raw: bytes, revision: int) -> Stored:
        """In the version that was asked for: events have two."""
        return Stored(encode(events.to_events_v1(orjson.loads(raw))) if kind.storage else raw, revision)

    async def raw(self, target: Target) -> bytes | None:
        """What is stored, as it is."""
        entry = await self.store.get(self.key(target))
        return entry.value if entry else None

    async def get(self, target: Target) -> Stored | None:
        entry = await self.store.get(self.key(target))
        return self.opened(target.kind, entry) if entry else None

    async def create(self, target: Target, obj: Object) -> Stored:
        key, raw = self.key(target), self._encoded(target.kind, obj)
        try:
            revision = await self.store.create(key, self._sealed(target.kind, key, raw))
        except KeyExists as error:
            raise target.already_exists(target.name) from error
        return self._stored(target.kind, raw, revision)

    async def update(self, target: Target, obj: Object, *, expected: int) -> Stored:
        """Raises Stale when the object is not at `expected` any more."""
        key, raw = self.key(target), self._encoded(target.kind, obj)
        transient = target.kind.stored_as == ("coordination.k8s.io", "leases")
        try:
            revision = await self.store.update(
                key, self._sealed(target.kind, key, raw), expected=Revision(expected), transient=transient
            )
        except RevisionMismatch as error:
            raise Stale(error.actual) from error
        return self._stored(target.kind, raw, revision)

    async def delete(self, target: Target, *, expected: int) -> int:
        try:
            return await self.store.delete(self.key(target), expected=Revision(expected))
        except RevisionMismatch as error:
            raise Stale(error.actual) from error

    def opened(self, kind: Kind, entry: Entry) -> Stored:
        return self._stored(kind, self._opened(kind, entry.key, entry.value), entry.revision)

    def changed(self, kind: Kind, change: Change) -> tuple[Stored | None, Stored | None]:
        """(before, after) of a change, both at the change's revision: a deleted object is shown as it last was."""
        before = after = None
        if change.previous is not None:
            before = self._stored(kind, self._opened(kind, change.key, change.previous), change.revision)
        if change.value is not None:
            after = self._stored(kind, self._opened(kind, change.key, change.value), change.revision)
        return before, after

    def _sealed(self, kind: Kind, key: bytes, raw: bytes) -> bytes:
        return self._cipher.seal(raw, key) if self._cipher and _is_secret(kind) else raw

    def _opened(self, kind: Kind, key: bytes, value: bytes) -> bytes:
        return self._cipher.open(value, key) if self._cipher and _is_secret(kind) else value


class Stale(Exception):
    """The object changed in between; `actual` is 0 when it is gone."""

    def __init__(self, actual: int) -> None:
        super().__init__(actual)
        self.actual = actual


def too_old(error: Compacted) -> Gone:
    return Gone(f"too old resource version: {error.asked} ({error.oldest})")


def too_large(error: FutureRevision) -> Timeout:
    return Timeout(f"Too large resource version: {error.asked}, current: {error.current}", retry_after_seconds=1)


def _is_secret(kind: Kind) -> bool:
    return kind.stored_as == ("", "secrets")
