"""The state while a deployment runs, and its way to disk.

Resources that the deployment has dealt with stand first, in the order in which they were finished; those it has not
come to yet follow in their old order. So the file is in dependency order at every moment; where targets leave resources
as they are, it is sorted, since those go on needing what they needed. Changes are made in synchronous stretches. An old
resource may be altered by others while its own step runs, so every version of it that there was names its place.
`commit` returns once all that is on disk. Commits that come while a write runs share the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from iacorch.infra.engine.builtin.decisions import steps
from iacorch.infra.engine.builtin.values.state import Encoder, Pending, Resource, Snapshot
from iacorch.kit.clock import Clock, rfc3339_micro


class Recorder:
    """Owns the snapshot of one running deployment. A preview gets no `write` and keeps everything in memory."""

    def __init__(
        self, snapshot: Snapshot, encoder: Encoder, clock: Clock, *, salt: str, write: Callable[[bytes], None] | None
    ) -> None:
        self._loaded = snapshot.resources
        self._base: dict[int, Resource] = {}
        # Every version that was ever in a place, kept, since an identity is only good for as long as its object lives.
        self._versions: dict[int, tuple[Resource, int]] = {}
        self._left: set[str] = set()
        self._living: dict[str, int] = {}
        for place, resource in enumerate(snapshot.resources):
            self._set(place, resource)
        self._done: dict[str, Resource] = {}
        self._pending: dict[int, Pending] = dict(enumerate(snapshot.pending))
        self._tickets = len(snapshot.pending)
        self._encoder, self._clock, self._salt, self._write = encoder, clock, salt, write
        self._changes = self._written = 0
        self._writing = asyncio.Lock()
        # One thread: a write that was abandoned by a cancelled waiter still ends before the next one begins.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    def find_old(self, urn: str) -> Resource | None:
        """The living resource that was there before and has not been dealt with."""
        return self._base[self._living[urn]] if urn in self._living else None

    def find(self, urn: str) -> Resource | None:
        """The resource as it is now."""
        return self._done.get(urn) or self.find_old(urn)

    def find_exact(self, urn: str, id_: str) -> Resource | None:
        """The resource with this ID, old or new, also if it is about to be deleted."""
        candidates = (*self.resources(), *self._loaded)
        return next((r for r in candidates if r.urn == urn and r.id == id_), None)

    def old(self) -> tuple[Resource, ...]:
        """What has not been dealt with, in dependency order."""
        return tuple(self._base.values())

    def resources(self) -> Iterator[Resource]:
        """All as they are now, in dependency order."""
        everything = (*self._done.values(), *self._base.values())
        return iter(steps.in_dependency_order(everything) if self._left else everything)

    def snapshot(self) -> Snapshot:
        return Snapshot(tuple(self.resources()), tuple(self._pending.values()), self._salt)

    @property
    def pending(self) -> tuple[tuple[int, Pending], ...]:
        return tuple(self._pending.items())

    def begin(self, kind: str, resource: Resource) -> int:
        """Note an operation before it is asked for; the ticket ends it."""
        self._tickets += 1
        self._pending[self._tickets] = Pending(resource, kind)
        self._changes += 1
        return self._tickets

    def end(self, ticket: int) -> None:
        self._pending.pop(ticket, None)
        self._changes += 1

    def put(self, resource: Resource, *, instead_of: Resource | None = None, quietly: bool = False) -> None:
        """Record a finished resource; `quietly` where it says nothing new, so that no write is needed for it."""
        self._done[resource.urn] = resource
        if instead_of is not None:
            self._set(self._place(instead_of), None)
            if instead_of.urn != resource.urn:
                self._rename(instead_of.urn, resource.urn)
        self._changes += 0 if quietly else 1

    def leave(self, old: Resource) -> None:
        """A resource stays as it is, whatever else is done: it is in no target."""
        self._left.add(old.urn)

    def alter(self, old: Resource, **changes: Any) -> None:
        """Change fields of a resource that has not been dealt with; it keeps its place."""
        place = self._place(old)
        self._set(place, replace(self._base[place], **changes))
        self._changes += 1

    def drop(self, old: Resource) -> None:
        """Take out a resource that is deleted, with all that needed it, or that another one follows."""
        self._set(self._place(old), None)
        self._changes += 1

    def lose(self, old: Resource) -> None:
        """Take out a resource that turned out to be gone: what needed it needs it no more, unless a new one lives."""
        self.drop(old)
        if self.find(old.urn) is None:
            self._forget(frozenset({old.urn}))

    def adopt(self, resource: Resource, *, instead_of: Resource | None = None) -> None:
        """Add a resource to the old ones: what a crash left behind, or what was there before the program."""
        place = max(self._base, default=0) + 1 if instead_of is None else self._place(instead_of)
        self._set(place, resource)
        self._loaded = (*self._loaded, resource)
        self._changes += 1

    def _forget(self, urns: frozenset[str]) -> None:
        """Drop dependencies on resources that are gone."""
        for place, r in list(self._base.items()):
            if r.needs() & urns:
                deps = {k: tuple(d for d in v if d not in urns) for k, v in r.property_dependencies.items()}
                self._set(
                    place,
                    replace(
                        r,
                        dependencies=tuple(d for d in r.dependencies if d not in urns),
                        property_dependencies=deps,
                        deleted_with="" if r.deleted_with in urns else r.deleted_with,
                        parent="" if r.parent in urns else r.parent,
                    ),
                )

    def _rename(self, before: str, now: str) -> None:
        """What has not been dealt with names a resource as it was; let it name it as it is."""
        for place, r in list(self._base.items()):
            if before in r.needs():
                self._set(place, r.renamed(before, now))

    def touch(self) -> None:
        """Ask for a write although nothing changed."""
        self._changes += 1

    async def commit(self) -> None:
        """Return once everything recorded so far is on disk."""
        wanted = self._changes
        if self._write is None:
            return
        async with self._writing:
            if self._written >= wanted:
                return
            now = self._changes
            data = self._encoder.encode(
                self.resources(), self._pending.values(), salt=self._salt, time=rfc3339_micro(self._clock.now())
            )
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, data)
            self._written = now

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _place(self, resource: Resource) -> int:
        assert id(resource) in self._versions, f"{resource.urn} is not among the old resources"
        return self._versions[id(resource)][1]

    def _set(self, place: int, resource: Resource | None) -> None:
        """Put a resource into its place among the old ones, or empty it, and keep both indices true."""
        if (before := self._base.get(place)) is not None and self._living.get(before.urn) == place:
            del self._living[before.urn]
        if resource is None:
            self._base.pop(place, None)
            return
        self._base[place] = resource
        self._versions[id(resource)] = resource, place
        if not resource.delete:
            self._living[resource.urn] = place
