"""`iacorch drift`: what differs from what is wanted, on every layer; a table, JSON, exit codes for a CI job.

In: options, the project's stacks, DriftPolicies of the cluster (or a file). Out: a report. `--once` ends with 0 (in
sync), 1 (something could not be looked at) or 2 (drift). What is remembered between checks is in `.iacorch/drift.json`
beside the project. `approve` agrees to one proposed correction. The engine is in `iacorch.drift`.
"""

from __future__ import annotations

import asyncio
import getpass
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
import orjson
import yaml

from iacorch.cli.command import Group, width
from iacorch.cli.target import Target, with_target
from iacorch.drift import loop
from iacorch.drift.check import Checked, Scope, check, check_and_correct
from iacorch.drift.decisions import memory as memories
from iacorch.drift.decisions import policy
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Policies
from iacorch.drift.edges import RealEdges
from iacorch.drift.machine.source import Stacks
from iacorch.drift.model import Action, Layer
from iacorch.drift.node.source import Hosts
from iacorch.drift.reports import page, publish
from iacorch.drift.reports import report as reports
from iacorch.drift.reports.report import Report
from iacorch.errors import ApiError, ConfigError
from iacorch.infra.engine.builtin.stack.files import write
from iacorch.infra.engine.contract import StackRef
from iacorch.kit.clock import SystemClock
from iacorch.kit.ids import SystemIds
from iacorch.kit.tasks import Tasks

_ID: Final = re.compile(r"[0-9a-f]{12}")
_MEMORY: Final = Path(".iacorch") / "drift.json"
_METRICS: Final = Path(".iacorch") / "drift.prom"


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(
        "iacorch drift                               # look; nothing is changed",
        "iacorch drift --correct                     # set right what policies allow, and what none speaks for",
        "iacorch drift approve 3a47fca17242          # agree to one correction that was proposed",
        "iacorch drift --detailed-exitcode --layer machine --stack prod     # for a job",
    ),
    exit_codes={0: "in sync", 1: "an error, or something could not be looked at", 2: "drift is left"},
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    type=click.Choice([str(layer) for layer in Layer]),
    help="Look at this layer only. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("-o", "output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True,
              help="wide: every difference, whole, with writers and reasons.")  # fmt: skip
@click.option("--detailed-exitcode", "--once", "once", is_flag=True, help="2 when drift is left (without: 0).")
@click.option("--correct", is_flag=True, help="Set right what policies let, and what none speaks for.")
@click.option("--watch", is_flag=True, help="Go on: by the policies' schedules, the workload layer all the time.")
@click.option("--quick", is_flag=True, help="Do not let Ansible try the roles.")
@click.option("--policy", "policy_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="DriftPolicies from a YAML file instead of the cluster's.")  # fmt: skip
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Instead of the one in the stacks.")  # fmt: skip
@with_target
def drift(target: Target, layers: tuple[str, ...], as_json: bool, output: str, once: bool, **options: Any) -> None:
    """Find what differs from what is wanted, on the machine, node and workload layer.

    Without --stack it is about all stacks of the project. Without --correct nothing is changed.
    """
    context = click.get_current_context()
    desk = Desk(target, options)
    context.obj = {**(context.obj or {}), "desk": desk}
    if context.invoked_subcommand is not None:
        return
    scope = Scope(tuple(Layer(layer) for layer in layers) or tuple(Layer), deep=not options["quick"])
    how = "json" if as_json else output
    if options["watch"]:
        asyncio.run(desk.watch(scope, how))
        return
    report = asyncio.run(desk.once(scope, correct=options["correct"]))
    show(report, how)
    context.exit(report.exit_code if once else reports.EXIT_ERROR if report.errors else reports.EXIT_IN_SYNC)


@drift.command(
    arguments={"IDS": "of findings, as `iacorch drift` shows them"},
    examples=("iacorch drift approve 3a47fca17242 && iacorch drift --correct",),
)
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
def approve(context: click.Context, ids: tuple[str, ...]) -> None:
    """Agree to the correction of exactly these findings, once, within a day."""
    desk: Desk = context.obj["desk"]
    if wrong := [id_ for id_ in ids if not _ID.fullmatch(id_)]:
        raise ConfigError(
            f"{wrong[0]!r} is no ID of a finding: 12 of 0-9a-f", hint="`iacorch drift -o wide` shows them"
        )
    memory = desk.recall()
    desk.keep(memories.approve(memory, ids, getpass.getuser(), SystemClock().now()))
    click.echo(f"approved {', '.join(ids)}; the next check with --correct carries it out")


@drift.command(examples=("iacorch drift forget",))
@click.pass_context
def forget(context: click.Context) -> None:
    """Forget ages, fights, tries and adopted values."""
    desk: Desk = context.obj["desk"]
    desk.path.unlink(missing_ok=True)


class Desk:
    """A project's edges, policies and memory, for one command."""

    def __init__(self, target: Target, options: dict[str, Any]) -> None:
        self._target, self._options = target, options
        self._clock = SystemClock()
        self.path = target.root / _MEMORY
        self._hosts = Hosts(self._clock)
        self._edges: RealEdges | None = None
        self._known: frozenset[str] = frozenset()
        """Approvals that were there when the memory was last read or written."""

    async def once(self, scope: Scope, *, correct: bool) -> Report:
        """Says what it is at on standard error; the report is all that goes elsewhere."""
        edges = await self.edges()
        async with Tasks("drift") as tasks:
            tasks.spawn(edges.doing.tell(self._clock, _say))
            return await self._once(edges, scope, correct=correct)

    async def _once(self, edges: RealEdges, scope: Scope, *, correct: bool) -> Report:
        memory = await self._approvals(self.recall())
        policies = await self._policies()
        if correct:
            # What no policy speaks for is asked for here and now.
            policies = Policies((*policies.policies, *policy.always(Action.CORRECT).policies))
            checked = await check_and_correct(edges, scope, policies, memory, self._clock, _say)
        else:
            checked = await check(edges, scope, policies, memory, self._clock)
        await self._tell(checked, policies, loop.Due())
        return checked.report

    async def watch(self, scope: Scope, how: str) -> None:
        edges = await self.edges()
        shown: set[str] = set()

        async def tell(checked: Checked, policies: Policies, due: loop.Due) -> None:
            now = {d.seen.id for d in checked.report.shown}
            if now != shown or checked.report.corrected:
                show(checked.report, how)
                await self._tell(checked, policies, due)
                shown.clear()
                shown.update(now)
            elif due.names:
                await self._tell(checked, policies, due)

        hooks = loop.Hooks(self._policies, self._approvals, tell, _say)
        watched = Scope(tuple(layer for layer in scope.layers if layer is Layer.WORKLOAD), deep=False)
        async with self._hosts.keeping_sessions():
            await loop.run(edges, hooks, self.recall(), self._clock, watch=watched if watched.layers else None)

    async def edges(self) -> RealEdges:
        if self._edges is None:
            text = path.read_text() if (path := self._options["kubeconfig"]) else ""
            files, deployer = self._target.files(), self._target.deployer()
            names = await self._stack_names()
            refs = {name: self._target.ref(name) for name in names}
            stacks = Stacks(deployer, files, refs, {})
            self._edges = RealEdges(stacks, self._hosts, self._clock, kubeconfig=text)
        return self._edges

    async def _stack_names(self) -> Sequence[str]:
        if self._target.stack_option:
            return [self._target.stack_option]
        return await self._target.files().stacks(StackRef(self._target.root, "any", self._target.backend_url))

    @property
    def name(self) -> str:
        """The DriftReport's: the stack's, or the project folder's where all stacks are looked at."""
        text = self._target.stack_option or self._target.root.name
        return "".join(c if c.isalnum() or c in "-." else "-" for c in text.lower()).strip("-.") or "drift"

    async def _policies(self) -> Policies:
        if path := self._options["policy_file"]:
            try:
                return policy.policies_of(d for d in yaml.safe_load_all(path.read_text()) if d)
            except (yaml.YAMLError, KeyError, ValueError, AttributeError) as error:
                raise ConfigError(f"is no list of DriftPolicies: {error!r}", where=str(path)) from error
        if (edges := await self._with_fleet()) is None:
            return Policies()
        try:
            async with edges.client() as client:
                return policy.policies_of(await publish.read_policies(client))
        except ApiError as error:
            _say(f"the policies cannot be read, so nothing is corrected by one: {error.message}")
            return Policies()

    async def _approvals(self, memory: Memory) -> Memory:
        """Those of the command line are in the memory; those on the report come from the API."""
        kept = self.recall()
        memory = replace(memory, approvals={**kept.approvals, **memory.approvals})
        if (edges := await self._with_fleet()) is None:
            return memory
        try:
            async with edges.client() as client:
                ids = await publish.read_approvals(client, self.name)
        except ApiError:
            return memory
        new = [id_ for id_ in ids if id_ not in memory.approvals]
        return memories.approve(memory, new, f"annotation of DriftReport {self.name}", self._clock.now())

    async def _with_fleet(self) -> RealEdges | None:
        """The edges once they know a way to the API; None where there is none."""
        edges = await self.edges()
        if not edges.kubeconfig:
            await edges.learn()
        return edges if edges.kubeconfig else None

    async def _tell(self, checked: Checked, policies: Policies, due: loop.Due) -> None:
        self.keep(checked.memory)
        write(self._target.root / _METRICS, reports.metrics(checked.report).encode())
        if (edges := await self._with_fleet()) is None:
            return
        try:
            async with edges.client() as client:
                await publish.publish(client, self.name, checked.report, self._clock)
                await publish.publish_policies(
                    client, policies, self.name, checked.report, self._clock.now(), due.names
                )
        except ApiError as error:
            _say(f"the report is not in the cluster: {error.message}")

    def recall(self) -> Memory:
        memory = self._read()
        self._known = frozenset(memory.approvals)
        return memory

    def keep(self, memory: Memory) -> None:
        """With what a person has approved in another shell since it was read: a check takes a while."""
        late = {id_: approval for id_, approval in self._read().approvals.items() if id_ not in self._known}
        memory = replace(memory, approvals={**memory.approvals, **late})
        write(self.path, orjson.dumps(memories.to_json(memory), option=orjson.OPT_INDENT_2))
        self._known = frozenset(memory.approvals)

    def _read(self) -> Memory:
        try:
            return memories.from_json(orjson.loads(self.path.read_bytes()), where=str(self.path))
        except FileNotFoundError:
            return Memory(salt=SystemIds().token(16).hex())
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"is not JSON: {error}", where=str(self.path), hint="iacorch drift forget") from error


def show(report: Report, how: str) -> None:
    """On standard output."""
    if how == "json":
        click.echo(orjson.dumps(reports.to_json(report), option=orjson.OPT_INDENT_2).decode())
        return
    for line in page.lines(report, width=width(), wide=how == "wide"):
        click.echo(line)


def _say(words: str) -> None:
    with suppress(BrokenPipeError):
        print(words, file=sys.stderr, flush=True)
