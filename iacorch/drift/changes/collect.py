"""Making a plan and applying one: the edges. Asks the disk, the stacks, the API; decides nothing.

In: `Stacks` and a way to the API. Out: a `Plan`; or, when applying, an error that names every input that moved, else
the stacks brought up. Everything a plan is based on has a fingerprint: program files, configuration, states, what a
refresh saw, live objects with their resourceVersion.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

import iacorch
from iacorch.api import catalogue, objects
from iacorch.api.objects import Object
from iacorch.client.contract import Client
from iacorch.drift.changes import build, moved
from iacorch.drift.changes.build import Cluster, Preview
from iacorch.drift.changes.model import Input, Plan
from iacorch.drift.fleet import Fleet, fleet_of
from iacorch.drift.machine.source import Stacks
from iacorch.drift.model import digest
from iacorch.errors import ConfigError, NotFound
from iacorch.infra.engine.builtin.stack.project import load_project
from iacorch.infra.engine.builtin.values.state import Snapshot
from iacorch.infra.engine.contract import Event, Listener, Op, Options, ResourceDone, ResourcePre, Result
from iacorch.infra.provider.resources.manifest_plan import Reference, reference
from iacorch.kit.clock import Clock, rfc3339

_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "venv"})
_FILE_BYTES: Final = 8 * 1024 * 1024
_SERVERS: Final = ("resourceVersion", "managedFields", "generation")


class PlanMoved(ConfigError):
    """The plan is not true any more; `moved` says what is not as it was."""

    def __init__(self, found: Sequence[moved.Moved]) -> None:
        words = "\n".join(f"  {entry}" for entry in found)
        super().__init__(
            f"the plan is not true any more, {len(found)} of its inputs moved:\n{words}",
            hint="make it again: iacorch plan --out FILE",
        )
        self.moved = tuple(found)


Open = Callable[[Fleet], Any]
"""From the fleet to a client in an `async with`, or None where there is no way to the API."""


Say = Callable[[str], None]
"""Hears what is being done, and how far it is."""


def silent(words: str) -> None:
    """For those who only want the plan."""


async def make(stacks: Stacks, clock: Clock, open_client: Open, say: Say = silent) -> Plan:
    """One plan over all the stacks. Raises EngineError when one cannot be previewed, ApiError when the API fails."""
    snapshots, errors = await stacks.snapshots()
    if errors:
        raise ConfigError("; ".join(errors))
    seen, drifted = await _seen(stacks, snapshots, say)
    previews = [await _preview(stacks, name, snapshot, say) for name, snapshot in snapshots.items()]
    say("asking the API what is on the cluster")
    fleet = fleet_of(snapshots)
    notes: list[str] = []
    cluster = Cluster()
    if (opening := open_client(fleet)) is not None:
        async with opening as client:
            cluster = await _cluster(client, _references(fleet, previews))
    elif fleet.hosts or fleet.declared:
        notes.append("the API does not answer: what moves on the cluster is not in this plan")
    steps = build.build(previews, cluster, listed_price)
    inputs = [*_files(stacks), *_states(stacks, snapshots), *seen, *_objects(cluster), *_planned(previews)]
    return Plan(rfc3339(clock.now()), tuple(snapshots), steps, tuple(inputs), tuple(notes), drifted)


async def apply(plan: Plan, stacks: Stacks, clock: Clock, open_client: Open, listen: Listener) -> Mapping[str, Result]:
    """Raises PlanMoved before anything is changed. Then each stack's `up`, in the plan's order."""
    now = await make(stacks, clock, open_client)
    if found := moved.moved(plan.inputs, now.inputs):
        raise PlanMoved(found)
    results: dict[str, Result] = {}
    for name in plan.stacks:
        options = Options(refresh_first=True, environment=stacks.environment, message=f"plan of {plan.made_at}")
        results[name] = await stacks.deployer.up(stacks.refs[name], options, listen)
    return results


def listed_price(region: str, size: str) -> int | None:
    """From the price lists of the drivers that are installed."""
    try:
        from iacorch.infra.machines.aws.prices import price_list
    except ImportError:
        return None
    found = price_list(region).get(size)
    return None if found is None else found.price_micros_per_hour


async def _preview(stacks: Stacks, name: str, snapshot: Snapshot, say: Say) -> Preview:
    told = _Told(f"stack {name}: previewing the program", snapshot, say)
    options = Options(refresh_first=True, environment=stacks.environment)
    await stacks.deployer.preview(stacks.refs[name], options, told.hear)
    return Preview(name, snapshot, told.events)


class _Told:
    """Keeps events, and says how many resources they were about so far."""

    def __init__(self, words: str, snapshot: Snapshot, say: Say) -> None:
        self.events: list[Event] = []
        self._words, self._say = words, say
        self._known, self._done = len(snapshot.resources), set[str]()
        say(words)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ResourceDone):
            self._done.add(event.urn)
            self._say(f"{self._words}, {len(self._done)} done ({self._known} are in the state)")


async def _seen(stacks: Stacks, snapshots: Mapping[str, Snapshot], say: Say) -> tuple[list[Input], dict[str, int]]:
    """What a refresh sees that the states do not say: a fingerprint for each resource that differs."""
    inputs: list[Input] = []
    drifted: dict[str, int] = {}
    for name, snapshot in snapshots.items():
        told = _Told(f"stack {name}: looking at what is there", snapshot, say)
        options = Options(preview_only=True, environment=stacks.environment)
        await stacks.deployer.refresh(stacks.refs[name], options, told.hear)
        differing = {
            e.urn: f"{e.op} {[(c.path, str(c.new)) for c in e.changes]}"
            for e in told.events
            if isinstance(e, ResourcePre | ResourceDone) and e.op in (Op.UPDATE, Op.DELETE)
        }
        drifted[name] = len(differing)
        whole = digest(str(sorted(differing.items())))
        inputs.append(Input(f"what is seen of stack {name}", whole, f"{len(differing)} resources differ"))
        inputs += [Input(f"what is seen of {urn}", digest(words)) for urn, words in differing.items()]
    return inputs, drifted


def _planned(previews: Iterable[Preview]) -> Iterator[Input]:
    """What each preview plans: a program may read what no fingerprint knows of, the clock for one."""
    for preview in previews:
        for p in build.planned_of(preview):
            words = f"{p.verb} {[(c.path, str(c.old), str(c.new)) for c in p.changes]}"
            yield Input(f"the step of {p.urn}", digest(words), str(p.verb))


def _files(stacks: Stacks) -> Iterator[Input]:
    """The program, its project file and each stack's configuration, and this build of iacorch."""
    yield Input("iacorch", iacorch.__version__, iacorch.__version__)
    for root in dict.fromkeys(ref.work_dir for ref in stacks.refs.values()):
        project = load_project(root)
        main = project.main
        named = [root / "Pulumi.yaml", *(root / f"Pulumi.{name}.yaml" for name in stacks.refs)]
        for path in [*named, *_program(main)]:
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(root) if path.is_relative_to(root) else path
                yield Input(f"file {name}", hashlib.sha256(data).hexdigest(), f"{len(data)} bytes")


def _program(main: Path) -> list[Path]:
    """Every file of the program's folder that a program could read; hidden folders and environments are left out."""
    folder = main if main.is_dir() else main.parent
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _LEFT_OUT for part in parts) or path.name.startswith("Pulumi."):
            continue
        if path.is_file() and path.stat().st_size <= _FILE_BYTES and path.suffix != ".plan":
            found.append(path)
    return found


def _states(stacks: Stacks, snapshots: Mapping[str, Snapshot]) -> Iterator[Input]:
    for name, snapshot in snapshots.items():
        data = stacks.files.backend(stacks.refs[name]).read()
        words = f"{len(snapshot.resources)} resources, {hashlib.sha256(data).hexdigest()[:8]}"
        yield Input(f"state of stack {name}", hashlib.sha256(data).hexdigest(), words)


def _references(fleet: Fleet, previews: Iterable[Preview]) -> list[Reference]:
    """What is declared now, and what the previews would declare."""
    found = [declared.reference for declared in fleet.declared]
    for preview in previews:
        for p in build.planned_of(preview):
            if p.type == "iacorch:index:Manifest":
                found += [reference(obj) for obj in build.documents_of(p.inputs)]
    return list(dict.fromkeys(found))


async def _cluster(client: Client, references: Sequence[Reference]) -> Cluster:
    async def one(ref: Reference) -> Object | None:
        try:
            return await client.get(catalogue.kind(ref.kind, ref.api_version), ref.namespace, ref.name)
        except NotFound:
            return None

    live = dict(zip(references, await asyncio.gather(*map(one, references)), strict=True))
    return Cluster(live, tuple((await client.list(catalogue.POD)).items))


def _objects(cluster: Cluster) -> Iterator[Input]:
    """Each object by what it is, not by who last touched its status: a heartbeat does not make a plan untrue."""
    for ref, live in cluster.live.items():
        if live is None:
            yield Input(f"object {ref}", "", "not there")
        else:
            yield Input(f"object {ref}", _content(live), f"resourceVersion {objects.resource_version(live)}")
    for pod in cluster.pods:
        yield Input(f"pod {objects.key(pod)}", digest(f"{objects.uid(pod)} {objects.spec(pod).get('nodeName')}"))


def _content(obj: Object) -> str:
    metadata = {name: value for name, value in objects.metadata(obj).items() if name not in _SERVERS}
    kept = {name: value for name, value in obj.items() if name not in ("status", "metadata")}
    return digest(orjson.dumps({**kept, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode())
