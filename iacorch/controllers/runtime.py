"""The frame that every controller runs in: watches -> keys -> queue -> reconcile, with bounded workers.

In: a `Controller` (its watches and its `observe`/`plan`), the shared informers, a client. Out: writes to the API. A
request is a key: the frame forgets what woke it. Called by `controllers.run`; the actions are defined in `actions`.

Reading one's own writes: the frame remembers, for each key, the highest revision its writes returned for each kind, and
the UIDs it deleted. The next pass of that key waits (bounded) for the informers to have seen them; a delete that was
not seen yet simply ends the pass, because its event wakes the key again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, assert_never

import structlog

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.client.informers import Informers
from iacorch.client.recorder import WARNING, Recorder
from iacorch.controllers.actions import Action, Create, Delete, Key, Patch, Plan, Replace, Say
from iacorch.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.queue import WorkQueue
from iacorch.kit.tasks import Tasks, failure_of, keep_running

log = structlog.get_logger(__name__)


def any_change(old: Object | None, new: Object | None) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Watch:
    """Which keys to look at when an object of `kind` changes. `keys` is asked about the old and the new object.

    `matters` (old, new) may leave out changes that no decision looks at.
    """

    kind: Kind
    keys: Callable[[Object], Iterable[Key]]
    matters: Callable[[Object | None, Object | None], bool] = any_change


class Controller(Protocol):
    """One folder's edge. Everything that decides is in its `plan.py`."""

    @property
    def name(self) -> str: ...

    @property
    def watches(self) -> tuple[Watch, ...]: ...

    async def plan(self, key: Key) -> Plan:
        """Observe from the informers and decide. May read the API where a cache cannot answer, but never writes."""
        ...


def own_key(obj: Object) -> Iterable[Key]:
    """The key of the object itself."""
    return ((objects.namespace(obj), objects.name(obj)),)


def controller_key(kind: Kind) -> Callable[[Object], Iterable[Key]]:
    """The key of the object's controller, if that is of `kind`."""

    def keys(obj: Object) -> Iterable[Key]:
        reference = objects.controller_of(obj)
        if reference is not None and reference.get("kind") == kind.kind:
            yield objects.namespace(obj), reference["name"]

    return keys


@dataclass(slots=True)
class _Written:
    """What a key's last pass wrote: revisions by kind, and deleted objects that may still be in the cache."""

    revisions: dict[Kind, int] = field(default_factory=dict)
    deleted: list[Delete] = field(default_factory=list)


class Runner:
    """Runs one controller. `idle` is for tests and the simulation."""

    def __init__(
        self, controller: Controller, *, client: Client, informers: Informers, recorder: Recorder, clock: Clock
    ) -> None:
        self.controller = controller
        self.queue: WorkQueue[Key] = WorkQueue(clock)
        self._client, self._informers, self._recorder, self._clock = client, informers, recorder, clock
        self._written: dict[Key, _Written] = {}
        for watch in controller.watches:
            informers.of(watch.kind).on_change(self._enqueuer(watch))

    @property
    def idle(self) -> bool:
        return self.queue.idle

    async def run(self) -> None:
        """Work until cancelled. Starts when every informer has its first list: half a picture is worse than none."""
        await self._informers.synced()
        async with Tasks(self.controller.name) as tasks:
            for number in range(limits.RECONCILE_WORKERS):
                name = f"{self.controller.name}-{number}"
                tasks.spawn(keep_running(self._work, name=name, clock=self._clock), name=name)
            await asyncio.Event().wait()

    def _enqueuer(self, watch: Watch) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if not watch.matters(old, new):
                return
            for obj in (old, new):
                if obj is not None:
                    for key in watch.keys(obj):
                        self.queue.add(key)

        return changed

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                # An unexpected error is this key's alone: the worker goes on with the others at once.
                name = f"{self.controller.name} {'/'.join(key)}"
                if await failure_of(self._pass(key), name=name) is not None:
                    self.queue.retry(key)
            finally:
                self.queue.done(key)

    async def _pass(self, key: Key) -> None:
        try:
            if not await self._caught_up(key):
                self.queue.add_after(key, limits.READ_YOUR_WRITES_SECONDS)
                return
            plan = await self.controller.plan(key)
            complete = await self._apply(key, plan)
        except (Conflict, AlreadyExists) as stale:
            # Somebody else wrote first, or our cache is behind: look again, with a fresh picture.
            log.debug("look again", controller=self.controller.name, key="/".join(key), reason=stale.message)
            self.queue.retry(key)
        except ApiError as error:
            pause = self.queue.retry(key)
            self._tell(key, error)
            log.warning(
                "reconcile failed",
                controller=self.controller.name,
                key="/".join(key),
                error=error.message,
                pause_seconds=pause,
            )
        else:
            self.queue.forget(key)
            if not complete:
                self.queue.add(key)
            elif plan.again_seconds is not None:
                self.queue.add_after(key, plan.again_seconds)

    def _tell(self, key: Key, error: ApiError) -> None:
        """A refusal is shown on the object that was worked on: its user can do something about it, unlike an outage."""
        about = self._informers.of(self.controller.watches[0].kind).get(*key)
        if about is not None and isinstance(error, BadRequest | Forbidden | Invalid | TooLarge):
            self._recorder.record(about, WARNING, "ReconcileFailed", error.message)

    async def _caught_up(self, key: Key) -> bool:
        """Whether the informers have seen what the last pass wrote."""
        if (written := self._written.get(key)) is None:
            return True
        for kind, revision in written.revisions.items():
            if not await self._informers.of(kind).reached(revision):
                return False
        for deleted in written.deleted:
            cached = self._informers.of(deleted.kind).get(deleted.namespace, deleted.name)
            if cached is not None and objects.uid(cached) == deleted.uid and not objects.is_deleting(cached):
                return False
        del self._written[key]
        return True

    async def _apply(self, key: Key, plan: Plan) -> bool:
        """Carry out at most `ACTIONS_PER_PASS` actions; whether that was all of them."""
        if plan.actions:
            log.debug("plan", controller=self.controller.name, key="/".join(key), plan=str(plan))
        written = _Written()
        try:
            for action in plan.actions[: limits.ACTIONS_PER_PASS]:
                await self._act(action, written)
        finally:
            if written.revisions or written.deleted:
                self._written[key] = written
        return len(plan.actions) <= limits.ACTIONS_PER_PASS

    async def _act(self, action: Action, written: _Written) -> None:
        result: Object | None = None
        match action:
            case Create(kind, obj):
                result = await self._client.create(kind, obj)
            case Replace(kind, obj, subresource):
                result = await self._client.update(kind, obj, subresource=subresource)
            case Patch(kind=kind):
                result = await self._patch(action)
            case Delete(kind=kind):
                result = await self._delete(action, written)
            case Say(about, type_, reason, message):
                self._recorder.record(about, type_, reason, message)
                return
            case _:
                assert_never(action)
        if result is not None and (revision := objects.resource_version(result)):
            written.revisions[kind] = max(written.revisions.get(kind, 0), int(revision))

    async def _patch(self, action: Patch) -> Object | None:
        patch = {**action.patch, "metadata": {**action.patch.get("metadata", {}), "uid": action.uid}}
        try:
            return await self._client.patch(
                action.kind,
                action.namespace,
                action.name,
                patch,
                patch_type=action.patch_type,
                subresource=action.subresource,
            )
        except NotFound:
            return None

    async def _delete(self, action: Delete, written: _Written) -> Object | None:
        try:
            result = await self._client.delete(
                action.kind,
                action.namespace,
                action.name,
                uid=action.uid,
                grace_seconds=action.grace_seconds,
                propagation=action.propagation,
            )
        except NotFound:
            result = None
        except Conflict:
            # The name belongs to another object by now, so ours is gone.
            result = None
        if result is None:
            written.deleted.append(action)
        return result
