"""Machines that come at the same time share one run, and each gets its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iacorch.errors import BootstrapError
from iacorch.infra.bootstrap.ansible.runner import HostRun, Listener, Outcome, Playbook, PlaybookResult, Progress
from iacorch.infra.bootstrap.ansible.together import Together
from iacorch.infra.bootstrap.errors import HostFailure, PlaybookFailed
from iacorch.infra.bootstrap.ssh import SshSession, SshTarget
from iacorch.kit import limits
from iacorch.kit.clock import LoopClock
from iacorch.kit.virtual import run_virtual as virtually

CLOCK = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))


class Ansible:
    """Changes as many tasks as a host's name is long; fails on hosts whose name says so."""

    def __init__(self, *, broken: bool = False) -> None:
        self.runs: list[list[str]] = []
        self.ended = 0
        self._broken = broken

    async def __call__(
        self, playbook: Playbook, hosts: Sequence[HostRun], listener: Listener, *, timeout_seconds: float
    ) -> Outcome:
        self.runs.append([host.name for host in hosts])
        try:
            await CLOCK.sleep(60)
        finally:
            self.ended += 1
        if self._broken:
            raise BootstrapError("Ansible is not there")
        for host in hosts:
            listener(Progress(host.name, "t", "ok"))
        failures = tuple(HostFailure(h.name, "t", "no") for h in hosts if h.name.startswith("bad"))
        return Outcome(PlaybookResult({host.name: len(host.name) for host in hosts}), failures)


def host(name: str) -> HostRun:
    return HostRun(name, SshSession(SshTarget("h"), Path()), {})


def test_those_who_come_within_the_time_share_a_run_and_hear_of_themselves_only() -> None:
    ansible = Ansible()
    heard: dict[str, list[str]] = {"a": [], "bb": [], "late": []}

    async def story() -> tuple[int, ...]:
        together = Together(CLOCK, run=ansible)

        async def one(name: str, after: float) -> int:
            await CLOCK.sleep(after)
            return await together.run("node", host(name), lambda p: heard[name].append(p.host), timeout_seconds=100)

        late = limits.BOOTSTRAP_GATHER_SECONDS * 2
        return tuple(
            await asyncio.gather(one("a", 0), one("bb", limits.BOOTSTRAP_GATHER_SECONDS / 2), one("late", late))
        )

    assert virtually(story()) == (1, 2, 4)
    assert ansible.runs == [["a", "bb"], ["late"]]
    assert heard == {"a": ["a"], "bb": ["bb"], "late": ["late"]}


def test_a_host_that_fails_fails_alone_and_playbooks_do_not_mix() -> None:
    ansible = Ansible()

    async def story() -> list[int | BaseException]:
        together = Together(CLOCK, run=ansible)
        asked: list[tuple[Playbook, str]] = [("node", "good"), ("node", "bad"), ("control_plane", "server")]
        runs = (together.run(book, host(name), lambda p: None, timeout_seconds=100) for book, name in asked)
        return await asyncio.gather(*runs, return_exceptions=True)

    good, bad, server = virtually(story())
    assert (good, server) == (4, 6)
    assert isinstance(bad, PlaybookFailed)
    assert [failure.host for failure in bad.failures] == ["bad"]
    assert sorted(ansible.runs) == [["good", "bad"], ["server"]]


def test_two_machines_of_one_name_are_two_runs() -> None:
    ansible = Ansible()

    async def story() -> list[int]:
        together = Together(CLOCK, run=ansible)
        same = [together.run("node", host("a"), lambda p: None, timeout_seconds=100) for _ in range(2)]
        return await asyncio.gather(*same)

    assert virtually(story()) == [1, 1]
    assert ansible.runs == [["a"], ["a"]]


def test_an_ansible_that_does_not_start_is_told_to_all() -> None:
    async def story() -> list[int | BaseException]:
        together = Together(CLOCK, run=Ansible(broken=True))
        runs = [together.run("node", host(name), lambda p: None, timeout_seconds=100) for name in ("a", "b")]
        return await asyncio.gather(*runs, return_exceptions=True)

    assert [str(error) for error in virtually(story())] == ["Ansible is not there"] * 2


@pytest.mark.parametrize("after", [limits.BOOTSTRAP_GATHER_SECONDS / 2, 10.0], ids=["gathering", "running"])
def test_cancelling_leaves_nothing_behind(after: float) -> None:
    ansible = Ansible()

    async def story() -> int:
        together = Together(CLOCK, run=ansible)
        runs = [
            asyncio.create_task(together.run("node", host(name), lambda p: None, timeout_seconds=100))
            for name in ("a", "b")
        ]
        await CLOCK.sleep(after)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        assert all(run.cancelled() for run in runs)
        return await together.run("node", host("next"), lambda p: None, timeout_seconds=100)

    assert virtually(story()) == 4
    assert ansible.ended == len(ansible.runs)
