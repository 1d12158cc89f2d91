"""Manifest: Kubernetes objects from YAML or dicts, applied as one resource.

A preview asks the server to try (`dryRun=All`) where it can be reached; create and update wait until rollouts are done;
what left the manifest is removed. Objects carry their Manifest's token in an annotation, so that a second try goes on
with the first one's objects and two Manifests do not fight over one. Decisions are in `manifest_plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from iacorch.api import catalogue, objects
from iacorch.api.objects import Object
from iacorch.client.contract import Client, Propagation
from iacorch.errors import ApiError, ConfigError, Conflict, EngineError, NotFound, Unavailable
from iacorch.infra.machines.docker_provider.wire import UNKNOWN
from iacorch.infra.provider.properties import Difference, Failure, Property, ResourceSpec
from iacorch.infra.provider.resource import CUT_SHORT, HalfMade, Made, Properties, Request, Say, words
from iacorch.infra.provider.resources import cluster
from iacorch.infra.provider.resources import manifest_plan as plan
from iacorch.infra.provider.resources.manifest_plan import Reference
from iacorch.kit import limits
from iacorch.kit.clock import Clock

SPEC = ResourceSpec(
    token="iacorch:index:Manifest",
    description="Kubernetes objects, applied together.",
    inputs=(
        Property("kubeconfig", "string", "How this side reaches the API.", required=True, secret=True),
        Property("yaml", "string", "Objects as YAML, several separated by ---."),
        Property("objects", "trees", "Objects as a list of dicts."),
        Property("namespace", "string", "For namespaced objects that name none.", default="default"),
        Property("wait", "boolean", "Wait until rollouts are done.", default=True),
    ),
    outputs=(
        Property(
            "applied",
            "strings",
            "The objects: apiVersion, kind, namespace/name. After a failure also those that are still to be removed.",
        ),
        Property("inSync", "boolean", "Whether all of them were there as wanted when last looked at."),
    ),
    healthy={"inSync": True},
)


class Manifests:
    """Implements `Resource`."""

    spec = SPEC

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def complete(self, inputs: Properties, *, urn: str) -> dict[str, Any]:
        return dict(inputs)

    def check(self, inputs: Properties) -> Sequence[Failure]:
        given = inputs.get("objects")
        if given is not None and given != UNKNOWN and not isinstance(given, list):
            return (Failure("objects", f"expected a list of objects, found {type(given).__name__}"),)
        if not given and not inputs.get("yaml"):
            return (Failure("yaml", "give yaml or objects"),)
        shown = {name: inputs[name] for name in ("yaml", "objects", "namespace") if name in inputs}
        if not plan.is_known(shown):
            return ()
        try:
            _documents(inputs)
        except ConfigError as error:
            return (Failure("yaml" if inputs.get("yaml") else "objects", error.message),)
        return ()

    def delete_first(self, old: Properties, new: Properties, found: Sequence[Difference]) -> bool:
        return False

    async def preview(self, request: Request, inputs: Properties, state: Properties) -> dict[str, Any]:
        if not plan.is_known(inputs):
            return {"applied": UNKNOWN, "inSync": True}
        wanted = _documents(inputs)
        made_here = {objects.name(obj) for obj in wanted if obj["kind"] == "Namespace"}
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                for obj in wanted:
                    # A namespace that is not there yet cannot be tried in.
                    with suppress(*((NotFound,) if objects.namespace(obj) in made_here else ())):
                        await _put(client, plan.owned(obj, request.token), None, request, dry_run=True)
        except (Unavailable, ConfigError) as error:
            request.say(f"the API does not answer, so nothing was tried: {error.message}")
        return {"applied": [str(plan.reference(obj)) for obj in wanted], "inSync": True}

    async def create(self, request: Request, inputs: Properties) -> Made:
        return await self._apply(request, request.token, inputs, {}, {})

    async def update(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        return await self._apply(request, id, inputs, old, state)

    async def read(self, request: Request, id: str, inputs: Properties, state: Properties) -> Made | None:
        wanted = _documents(inputs)
        left: list[str] = []
        found = in_sync = 0
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                for obj in wanted:
                    live = await _live(client, plan.reference(obj))
                    found += live is not None
                    in_sync += live is not None and plan.is_settled(obj, live)
                for ref in plan.left_over(state, wanted):
                    live = await _live(client, ref)
                    if live is not None and objects.annotations(live).get(plan.OWNER) == id:
                        left.append(str(ref))
        except (Unavailable, ConfigError) as error:
            request.say(f"the API does not answer: {error.message}")
            return Made(id, {"applied": state.get("applied", []), "inSync": state.get("inSync", True)})
        if not found and not left:
            return None
        return Made(id, {"applied": _names(wanted) + left, "inSync": in_sync == len(wanted) and not left})

    async def find(self, request: Request, inputs: Properties) -> Made | None:
        applied: list[str] = []
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                for obj in _documents(inputs):
                    ref = plan.reference(obj)
                    live = await _live(client, ref)
                    if live is not None and objects.annotations(live).get(plan.OWNER) == request.token:
                        applied.append(str(ref))
        except (Unavailable, ConfigError) as error:
            raise EngineError(f"whether it was begun cannot be seen: {words(error)}") from error
        if not applied:
            return None
        raise HalfMade(Made(request.token, {"applied": applied, "inSync": False}), [CUT_SHORT])

    async def delete(self, request: Request, id: str, inputs: Properties, state: Properties) -> None:
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                wanted = _documents(inputs)
                references = [plan.reference(obj) for obj in wanted] + plan.left_over(state, wanted)
                await self._remove(client, references[::-1], id, request)
        except (Unavailable, ConfigError) as error:
            raise EngineError(
                f"the API does not answer, so the objects stay: {words(error)}",
                hint="bring the control plane back, or take the resource out of the state",
            ) from error

    async def _apply(self, request: Request, id: str, inputs: Properties, old: Properties, state: Properties) -> Made:
        wanted = _documents(inputs)
        before = {plan.reference(obj): obj for obj in (_documents(old) if old else ())}
        # The inputs of an update that failed may not name all that is there: its outputs do.
        known = dict.fromkeys([*before, *plan.left_over(state, wanted)])
        done: list[str] = []
        try:
            async with cluster.opened(str(inputs["kubeconfig"])) as client:
                for obj in wanted:
                    ref = plan.reference(obj)
                    request.say(f"applying {ref}")
                    await _put(client, plan.owned(obj, id), before.get(ref), request)
                    done.append(str(ref))
                gone = [ref for ref in reversed(known) if str(ref) not in done]
                await self._remove(client, gone, id, request)
                if inputs.get("wait", True):
                    await self._rolled_out(client, [plan.reference(obj) for obj in wanted], request)
        except (ApiError, cluster.NotInTime, RolloutFailed) as error:
            if not done and not before:
                raise
            still = [str(ref) for ref in known if str(ref) not in done]
            raise HalfMade(Made(id, {"applied": done + still, "inSync": False}), [words(error)]) from error
        return Made(id, {"applied": done, "inSync": True})

    async def _rolled_out(self, client: Client, references: Sequence[Reference], request: Request) -> None:
        deadline = self._clock.monotonic() + request.timeout_seconds
        for ref in references:
            told = ""
            while True:
                live = await _live(client, ref)
                words = plan.missing(live) if live is not None else "it is gone"
                if not words:
                    break
                if live is not None and (why := plan.hopeless(live)):
                    raise RolloutFailed(f"{ref} does not roll out: {why}", hint="look at its pods: kubectl describe")
                if self._clock.monotonic() >= deadline:
                    raise cluster.NotInTime(f"{ref} was not ready after {request.timeout_seconds:.0f} s: {words}")
                if words != told:
                    request.say(f"{ref}: {words}")
                    told = words
                await self._clock.sleep(limits.API_POLL_SECONDS)

    async def _remove(self, client: Client, references: Sequence[Reference], token: str, request: Request) -> None:
        """Delete what is ours and wait until it is gone."""
        removed = []
        for ref in references:
            live = await _live(client, ref)
            if live is None or objects.annotations(live).get(plan.OWNER, token) != token:
                continue
            request.say(f"removing {ref}")
            with suppress(NotFound):
                await client.delete(
                    _kind(ref), ref.namespace, ref.name, uid=objects.uid(live), propagation=Propagation.BACKGROUND
                )
            removed.append((ref, objects.uid(live)))
        deadline = self._clock.monotonic() + min(limits.DRAIN_SECONDS, request.timeout_seconds)
        for ref, uid in removed:
            while (live := await _live(client, ref)) is not None and objects.uid(live) == uid:
                if self._clock.monotonic() >= deadline:
                    raise cluster.NotInTime(f"{ref} was deleted and is still there; something holds it (finalizers?)")
                await self._clock.sleep(limits.API_POLL_SECONDS)


@contextmanager
def told_as(outputs: Properties) -> Iterator[None]:
    """For resources that are one object inside: what a Manifest left half-made is told with their outputs."""
    try:
        yield
    except HalfMade as error:
        raise HalfMade(Made(error.made.id, outputs), error.reasons) from error


class RolloutFailed(EngineError):
    """A controller says that a rollout will not be done."""


async def _put(client: Client, obj: Object, before: Object | None, request: Request, *, dry_run: bool = False) -> None:
    """Create the object, or patch the one that is there. Raises Conflict when another Manifest has it."""
    ref, kind = plan.reference(obj), catalogue.kind(obj["kind"], obj["apiVersion"])
    live = await _live(client, ref)
    if live is None:
        await client.create(kind, obj, dry_run=dry_run)
        return
    token = objects.annotations(obj)[plan.OWNER]
    owner = objects.annotations(live).get(plan.OWNER)
    if owner not in (None, token):
        raise Conflict(f"{ref} belongs to another Manifest ({owner})", hint="declare it in one Manifest only")
    if owner is None:
        _tell_taken(request.say, ref)
    if difference := plan.patch(before, obj, live):
        await client.patch(kind, ref.namespace, ref.name, difference, dry_run=dry_run)


def _tell_taken(say: Say, ref: Reference) -> None:
    say(f"{ref} was there before and is taken over")


async def _live(client: Client, ref: Reference) -> Object | None:
    try:
        return await client.get(_kind(ref), ref.namespace, ref.name)
    except NotFound:
        return None


def _kind(ref: Reference) -> catalogue.Kind:
    return catalogue.kind(ref.kind, ref.api_version)


def _documents(inputs: Properties) -> list[Object]:
    return plan.documents(
        str(inputs.get("yaml") or ""), inputs.get("objects") or (), namespace=str(inputs.get("namespace", "default"))
    )


def _names(wanted: Sequence[Object]) -> list[str]:
    return [str(plan.reference(obj)) for obj in wanted]
