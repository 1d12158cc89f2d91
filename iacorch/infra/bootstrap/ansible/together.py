"""Machines that are bootstrapped at the same time share one Ansible.

In: one host at a time, from as many tasks as there are machines. Out: that host's number of changed tasks, or its own
failure. Starting Ansible takes a second and a half of processor time, more than most of its tasks: whoever comes first
waits a moment for others and runs the playbook for all of them, each at its own pace (strategy `free`). Called by the
provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from iacorch.errors import IacorchError
from iacorch.infra.bootstrap.ansible import runner
from iacorch.infra.bootstrap.ansible.runner import HostRun, Listener, Outcome, Playbook, Progress
from iacorch.infra.bootstrap.errors import PlaybookFailed
from iacorch.kit import limits
from iacorch.kit.clock import Clock


class RunHosts(Protocol):
    """`runner.run_hosts`."""

    async def __call__(
        self, playbook: Playbook, hosts: Sequence[HostRun], listener: Listener, *, timeout_seconds: float
    ) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    host: HostRun
    listener: Listener
    timeout_seconds: float
    changed: asyncio.Future[int]


class Together:
    """One for each process that bootstraps."""

    def __init__(self, clock: Clock, *, run: RunHosts = runner.run_hosts) -> None:
        self._clock, self._run_hosts = clock, run
        self._gathering: dict[Playbook, list[_Waiting]] = {}

    async def run(self, playbook: Playbook, host: HostRun, listener: Listener, *, timeout_seconds: float) -> int:
        """How many tasks changed something. Raises PlaybookFailed for this host alone.

        Where whoever runs it for others is cancelled, theirs is, too: a deployment is cancelled as a whole.
        """
        mine = _Waiting(host, listener, timeout_seconds, asyncio.get_running_loop().create_future())
        others = self._gathering.get(playbook)
        if others is not None and all(waiting.host.name != host.name for waiting in others):
            others.append(mine)
            return await mine.changed
        group = [mine]
        leads = others is None  # a second host of that name goes alone
        if leads:
            self._gathering[playbook] = group
        try:
            if leads:
                await self._clock.sleep(limits.BOOTSTRAP_GATHER_SECONDS)
                del self._gathering[playbook]
                leads = False
            await self._run(playbook, group)
        except IacorchError as error:
            for waiting in group:
                if waiting is not mine and not waiting.changed.done():
                    waiting.changed.set_exception(error)
            raise
        finally:
            if leads:
                del self._gathering[playbook]
            for waiting in group:
                if waiting is not mine and not waiting.changed.done():
                    waiting.changed.cancel()
        return await mine.changed

    async def _run(self, playbook: Playbook, group: list[_Waiting]) -> None:
        listeners = {waiting.host.name: waiting.listener for waiting in group}

        def tell(progress: Progress) -> None:
            if progress.host in listeners:
                listeners[progress.host](progress)

        outcome = await self._run_hosts(
            playbook,
            [waiting.host for waiting in group],
            tell,
            timeout_seconds=max(waiting.timeout_seconds for waiting in group),
        )
        for waiting in group:
            failures = [failure for failure in outcome.failures if failure.host == waiting.host.name]
            if waiting.changed.cancelled():
                continue
            if failures:
                waiting.changed.set_exception(PlaybookFailed(playbook, failures))
            else:
                waiting.changed.set_result(outcome.result.changed.get(waiting.host.name, 0))
