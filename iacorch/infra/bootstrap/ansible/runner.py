"""Ansible, run for one or many machines, with events as they happen.

In: a playbook, `HostRun`s (an open SSH session and the planned variables each), a listener for `Progress`. Out: a
`PlaybookResult` with the number of changed tasks per host, or PlaybookFailed with what failed per host and what to do.
Called by the provider after `plan` and `bundle`; the second run of the same plan reports zero changes.

ansible-runner works in a private directory that is removed afterwards, so secrets in variables live on this side only
as long as the run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal
from urllib.parse import quote

from iacorch.infra.bootstrap import files, private, sources
from iacorch.infra.bootstrap.bundles.bundle import Bundle
from iacorch.infra.bootstrap.errors import HostFailure, PlaybookFailed
from iacorch.infra.bootstrap.files import File, files_of
from iacorch.infra.bootstrap.plan import Plan
from iacorch.infra.bootstrap.private import write_private
from iacorch.infra.bootstrap.ssh import SshSession, options
from iacorch.kit import limits

State = Literal["started", "ok", "changed", "skipped", "failed", "unreachable"]
Playbook = Literal["node", "control_plane", "reset", "site"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One host began or ended one task; `seconds` is how long it took."""

    host: str
    task: str
    state: State
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.state == "started":
            return f"{self.host}: {self.task}"
        return f"{self.host}: {self.task}: {self.state} ({self.seconds:.1f} s)"


@dataclass(frozen=True, slots=True)
class HostRun:
    """One machine in a run: its name in the inventory, how it is reached, its variables."""

    name: str
    session: SshSession
    variables: Mapping[str, Any] = field(repr=False)
    group: Literal["nodes", "control_plane"] = "nodes"
    python: str = "/usr/bin/python3"
    files: Mapping[str, File] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task that changed something, with the lines it took away and put there where it tells them."""

    task: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """What changed by host: how many tasks, and which. In check mode: what would."""

    changed: Mapping[str, int]
    tasks: Mapping[str, tuple[TaskChange, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run; hosts without a failure were done to the end."""

    result: PlaybookResult
    failures: tuple[HostFailure, ...] = ()


Listener = Callable[[Progress], None]


def host_run(
    name: str, session: SshSession, plan: Plan, bundle: Bundle, *, extra: Mapping[str, Any] | None = None
) -> HostRun:
    """A machine on which a plan is carried out with the bundle that was built for it."""
    given = {
        **plan.variables,
        **(extra or {}),
        "iacorch_unit": plan.unit,
        "iacorch_bundle_archive": str(bundle.archive),
    }
    given["iacorch_bundle_id"] = bundle.id
    group: Literal["nodes", "control_plane"] = "nodes" if plan.bundle == "agent" else "control_plane"
    return HostRun(name, session, given, group, plan.python.path, files_of(plan, bundle.id))


def inventory(hosts: Sequence[HostRun], directory: Path) -> dict[str, Any]:
    """Ansible's inventory: one group per role a machine plays. `directory` is where their files are listed."""
    groups: dict[str, Any] = {}
    for host in hosts:
        target = host.session.target
        arguments = options(target, host.session.directory)
        groups.setdefault(host.group, {"hosts": {}})["hosts"][host.name] = {
            "ansible_host": target.host,
            "ansible_port": target.port,
            "ansible_user": target.user,
            "ansible_python_interpreter": host.python,
            # Ours come first, and OpenSSH takes the first value it sees of each option.
            "ansible_ssh_common_args": " ".join(arguments),
            "iacorch_files": str(_files_of(host, directory)),
            **host.variables,
        }
    return {"all": {"children": groups}}


def _files_of(host: HostRun, directory: Path) -> Path:
    return directory / f"{quote(host.name, safe='')}.json"


async def run_playbook(
    playbook: Playbook,
    hosts: Sequence[HostRun],
    listener: Listener,
    *,
    timeout_seconds: float = limits.PLAYBOOK_SECONDS,
    check: bool = False,
) -> PlaybookResult:
    """As `run_hosts`. Raises PlaybookFailed when it failed on any host."""
    outcome = await run_hosts(playbook, hosts, listener, timeout_seconds=timeout_seconds, check=check)
    if outcome.failures:
        raise PlaybookFailed(playbook, outcome.failures)
    return outcome.result


async def run_hosts(
    playbook: Playbook,
    hosts: Sequence[HostRun],
    listener: Listener,
    *,
    timeout_seconds: float = limits.PLAYBOOK_SECONDS,
    check: bool = False,
) -> Outcome:
    """Run it to the end on every host that can; cancelling ends Ansible.

    With `check` nothing is changed, and the result says what would be.
    """
    collector = Collector(listener, check=check)
    with private.folder() as directory:
        job = _job(playbook, hosts, directory, timeout_seconds)
        if check:
            job["cmdline"] = "--check --diff"
        with tempfile.TemporaryFile() as stderr:
            status = await _run(job, collector, timeout_seconds, stderr)
            if status == "failed" and not collector.words:
                stderr.seek(0)
                collector.words = stderr.read()[-2_000:].decode("utf-8", "replace").strip()
    result = PlaybookResult(
        {host.name: collector.changed.get(host.name, 0) for host in hosts},
        {host.name: tuple(collector.tasks.get(host.name, ())) for host in hosts},
    )
    if status == "successful" or (status == "failed" and collector.failures):
        return Outcome(result, tuple(collector.failures))
    # Ended before it was over: what was heard of, and the rest of them too.
    heard = {failure.host for failure in collector.failures}
    unheard = [host for host in hosts if host.name not in heard]
    return Outcome(result, (*collector.failures, *_unfinished(unheard, status, collector.words)))


class Collector:
    """Turns ansible-runner's events into progress, failures and counts. No I/O."""

    def __init__(self, listener: Listener, *, check: bool = False) -> None:
        self._listener, self._check = listener, check
        self.tasks: dict[str, list[TaskChange]] = {}
        self.failures: list[HostFailure] = []
        self.changed: dict[str, int] = {}
        self.words = ""

    def event(self, event: Mapping[str, Any]) -> None:
        """One event, as `process` passes it on."""
        kind, data = event.get("event", ""), event.get("event_data") or {}
        host, task = str(data.get("host", "")), str(data.get("task", ""))
        seconds = float(data.get("duration") or 0.0)
        result = data.get("res") or {}
        match kind:
            case "runner_on_start":
                self._listener(Progress(host, task, "started"))
            case "runner_on_ok":
                if result.get("changed"):
                    self.tasks.setdefault(host, []).append(_task_change(task, result))
                self._listener(Progress(host, task, "changed" if result.get("changed") else "ok", seconds))
            case "runner_on_skipped":
                self._listener(Progress(host, task, "skipped", seconds))
            case "runner_on_failed" if data.get("ignore_errors") and self._check:
                # What cannot be tried because something before it is missing would be changed with it.
                self.tasks.setdefault(host, []).append(TaskChange(task, before=failure_words(result)))
            case "runner_on_failed" if not data.get("ignore_errors"):
                self._listener(Progress(host, task, "failed", seconds))
                self._failed(host, task, result)
            case "runner_on_unreachable":
                self._listener(Progress(host, task, "unreachable", seconds))
                self._failed(host, task, result)
            case "playbook_on_stats":
                self.changed = {name: int(count) for name, count in (data.get("changed") or {}).items()}
                unfinished = {*(data.get("failures") or {}), *(data.get("dark") or {})}
                # A task that failed and was rescued did not fail its host.
                self.failures = [failure for failure in self.failures if failure.host in unfinished]
            case "error" | "verbose":
                self.words = str(event.get("stdout") or "").strip() or self.words

    def _failed(self, host: str, task: str, result: Mapping[str, Any]) -> None:
        message = failure_words(result)
        # The last failure of a host says it best: a rescue's words come after the failure that it explains.
        self.failures = [f for f in self.failures if f.host != host]
        self.failures.append(HostFailure(host, task, message, hint_for(message)))


def _task_change(task: str, result: Mapping[str, Any]) -> TaskChange:
    """With the difference that `--diff` brings; Ansible leaves it out for tasks that hold secrets."""
    given = result.get("diff") or []
    parts = given if isinstance(given, list) else [given]
    sides = [{key: _lines(part.get(key)) for key in ("before", "after")} for part in parts if isinstance(part, dict)]
    before, after = (" ".join(side[key] for side in sides if side[key])[:2_000] for key in ("before", "after"))
    return TaskChange(task, before, after)


def _lines(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value else ""


def failure_words(result: Mapping[str, Any]) -> str:
    """What a failed task said, in at most 2,000 characters, the end of it if it is longer."""
    if "censored" in result:
        return "failed (its output is hidden because it holds secrets)"
    said = [str(result[key]).strip() for key in ("msg", "module_stderr", "stderr") if result.get(key)]
    return " ".join(" | ".join(dict.fromkeys(said)).split())[-2_000:] or "no reason was given"


_HINTS: Final = (
    ("No space left on device", "free space on the machine"),
    ("Could not resolve", "the machine cannot resolve names: check its DNS and its way to the package mirror"),
    ("Unable to locate package", "add the distribution's main archive to the machine's apt sources"),
    ("Could not get lock", "another apt runs on the machine: wait until it is done"),
    ("Unable to fetch some archives", "the machine cannot reach its package mirror"),
    ("does not start", "its journal says more: journalctl -u on the machine"),
    ("Permission denied", "the user may not do this: is it root, or may it use sudo without a password?"),
)


def hint_for(message: str) -> str:
    """What to do about a failure that is well known."""
    return next((hint for found, hint in _HINTS if found.lower() in message.lower()), "")


def _unfinished(hosts: Sequence[HostRun], status: str, words: str) -> list[HostFailure]:
    """Ansible ended without naming a host: say so for all of them."""
    reason = {"timeout": "took too long", "canceled": "was cancelled"}.get(status, f"ended as {status!r}")
    return [HostFailure(host.name, "ansible-playbook", f"{reason}: {words[-2_000:]}".rstrip(": ")) for host in hosts]


def _job(playbook: Playbook, hosts: Sequence[HostRun], directory: Path, timeout_seconds: float) -> dict[str, Any]:
    """What `ansible_runner.run` is called with."""
    # By default it looks a thousand times a second which host could do its next task, at each of them: with ten that is
    # more work than the tasks.
    (directory / "ansible.cfg").write_text(f"[defaults]\ninternal_poll_interval = {limits.PLAYBOOK_POLL_SECONDS}\n")
    for host in hosts:
        write_private(_files_of(host, directory), files.listed(host.files))
    return {
        "private_data_dir": str(directory),
        "project_dir": str(sources.directory("playbooks")),
        "playbook": f"{playbook}.yml",
        "inventory": inventory(hosts, directory),
        "envvars": environment(directory, forks=len(hosts)),
        "settings": {"job_timeout": int(timeout_seconds), "suppress_ansible_output": True},
    }


async def _run(job: Mapping[str, Any], collector: Collector, timeout_seconds: float, stderr: IO[bytes]) -> str:
    """Feed the collector with the events of a run in its own process; answers ansible-runner's status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "iacorch.infra.bootstrap.ansible.process",
        str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        limit=limits.PLAYBOOK_EVENT_BYTES,
        start_new_session=True,
        # What this process inherited says to the engine's next run that it is not over; so it is not before Ansible is.
        close_fds=False,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    status = ""
    try:
        async with asyncio.timeout(timeout_seconds + limits.PLAYBOOK_STOP_SECONDS):
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
            async for line in process.stdout:
                told = json.loads(line)
                if "status" in told:
                    status, collector.words = told["status"], collector.words or told["words"]
                else:
                    collector.event(told)
    except TimeoutError:
        status = "timeout"
    finally:
        await _end(process)
    return status or "failed"


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM lets ansible-runner end what it started; then the whole group goes."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(limits.PLAYBOOK_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def environment(directory: Path, *, forks: int) -> dict[str, str]:
    """Ansible's settings: nothing from the user's own files, few round trips."""
    return {
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        # In the home of the user who logs in: what root unpacks and runs must not be where others may put it first.
        "ANSIBLE_REMOTE_TEMP": "~/.iacorch-ansible",
        "ANSIBLE_ROLES_PATH": str(sources.directory("playbooks") / "roles"),
        "ANSIBLE_COLLECTIONS_PATH": str(sources.collections()),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",  # not every machine has sftp, and it is tried anew for each file
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_STRATEGY": "free",  # no machine waits for a slower one
        "ANSIBLE_FORKS": str(max(1, min(forks, 32))),
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_BECOME_ALLOW_SAME_USER": "false",
        "ANSIBLE_SSH_ARGS": "-o Compression=no",  # the bundle, which is nearly all there is to send, is compressed
        "PYTHONWARNINGS": "ignore",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
