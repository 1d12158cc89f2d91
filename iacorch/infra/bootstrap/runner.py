"""Ansible, run for one or many machines, with events as they happen.

In: a playbook, `HostRun`s (an open SSH session and the planned variables each), a listener for `Progress`. Out: a
`PlaybookResult` with the number of changed tasks per host, or PlaybookFailed with what failed per host and what to do.
Called by the provider after `plan` and `bundle`; the second run of the same plan reports zero changes.

ansible-runner works in a private directory that is removed afterwards, so secrets in variables live on this side only
as long as the run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import ansible_runner

from iacorch.infra.bootstrap import sources
from iacorch.infra.bootstrap.bundle import Bundle
from iacorch.infra.bootstrap.errors import HostFailure, PlaybookFailed
from iacorch.infra.bootstrap.plan import Plan
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


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """How many tasks changed something, by host."""

    changed: Mapping[str, int]


Listener = Callable[[Progress], None]


def variables(plan: Plan, bundle: Bundle) -> dict[str, Any]:
    """Everything the roles ask for: what the plan says, and the bundle that was built for it."""
    return {
        **plan.variables,
        "iacorch_python": plan.python.path,
        "iacorch_bundle_id": bundle.id,
        "iacorch_bundle_archive": str(bundle.archive),
    }


def inventory(hosts: Sequence[HostRun]) -> dict[str, Any]:
    """Ansible's inventory: one group per role a machine plays."""
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
            **host.variables,
        }
    return {"all": {"children": groups}}


async def run_playbook(
    playbook: Playbook,
    hosts: Sequence[HostRun],
    listener: Listener,
    *,
    timeout_seconds: float = limits.PLAYBOOK_SECONDS,
) -> PlaybookResult:
    """Run it to the end on every host that can; cancelling ends Ansible. Raises PlaybookFailed."""
    loop = asyncio.get_running_loop()

    def forward(progress: Progress) -> None:
        loop.call_soon_threadsafe(listener, progress)

    collector = Collector(forward)
    cancelled = threading.Event()
    directory = Path(tempfile.mkdtemp(prefix="iacorch-ansible-"))
    running = loop.run_in_executor(None, _run, playbook, hosts, collector, directory, cancelled, timeout_seconds)
    try:
        status = await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.set()
        raise
    finally:
        # The thread owns the directory until it ends, also when nobody waits for it any more.
        running.add_done_callback(lambda _: shutil.rmtree(directory, ignore_errors=True))
    if collector.failures or status != "successful":
        raise PlaybookFailed(playbook, collector.failures or _unfinished(hosts, status, collector.words))
    return PlaybookResult({host.name: collector.changed.get(host.name, 0) for host in hosts})


class Collector:
    """Turns ansible-runner's events into progress, failures and counts. No I/O; fed from ansible-runner's thread."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.failures: list[HostFailure] = []
        self.changed: dict[str, int] = {}
        self.words = ""

    def event(self, event: Mapping[str, Any]) -> bool:
        """One event; the answer False keeps ansible-runner from writing it to disk."""
        kind, data = event.get("event", ""), event.get("event_data") or {}
        host, task = str(data.get("host", "")), str(data.get("task", ""))
        seconds = float(data.get("duration") or 0.0)
        result = data.get("res") or {}
        match kind:
            case "runner_on_start":
                self._listener(Progress(host, task, "started"))
            case "runner_on_ok":
                self._listener(Progress(host, task, "changed" if result.get("changed") else "ok", seconds))
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
        return False

    def _failed(self, host: str, task: str, result: Mapping[str, Any]) -> None:
        message = failure_words(result)
        # The last failure of a host says it best: a rescue's words come after the failure that it explains.
        self.failures = [f for f in self.failures if f.host != host]
        self.failures.append(HostFailure(host, task, message, hint_for(message)))


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


def _run(
    playbook: Playbook,
    hosts: Sequence[HostRun],
    collector: Collector,
    directory: Path,
    cancelled: threading.Event,
    timeout_seconds: float,
) -> str:
    """Blocking; in a thread. Answers ansible-runner's status."""
    playbooks = sources.directory("playbooks")
    (directory / "ansible.cfg").touch()
    runner = ansible_runner.run(
        private_data_dir=str(directory),
        project_dir=str(playbooks),
        playbook=f"{playbook}.yml",
        inventory=inventory(hosts),
        envvars=_environment(directory, forks=len(hosts)),
        settings={"job_timeout": int(timeout_seconds), "suppress_ansible_output": True},
        event_handler=collector.event,
        cancel_callback=cancelled.is_set,
        quiet=True,
        suppress_env_files=True,
    )
    if runner.status != "successful" and not collector.words:
        collector.words = _tail(directory)
    return str(runner.status)


def _environment(directory: Path, *, forks: int) -> dict[str, str]:
    """Ansible's settings: nothing from the user's own files, few round trips."""
    return {
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_REMOTE_TEMP": "/tmp/.iacorch-ansible",
        "ANSIBLE_ROLES_PATH": str(sources.directory("playbooks") / "roles"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_FORKS": str(max(1, min(forks, 32))),
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_BECOME_ALLOW_SAME_USER": "false",
        "ANSIBLE_SSH_ARGS": "-C",
        "PYTHONWARNINGS": "ignore",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def _tail(directory: Path) -> str:
    """The end of what ansible-playbook printed, for errors that are no events."""
    for path in directory.glob("artifacts/*/stdout"):
        return path.read_text(encoding="utf-8", errors="replace").strip()[-2_000:]
    return ""
