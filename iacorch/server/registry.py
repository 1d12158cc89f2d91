"""The API without HTTP: a verb on a target by a user, objects in and objects out.

In: `Target`, user, options, bodies as dicts. Out: `Stored` objects, `Listing`s, event streams; or an `errors.ApiError`
that says what Kubernetes would say. Called by `http` for the world and by `local` for controllers, tests and the
simulation: no sockets, threads or wall clock in here. Every write goes authorise -> read -> change -> default ->
validate -> admit -> store, and looks again when the object changed in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

from iacorch.api import catalogue, objects, strategy, subresources
from iacorch.api.apply.owners import Owners
from iacorch.api.apply.owners import write as write_owners
from iacorch.api.catalogue import Catalogue
from iacorch.api.objects import Object
from iacorch.client.contract import PatchType
from iacorch.errors import AlreadyExists, BadRequest, MethodNotAllowed, NotFound
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.ids import Ids
from iacorch.server.admission import Admission
from iacorch.server.identity import authz, reviews
from iacorch.server.identity.authz import Attributes
from iacorch.server.identity.certificates import NodeCertificates
from iacorch.server.objects import lifecycle, pipeline
from iacorch.server.objects.listing import Listing, list_objects
from iacorch.server.objects.pipeline import Wish
from iacorch.server.objects.storage import Cipher, ObjectStore, Stale, Stored
from iacorch.server.objects.watching import Changes, EventBatches, watch_objects
from iacorch.server.request import STALE, DeleteOptions, ReadOptions, Target, User, WriteOptions
from iacorch.store.contract import Store

ATTEMPTS: Final = 16
"""How often a change without a resource version looks again before it gives up with a conflict."""

GENERATED_NAME_CHARACTERS: Final = 63
SUFFIX_CHARACTERS: Final = 5

Change: TypeAlias = Callable[[Object], Wish]


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: what is stored, or what would be (`unstored`); neither where a delete left nothing.

    `warnings` are for a person to read.
    """

    stored: Stored | None = None
    unstored: Object | None = None
    before: Object | None = None
    warnings: Sequence[str] = ()
    created: bool = False

    @property
    def obj(self) -> Object | None:
        """Decoded afresh each time it is asked for."""
        return self.stored.decode() if self.stored is not None else self.unstored


class Registry:
    """One for each store. Make with everything it needs; it starts nothing by itself."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        cipher: Cipher | None = None,
        kinds: Catalogue | None = None,
    ) -> None:
        self.kinds = kinds or catalogue.builtin()
        self.storage = ObjectStore(store, cipher)
        self._clock, self._ids = clock, ids
        self._changes = Changes(self.storage)
        self._admission = Admission(self.storage, ids)
        self.certificates = NodeCertificates(store)

    async def get(self, user: User, target: Target) -> Stored:
        """Raises Forbidden, NotFound."""
        self._authorise(user, "get", target)
        await self._admission.reading(user, target)
        return await self._existing(target)

    async def get_scale(self, user: User, target: Target) -> Object:
        self._authorise(user, "get", target)
        return subresources.to_scale((await self._existing(target)).decode())

    async def list(self, user: User, target: Target, options: ReadOptions) -> Listing:
        self._authorise(user, "list", target)
        return await list_objects(self.storage, target, options)

    @asynccontextmanager
    async def watch(self, user: User, target: Target, options: ReadOptions) -> AsyncIterator[EventBatches]:
        self._authorise(user, "watch", target)
        async with watch_objects(self.storage, self._changes, target, options) as events:
            yield events

    async def create(self, user: User, target: Target, body: Object, options: WriteOptions) -> Written:
        """A new object; its name is the body's, or made from `generateName`."""
        return await self._create(user, target, body, options, ())

    async def _create(self, user: User, target: Target, body: Object, options: WriteOptions, owners: Owners) -> Written:
        self._authorise(user, "create", target)
        self._check_namespace_of(target, body)
        for attempt in range(ATTEMPTS):
            name = self._name_for(body)
            place = Target(target.kind, target.namespace, name)
            wish = pipeline.read(place, name, body, options)
            begun = strategy.prepare_create(target.kind, wish.obj, uid=self._ids.uid(), now=self._clock.now())
            if owners:
                begun = objects.with_metadata(begun, managedFields=write_owners(owners))
            admitted = await self._admission.creating(user, place, begun)
            pipeline.check_create(target.kind, admitted, wish.missing)
            async with self._admission.allocating(place, None, admitted) as complete:
                try:
                    return await self._store_new(place, complete, wish.warnings, options)
                except AlreadyExists:
                    if objects.name(body) or attempt + 1 == ATTEMPTS:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def update(self, user: User, target: Target, body: Object, options: WriteOptions) -> Written:
        """Replace. A body without a resource version replaces whatever is there."""
        self._authorise(user, "update", target)
        self._check_namespace_of(target, body)
        if objects.name(body) != target.name:
            raise BadRequest(
                f"the name of the object ({objects.name(body)}) does not match the name on the URL ({target.name})"
            )
        if target.subresource == "scale":
            return await self._change(user, target, lambda old: pipeline.read_scale(old, body, options), options)
        wish = pipeline.read(target, target.name, body, options)
        return await self._change(user, target, lambda _: wish, options)

    async def patch(
        self,
        user: User,
        target: Target,
        patch: Mapping[str, Any] | Sequence[Any],
        patch_type: PatchType,
        options: WriteOptions,
    ) -> Written:
        """Change some fields of what is there. An apply also makes what is not there."""
        self._authorise(user, "patch", target)
        pipeline.check_patch_options(patch_type, options)
        if patch_type is PatchType.APPLY:
            return await self._apply(user, target, patch, options)
        return await self._change(
            user, target, lambda old: pipeline.patched(target, old, patch, patch_type, options), options
        )

    async def _apply(self, user: User, target: Target, body: object, options: WriteOptions) -> Written:
        wanted = pipeline.applied_body(target, body)
        for _ in range(ATTEMPTS):
            now = self._clock.now()
            if target.subresource or await self.storage.get(target) is not None:
                return await self._change(
                    user, target, partial(pipeline.applied, target, wanted, options, now), options
                )
            owners = pipeline.begun_by_apply(target, wanted, options, now)
            try:
                return await self._create(user, Target(target.kind, target.namespace), wanted, options, owners)
            except AlreadyExists:
                continue
        raise target.conflict(STALE)

    async def delete(self, user: User, target: Target, options: DeleteOptions) -> Written:
        """Remove, or mark as being deleted where grace or finalizers hold it."""
        self._authorise(user, "delete", target)
        return await self._delete(user, target, options)

    async def delete_collection(
        self, user: User, target: Target, selection: ReadOptions, options: DeleteOptions
    ) -> Listing:
        """Delete everything that matches; what vanishes in between is fine."""
        self._authorise(user, "deletecollection", target)
        listing = await list_objects(self.storage, target, selection)
        for item in listing.items:
            obj = item.decode()
            one = Target(target.kind, objects.namespace(obj), objects.name(obj))
            try:
                await self._delete(user, one, options)
            except NotFound:
                continue
        return listing

    async def bind(self, user: User, target: Target, body: Object, options: WriteOptions) -> Written:
        """`pods/binding`: the scheduler's decision. A pod is bound once."""
        self._authorise(user, "create", target)
        now = self._clock.now()
        return await self._change(user, target, lambda old: Wish(subresources.bind(old, body, now=now)), options)

    async def evict(self, user: User, target: Target, body: Object, options: WriteOptions) -> Written:
        """`pods/eviction`: a delete that may be refused (it is not yet: disruption budgets are not a kind here)."""
        self._authorise(user, "create", target)
        given = DeleteOptions.from_body(body.get("deleteOptions") or {})
        return await self._delete(
            user,
            Target(target.kind, target.namespace, target.name),
            DeleteOptions(
                given.uid,
                given.resource_version,
                given.grace_seconds,
                given.propagation,
                given.dry_run or options.dry_run,
            ),
        )

    async def _delete(self, user: User, target: Target, options: DeleteOptions) -> Written:
        for _ in range(ATTEMPTS):
            stored = await self._existing(target)
            old = stored.decode()
            _check_preconditions(target, old, options)
            self._admission.deleting(user, target, old)
            kept = lifecycle.removal(target.kind, old, options, now=self._clock.now()).keep
            if options.dry_run:
                return Written(unstored=kept, before=old)
            try:
                if kept is None:
                    await self._withdraw(target)
                    await self.storage.delete(target, expected=stored.revision)
                    return Written(before=old)
                if kept == old:
                    return Written(stored, before=old)
                return Written(await self.storage.update(target, kept, expected=stored.revision), before=old)
            except Stale:
                continue
        raise target.conflict(STALE)

    async def _change(self, user: User, target: Target, change: Change, options: WriteOptions) -> Written:
        """Read, change, store; again when somebody else wrote in between and the change does not mind."""
        kind = target.kind
        for _ in range(ATTEMPTS):
            stored = await self._existing(target)
            old = stored.decode()
            wish = change(old)
            self._check_based_on(target, old, wish.obj)
            prepared = self._prepared(target, old, wish.obj)
            new = pipeline.tracked(target, old, wish, prepared, options, now=self._clock.now())
            self._admission.updating(user, target, old, new)
            pipeline.check_update(kind, old, new, target.subresource, wish.missing)
            async with self._admission.allocating(target, old, new) as complete:
                if options.dry_run:
                    return Written(unstored=complete, before=old, warnings=wish.warnings)
                try:
                    written = await self._store_change(target, stored, old, complete)
                except Stale as stale:
                    if stale.actual == 0:
                        raise target.not_found() from stale
                    continue
                return replace(written, before=old, warnings=wish.warnings)
        raise target.conflict(STALE)

    def _prepared(self, target: Target, old: Object, wanted: Object) -> Object:
        match target.subresource:
            case "binding":
                return wanted
            case "finalize":
                return pipeline.finalised(old, wanted)
            case "status":
                return strategy.prepare_update(target.kind, old, wanted, subresource="status")
            case _:
                return strategy.prepare_update(target.kind, old, wanted)

    async def _store_new(self, place: Target, obj: Object, warnings: Sequence[str], options: WriteOptions) -> Written:
        if not options.dry_run:
            return Written(await self.storage.create(place, obj), warnings=warnings, created=True)
        if await self.storage.get(place) is not None:
            raise place.already_exists(place.name)
        return Written(unstored=obj, warnings=warnings, created=True)

    async def _store_change(self, target: Target, stored: Stored, old: Object, new: Object) -> Written:
        if lifecycle.is_finished(target.kind, new):
            await self._withdraw(target)
            revision = await self.storage.delete(target, expected=stored.revision)
            return Written(unstored=objects.with_metadata(new, resourceVersion=str(revision)))
        if _same(old, new):
            return Written(stored)
        return Written(await self.storage.update(target, new, expected=stored.revision))

    async def _withdraw(self, target: Target) -> None:
        """A node that goes takes its certificates along."""
        if target.kind == catalogue.NODE:
            await self.certificates.withdraw(target.name, self._clock.now())

    async def _existing(self, target: Target) -> Stored:
        stored = await self.storage.get(target)
        if stored is None:
            raise target.not_found()
        return stored

    def _authorise(self, user: User, verb: str, target: Target) -> None:
        kind = target.kind
        subresource = kind.subresource(target.subresource) if target.subresource else None
        if target.subresource and subresource is None:
            raise NotFound("the server could not find the requested resource")
        if verb not in (subresource.verbs if subresource else kind.verbs):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        authz.authorise(
            user, Attributes(verb, kind.group, kind.plural, target.subresource, target.namespace, target.name)
        )

    def _check_namespace_of(self, target: Target, body: Object) -> None:
        metadata = body.get("metadata")
        given = metadata.get("namespace") if isinstance(metadata, dict) else None
        if target.kind.namespaced and given and given != target.namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")

    def _check_based_on(self, target: Target, old: Object, wanted: Object) -> None:
        """A write that says which version it is based on must be based on this one; likewise the UID."""
        if objects.resource_version(wanted) not in ("", "0", objects.resource_version(old)):
            raise target.conflict(STALE)
        if (uid := objects.uid(wanted)) and uid != objects.uid(old):
            raise target.conflict(
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {objects.uid(old)}"
            )

    def _name_for(self, body: Object) -> str:
        metadata = body.get("metadata")
        if not isinstance(metadata, dict):
            return ""
        if name := metadata.get("name"):
            return str(name)
        if prefix := str(metadata.get("generateName") or ""):
            return prefix[: GENERATED_NAME_CHARACTERS - SUFFIX_CHARACTERS] + self._ids.suffix(SUFFIX_CHARACTERS)
        return ""

    def review(self, user: User, target: Target, body: Object) -> Object:
        """Kinds that are answered and never stored."""
        self._authorise(user, "create", target)
        return reviews.answer(target.kind, user, body)

    async def check_store(self) -> None:
        """Raises StoreBroken when nothing can be stored any more."""
        await self.storage.store.get(b"/")

    async def guard_store(self) -> None:
        """For as long as the store works; then raises StoreBroken."""
        while True:
            await self.check_store()
            await self._clock.sleep(limits.STORE_CHECK_SECONDS)

    async def run_bookmarks(self) -> None:
        """For ever: let quiet watchers know how far the store has come."""
        while True:
            await self._clock.sleep(limits.WATCH_BOOKMARK_SECONDS)
            self.storage.store.request_progress()


def _same(old: Object, new: Object) -> bool:
    return old | {"metadata": _without_version(old)} == new | {"metadata": _without_version(new)}


def _without_version(obj: Object) -> dict[str, Any]:
    return {field: value for field, value in objects.metadata(obj).items() if field != "resourceVersion"}


def _check_preconditions(target: Target, obj: Object, options: DeleteOptions) -> None:
    if options.uid and options.uid != objects.uid(obj):
        raise target.conflict(
            f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {objects.uid(obj)}"
        )
    if options.resource_version and options.resource_version != objects.resource_version(obj):
        raise target.conflict(
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {objects.resource_version(obj)}"
        )
