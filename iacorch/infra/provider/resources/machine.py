"""What Node and ControlPlane share: a connection, and the way from a machine to a running daemon.

In: connection properties and a planning function. Out: `Bootstrapped`. The order is the contract: reach, ask facts,
plan; only then is anything built or changed. Errors before that are plain (nothing was made), errors after it become
`HalfMade`, so that the engine keeps the ID and the host keys.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from iacorch.infra.bootstrap import builds, facts, ssh
from iacorch.infra.bootstrap.ansible import runner
from iacorch.infra.bootstrap.ansible.together import Together
from iacorch.infra.bootstrap.bundles import bundle, offline
from iacorch.infra.bootstrap.errors import (
    HostError,
    HostKeyChanged,
    HostUnreachable,
    KeyRefused,
    PlaybookFailed,
    PreflightRefused,
    Refusal,
    WentBack,
)
from iacorch.infra.bootstrap.facts import Facts
from iacorch.infra.bootstrap.plan import Plan
from iacorch.infra.bootstrap.settled import left_to_do
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget
from iacorch.infra.provider.properties import Property
from iacorch.infra.provider.resource import Properties, Request, words
from iacorch.kit import limits
from iacorch.kit.clock import Clock

CONNECTION: Final = Property(
    "connection",
    "object",
    "How the machine is reached by SSH.",
    required=True,
    type_name="Connection",
    fields=(
        Property("host", "string", "Address or name of the machine.", required=True, replaces=True),
        Property("port", "integer", "Port of its SSH server.", default=22),
        Property("user", "string", "Root, or a user with sudo without a password.", default="root"),
        Property("privateKey", "string", "The private key in OpenSSH's format.", required=True, secret=True),
    ),
)
MACHINE_ID: Final = Property(
    "machineId",
    "string",
    "What tells this machine from another one at the same address (a container's or an instance's ID). Another machine "
    "is a replacement.",
    replaces=True,
)
RELEASE: Final = Property(
    "release",
    "string",
    "The build of iacorch to install, filled in by the provider: its own. Another one updates.",
)
SEEN: Final = (
    Property("hostKeys", "string", "The host's SSH keys, pinned when it was first reached."),
    Property("os", "string", "The operating system that was found."),
    Property("reachable", "boolean", "Whether the machine could be reached when it was last looked at."),
    Property("serviceActive", "boolean", "Whether the daemon ran when it was last looked at."),
    Property("bundle", "string", "Which build of the daemon is installed."),
)

# Where Ansible keeps its modules while it runs; other users of it may come later.
_FORGET_ANSIBLE: Final = """\
rmdir "$(getent passwd {user} | cut -d: -f6)/.iacorch-ansible" 2>/dev/null || true
"""


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """The daemon runs; `outputs` are those of `SEEN`."""

    facts: Facts
    outputs: Mapping[str, Any]
    before: str = ""
    """The build that ran before, where it was another one."""
    untouched: bool = False
    """Nothing was to be done."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is found at a machine without changing it. `found` is None where it could not be entered."""

    found: Facts | None
    words: str = ""
    said: str = ""
    """What the script printed that was given along."""


def target_of(inputs: Properties, *, host_keys: str = "") -> SshTarget:
    """The connection of a resource; known host keys are the only ones accepted."""
    connection = inputs["connection"]
    return SshTarget(
        host=connection["host"],
        port=int(connection.get("port", 22)),
        user=connection.get("user", "root"),
        private_key=connection["privateKey"],
        host_keys=host_keys,
    )


def seen(found: Facts | None, unit: str, state: Properties, *, host_keys: str = "") -> dict[str, Any]:
    """The outputs of `SEEN` for what was found; a machine that cannot be entered keeps what was known of it."""
    kept = {"hostKeys": host_keys or state.get("hostKeys", ""), "os": state.get("os", "")}
    if found is None:
        return {**kept, "reachable": False, "serviceActive": False, "bundle": state.get("bundle", "")}
    return {
        **kept,
        "os": found.os_name,
        "reachable": True,
        "serviceActive": found.installation.active(unit),
        "bundle": found.installation.bundles.get(unit, ""),
    }


class Machines:
    """The edge to machines. `cache` is where bundles are kept, `package` what they carry (tests bring their own)."""

    def __init__(
        self, clock: Clock, *, release: str = "", cache: Path | None = None, package: Path | None = None
    ) -> None:
        self.clock = clock
        self.release = release
        self._cache, self._package = cache, package
        self._together = Together(clock)
        self._building = asyncio.Lock()  # machines that are made at once need the same bundle: build it once

    @asynccontextmanager
    async def reached(self, request: Request, target: SshTarget) -> AsyncIterator[SshSession]:
        """A session on a machine that may still be starting. Raises a HostError leaf."""
        async with ssh.session(target) as session:
            request.say(f"{target.host}: waiting for SSH")
            patience = request.patience(limits.SSH_READY_SECONDS)
            await ssh.wait_reachable(session, self.clock, timeout_seconds=patience, say=request.say)
            yield session

    async def look(self, target: SshTarget, script: str = "") -> Look:
        """Facts, or why there are none. Does not wait for a machine that is away."""
        try:
            async with ssh.session(target) as session:
                found = await facts.gather(session, self.clock)
                return Look(found, said=await session.run(script) if script else "")
        except HostError as error:
            return Look(None, error.message)

    async def facts(self, session: SshSession) -> Facts:
        return await facts.gather(session, self.clock)

    async def bootstrap(
        self,
        request: Request,
        session: SshSession,
        *,
        name: str,
        found: Facts,
        planned: Plan | tuple[Refusal, ...],
        playbook: Literal["node", "control_plane"],
    ) -> Bootstrapped:
        """Run the plan. Raises PreflightRefused and BundleFailed before, PlaybookFailed after something was changed.

        Where another build ran before and the new one does not start, the machine is changed back: WentBack.
        """
        if not isinstance(planned, Plan):
            raise PreflightRefused(session.target.host, planned)
        package = {"package": self._package} if self._package else {}
        request.say(f"{name}: building the {planned.bundle} bundle")
        async with self._building:
            built = await bundle.build(
                planned.bundle, python=planned.python.version, arch=planned.arch, cache=self._cache, **package
            )
        extra = offline.variables(found, self._cache)
        done = {"hostKeys": session.host_keys(), "os": found.os_name, "reachable": True, "serviceActive": True}
        outputs = {**done, "bundle": built.id}
        left = left_to_do(found, planned, built.id, extra)
        if not left:
            request.say(f"{name}: 0 tasks changed something")
            return Bootstrapped(found, outputs, untouched=True)
        request.say(f"{name}: to do: {', '.join(left)}")
        host = runner.host_run(name, session, planned, built, extra=extra)
        before = found.installation.bundles.get(planned.unit, "")
        if before in ("", built.id) or not found.installation.active(planned.unit):
            before = ""  # there is nothing that works to go back to
        else:
            request.say(f"{name}: from build {before} to {built.id}")
            await builds.remember(session, planned.unit, before)
        try:
            changed = await self._together.run(
                playbook, host, telling(request.say), timeout_seconds=request.timeout_seconds
            )
        except PlaybookFailed as error:
            if before:
                raise await self.went_back(
                    request, session, name=name, unit=planned.unit, build=before, why=words(error)
                ) from error
            raise
        request.say(f"{name}: {changed} tasks changed something")
        return Bootstrapped(found, outputs, before)

    async def went_back(
        self, request: Request, session: SshSession, *, name: str, unit: str, build: str, why: str
    ) -> WentBack:
        """Change a machine back to the build before; the error that says so. RemoteFailed where that fails too."""
        request.say(f"{name}: going back to build {build}: {why}")
        await builds.go_back(session, unit, build)
        return WentBack(f"{name}: the new build does not work, so build {build} runs again: {why}")

    async def upgraded(self, session: SshSession, before: str) -> None:
        """The new build works: only it and the one before stay on the machine."""
        await builds.forget(session, before)

    async def reset(self, request: Request, target: SshTarget, *, name: str, unit: str, owner: str) -> None:
        """Take the daemon off a machine. One that is gone, or is another one by now, is said and left alone.

        Raises PlaybookFailed, and NotPrivileged or RemoteFailed where we are let in but cannot work.
        """
        try:
            async with ssh.session(target) as session:
                found = await facts.gather(session, self.clock)
                if found.installation.owners.get(unit) != owner:
                    request.say(f"{name}: nothing of this resource is on {target.host}")
                    return
                python = next((p.path for p in found.pythons), "/usr/bin/python3")
                host = runner.HostRun(name, session, {"iacorch_unit": unit}, python=python)
                await runner.run_playbook("reset", [host], telling(request.say))
                await session.run(_FORGET_ANSIBLE.format(user=shlex.quote(target.user)))
        except (HostUnreachable, HostKeyChanged, KeyRefused) as error:
            request.say(f"{name}: its machine is left as it is: {error.message}")


def telling(say: Callable[[str], None]) -> runner.Listener:
    """Tell of one host's tasks: of their ends, and of beginnings where the end is not there at once.

    Ansible begins a task before it knows whether it is to be skipped; what is skipped is nobody's business.
    """
    begun: asyncio.TimerHandle | None = None

    def tell(progress: runner.Progress) -> None:
        nonlocal begun
        if begun is not None:
            begun.cancel()
            begun = None
        if progress.state == "started":
            begun = asyncio.get_running_loop().call_later(limits.PLAYBOOK_TASK_SAY_SECONDS, say, str(progress))
        elif progress.state != "skipped":
            say(str(progress))

    return tell
