"""The workload layer's edges: read pods and declared objects from the API, set objects and containers right. Thin.

In: a client, the fleet, what was seen on its nodes. Out: `Observation`s; corrections by patch, create, delete of one
object, or by taking away one container, which its agent makes anew. Decisions are in `containers` and `declared`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import POD
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.drift.decisions.decide import Decision
from iacorch.drift.fleet import Host
from iacorch.drift.model import Observation, Verdict
from iacorch.drift.node.source import Looked
from iacorch.drift.reports.report import Done
from iacorch.drift.workload import containers, declared
from iacorch.drift.workload.declared import Declared
from iacorch.errors import AlreadyExists, ApiError, BootstrapError, MethodNotAllowed, NotFound
from iacorch.infra.bootstrap import ssh
from iacorch.infra.provider.resources import manifest_plan
from iacorch.infra.provider.resources.manifest_plan import Reference


async def pods_of(client: Client) -> list[Object]:
    """Every pod. Raises ApiError."""
    return list((await client.list(POD)).items)


def container_observations(
    looked: Iterable[Looked], pods: Sequence[Object], later: Sequence[Object] = ()
) -> list[Observation]:
    """Of every node that was asked for its containers, between the two looks at the pods. Pure."""
    found: list[Observation] = []
    for one in looked:
        if not one.host.is_node:
            continue
        if one.error or one.seen.containers is None:
            why = one.error or "its container engine does not answer"
            found += containers.nobody_looks(one.host.name, pods, why)
        else:
            found += containers.observe(one.host.name, pods, one.seen.containers, later)
    return found


async def object_observations(client: Client, wanted: Sequence[Declared], *, salt: str) -> tuple[Observation, ...]:
    """Every declared object against the live one, and live ones that say they were declared. Raises ApiError."""
    references = [entry.reference for entry in wanted]
    live: dict[Reference, Object | None] = {}
    marked: list[Object] = []
    unseen: dict[Reference, str] = {}
    for api_version, kind_name in dict.fromkeys((ref.api_version, ref.kind) for ref in references):
        mine = [ref for ref in references if (ref.api_version, ref.kind) == (api_version, kind_name)]
        try:
            # One list for each kind: a get for each object would be as many round trips as there are objects.
            found = (await client.list(catalogue.kind(kind_name, api_version))).items
        except (NotFound, MethodNotAllowed) as error:
            unseen |= dict.fromkeys(mine, error.message)
            continue
        full = [{"apiVersion": api_version, "kind": kind_name, **obj} for obj in found]
        by_name = {(objects.namespace(obj), objects.name(obj)): obj for obj in full}
        live |= {ref: by_name.get((ref.namespace, ref.name)) for ref in mine}
        marked += [obj for obj in full if manifest_plan.OWNER in objects.annotations(obj)]
    return declared.observe(wanted, live, marked, salt=salt, unseen=unseen)


async def correct_objects(
    client: Client, decisions: Sequence[Decision], wanted: Sequence[Declared], say: Callable[[str], None]
) -> list[Done]:
    """One object at a time, each with the version it was based on."""
    by_key = {declared.key_of(entry.reference): entry for entry in wanted}
    done = []
    for decision in decisions:
        say(f"{decision.seen.key.kind} {decision.seen.key.name}: setting it right")
        try:
            await _correct_object(client, decision.seen, by_key.get(decision.seen.key))
            done.append(Done(decision.seen.id))
        except ApiError as error:
            done.append(Done(decision.seen.id, error.message))
    return done


async def _correct_object(client: Client, seen: Observation, wanted: Declared | None) -> None:
    if wanted is None:
        kind = catalogue.kind(seen.key.kind)
        live = await client.get(kind, seen.key.scope, seen.key.name)
        await client.delete(kind, seen.key.scope, seen.key.name, uid=objects.uid(live))
        return
    ref = wanted.reference
    kind = catalogue.kind(ref.kind, ref.api_version)
    obj = manifest_plan.owned(wanted.obj, wanted.token) if wanted.token else wanted.obj
    if seen.verdict is Verdict.MISSING:
        try:
            await client.create(kind, obj)
        except AlreadyExists:
            return  # somebody was faster; the next check compares it
        return
    live = await client.get(kind, ref.namespace, ref.name)
    before, after = _closed(declared.stored(wanted.obj), live), declared.with_others(declared.stored(obj), live)
    patch = manifest_plan.patch(before, after, live)
    if patch:
        version = objects.resource_version(live)
        metadata = {**patch.get("metadata", {}), "resourceVersion": version}
        await client.patch(kind, ref.namespace, ref.name, {**patch, "metadata": metadata})


def _closed(wanted: Object, live: Object) -> Object:
    """As if it had been applied before with what was added to its data: those keys go."""
    return {**wanted, **{name: live[name] for name in ("data", "binaryData") if name in wanted and name in live}}


async def correct_containers(
    decisions: Sequence[Decision], hosts: Mapping[str, Host], looked: Mapping[str, Looked], say: Callable[[str], None]
) -> list[Done]:
    """Take each away; the agent makes anew what a pod asks for, and nothing else."""
    done: list[Done] = []
    for name in dict.fromkeys(d.seen.key.scope for d in decisions):
        mine = [d for d in decisions if d.seen.key.scope == name]
        found = looked[name].seen.containers or ()
        script = "".join(f"docker rm -f {shlex.quote(id_)}\n" for d in mine for id_ in containers.ids_of(d.seen, found))
        say(f"{name}: taking {len(mine)} containers away")
        try:
            async with ssh.session(hosts[name].target) as session:
                await session.run(script)
            done += [Done(d.seen.id) for d in mine]
        except BootstrapError as error:
            done += [Done(d.seen.id, error.message) for d in mine]
    return done
