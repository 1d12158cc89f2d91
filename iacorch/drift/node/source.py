"""The node layer's edges: look into machines over SSH, try the roles, run them. Thin.

In: `Host`s of the fleet. Out: what was `Seen` on each (containers too, which the workload layer reads), check mode's
findings, corrections. One SSH session a host, as many at a time as `DRIFT_HOSTS_AT_ONCE`. Decisions are in `host`,
`inspect` and `mend`.
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from iacorch.drift.decisions.decide import Decision
from iacorch.drift.fleet import Host
from iacorch.drift.model import Observation
from iacorch.drift.node import host as hosts
from iacorch.drift.node import inspect, probe
from iacorch.drift.node.mend import mend
from iacorch.drift.node.probe import Seen
from iacorch.drift.reports.report import Done
from iacorch.errors import BootstrapError
from iacorch.infra.bootstrap import facts, ssh
from iacorch.infra.bootstrap.ansible import runner
from iacorch.infra.bootstrap.ansible.runner import HostRun
from iacorch.infra.bootstrap.bundles import bundle
from iacorch.infra.bootstrap.errors import PlaybookFailed
from iacorch.infra.bootstrap.facts import Facts, Installation
from iacorch.infra.bootstrap.plan import NodeConfig, Plan, plan_control_plane, plan_node
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget
from iacorch.kit import limits
from iacorch.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Looked:
    """One host: what was seen, or `error`. `wanted` and `plan` are None where it could not be planned for."""

    host: Host
    seen: Seen = field(default_factory=Seen)
    wanted: hosts.Wanted | None = None
    plan: Plan | None = None
    tasks: tuple[inspect.TaskChange, ...] | None = None
    error: str = ""


def as_made(found: Facts, *, config_was_ours: bool) -> Facts:
    """The facts that the plan goes by, without what only says whether a first installation may begin.

    A machine that drifted must still be planned for: refusals are about strangers. Pure.
    """
    ours = replace(
        found,
        ports=frozenset(),
        free_bytes={},
        clock_offset_seconds=0.0,
        systemd=True,
        installation=Installation(),
    )
    return replace(ours, docker_config="ours") if config_was_ours else ours


def plan_of(host: Host, found: Facts, *, config_was_ours: bool = True) -> Plan | None:
    """The plan by which the host was made. Pure."""
    given = as_made(found, config_was_ours=config_was_ours)
    if isinstance(host.config, NodeConfig):
        planned = plan_node(given, host.config, host=host.target.host)
    else:
        planned = plan_control_plane(given, host.config)
    return planned if isinstance(planned, Plan) else None


class Hosts:
    """Looks into machines and sets them right. `cache` is where bundles are kept."""

    def __init__(self, clock: Clock, *, cache: Path | None = None) -> None:
        self._clock, self._cache = clock, cache
        self._counted: dict[str, int] = {}
        self._counting = asyncio.Lock()  # one bundle is built once, however many hosts have it
        self._kept: AsyncExitStack | None = None
        self._open: dict[SshTarget, SshSession] = {}

    @asynccontextmanager
    async def keeping_sessions(self) -> AsyncIterator[None]:
        """Inside the block connections stay open from look to look: a second one takes a fraction of the first."""
        async with AsyncExitStack() as self._kept:
            try:
                yield
            finally:
                self._kept, self._open = None, {}

    @asynccontextmanager
    async def _session(self, host: Host) -> AsyncIterator[SshSession]:
        if self._kept is None:
            async with ssh.session(host.target) as session:
                yield session
            return
        if host.target not in self._open:
            self._open[host.target] = await self._kept.enter_async_context(ssh.session(host.target))
        yield self._open[host.target]

    async def look(self, fleet: Sequence[Host], *, node_layer: bool, containers: bool, deep: bool) -> list[Looked]:
        """In the order of `fleet`. `deep`: also try the roles in Ansible's check mode."""
        slots = asyncio.Semaphore(limits.DRIFT_HOSTS_AT_ONCE)

        async def one(host: Host) -> Looked:
            async with slots, self._session(host) as session:
                return await self.enter(host, session, node_layer=node_layer, containers=containers and host.is_node)

        looked = list(await asyncio.gather(*map(one, fleet)))
        return await self._try_roles(looked) if deep and node_layer else looked

    async def enter(self, host: Host, session: SshSession, *, node_layer: bool, containers: bool) -> Looked:
        """One host over an open session."""
        try:
            plan: Plan | None = None
            wanted: hosts.Wanted | None = None
            if node_layer:
                found = await facts.gather(session, self._clock)
                plan = plan_of(host, found, config_was_ours=await self._config_was_ours(session, found))
                if plan is None:
                    return Looked(host, error=f"it is no machine that could be a node any more ({found.os_name})")
                count = await self._files_of_bundle(plan, host.bundle)
                wanted = hosts.wanted_of(plan, name=host.name, bundle=host.bundle, bundle_files=count)
            script = probe.script(wanted, containers=containers)
            before = self._clock.now().timestamp()
            text = await session.run(script, timeout_seconds=limits.DRIFT_PROBE_SECONDS)
            after = self._clock.now().timestamp()
            return Looked(host, probe.parse(text, asked_between=(before, after)), wanted, plan)
        except BootstrapError as error:
            return Looked(host, error=error.message)
        except (ValueError, KeyError) as error:
            return Looked(host, error=f"its answer cannot be read: {error}")

    async def _files_of_bundle(self, plan: Plan, id_: str) -> int:
        """How many files the installed bundle has; 0 where its archive is not kept here and this is another build."""
        async with self._counting:
            if id_ not in self._counted:
                archive = (self._cache or bundle.cache_directory()) / f"{plan.bundle}-{id_}.tar.gz"
                if not archive.exists():
                    with suppress(BootstrapError):  # then nobody knows
                        await self._build(plan)
                self._counted[id_] = await asyncio.to_thread(_members, archive)
            return self._counted[id_]

    async def _config_was_ours(self, session: SshSession, found: Facts) -> bool:
        """Whether Docker's settings were written by bootstrap: theirs, changed since, are not somebody else's own."""
        if found.docker_config != "foreign":
            return True
        newer = "[ /etc/docker/daemon.json -nt /etc/iacorch ] && echo yes || true\n"
        return (await session.run(newer)).strip() == "yes"

    async def _try_roles(self, looked: list[Looked]) -> list[Looked]:
        """Check mode for all that were entered, by playbook, in one run of Ansible each."""
        tried: dict[str, tuple[inspect.TaskChange, ...]] = {}
        for playbook in ("node", "control_plane"):
            able = [one for one in looked if one.host.playbook == playbook and one.plan is not None]
            for start in range(0, len(able), limits.DRIFT_HOSTS_AT_ONCE):
                batch = able[start : start + limits.DRIFT_HOSTS_AT_ONCE]
                tried |= await self._run(batch, check=True)
        return [replace(one, tasks=tried.get(one.host.name)) for one in looked]

    async def _run(self, looked: Sequence[Looked], *, check: bool) -> dict[str, tuple[inspect.TaskChange, ...]]:
        """Host -> the tasks that changed (or would). Hosts whose build is not at hand are left out."""
        async with AsyncExitStack() as stack:
            runs: list[HostRun] = []
            for one in looked:
                if (built := await self._bundle(one)) is not None and one.plan is not None:
                    session = await stack.enter_async_context(ssh.session(one.host.target))
                    runs.append(runner.host_run(one.host.name, session, one.plan, built))
            if not runs:
                return {}
            playbook = looked[0].host.playbook
            result = await runner.run_playbook(playbook, runs, lambda progress: None, check=check)
        return {
            name: tuple(inspect.TaskChange(t.task, t.before, t.after) for t in tasks)
            for name, tasks in result.tasks.items()
        }

    async def _bundle(self, one: Looked) -> bundle.Bundle | None:
        """The bundle that is installed, if this build makes the same one; another would be an upgrade, not a repair."""
        if one.plan is None:
            return None
        built = await self._build(one.plan)
        return built if built.id == one.host.bundle else None

    async def _build(self, plan: Plan) -> bundle.Bundle:
        return await bundle.build(plan.bundle, python=plan.python.version, arch=plan.arch, cache=self._cache)

    async def correct(
        self, decisions: Sequence[Decision], looked: Mapping[str, Looked], say: Callable[[str], None]
    ) -> list[Done]:
        """Each node's findings: a script, the roles where they are needed, the daemon started again where it must."""
        slots = asyncio.Semaphore(limits.DRIFT_STACKS_AT_ONCE)

        async def one(name: str) -> list[Done]:
            mine = [d for d in decisions if d.seen.key.scope == name]
            async with slots:
                error = await self._correct(looked[name], [d.seen for d in mine], say)
            return [Done(d.seen.id, error) for d in mine]

        names = dict.fromkeys(d.seen.key.scope for d in decisions)
        return [done for found in await asyncio.gather(*map(one, names)) for done in found]

    async def _correct(self, one: Looked, wrong: Sequence[Observation], say: Callable[[str], None]) -> str:
        assert one.plan is not None
        todo = mend(wrong, unit=one.plan.unit)
        say(f"{one.host.name}: setting {len(wrong)} things right" + (" with the roles" if todo.roles else ""))
        try:
            async with ssh.session(one.host.target) as session:
                if todo.before:
                    await session.run(todo.before)
                if todo.roles:
                    # What the script took away, and packages that are gone, change what is to be done.
                    found = await facts.gather(session, self._clock)
                    again = replace(one, plan=plan_of(one.host, found))
                    if not await self._run([again], check=False):
                        return "another build of iacorch is installed there; run: iacorch up"
                if todo.after:
                    await session.run(todo.after)
        except PlaybookFailed as error:
            return error.message
        except BootstrapError as error:
            return error.message
        return ""


def _members(archive: Path) -> int:
    try:
        with tarfile.open(archive) as tar:
            return sum(1 for member in tar if member.isfile() and not member.name.endswith(".pyc"))
    except OSError:
        return 0


def observations(looked: Sequence[Looked], clock: Clock) -> list[Observation]:
    """Of the node layer, for hosts that were looked into for it. Pure but for the clock."""
    now = clock.now()
    found: list[Observation] = []
    for one in looked:
        if one.error or one.wanted is None:
            found += inspect.nobody_looks(one.host.name, one.error or "it was not looked into", one.host.place)
        else:
            found += inspect.observe(one.wanted, one.seen, one.host.place, now=now, tasks=one.tasks)
    return found
