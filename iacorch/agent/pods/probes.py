"""Probing a pod's containers: when to ask, and what the answers add up to.

In: the pod, its running containers, a `Prober`. Out: `results`, (container ID, kind) -> healthy or not, and a call of
`changed` when one of them turns. The worker owns one `Probes` and calls `sync` after everything that happens. How the
answers add up (`Tally`) is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from iacorch.agent.lifecycle.observed import ProbeKind, View
from iacorch.agent.pods.prober import Prober, Subject
from iacorch.kit import limits
from iacorch.kit.clock import Clock
from iacorch.kit.tasks import Tasks

ProbeKey: TypeAlias = tuple[str, ProbeKind]
Unhealthy: TypeAlias = Callable[[str, ProbeKind, str], None]
"""Told of (container name, kind, message) when a probe fails."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A probe's numbers with Kubernetes' defaults."""

    initial_delay_seconds: float = 0.0
    period_seconds: float = 10.0
    timeout_seconds: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3

    @staticmethod
    def of(probe: Mapping[str, Any]) -> Settings:
        return Settings(
            float(probe.get("initialDelaySeconds") or 0),
            float(probe.get("periodSeconds") or 10),
            float(probe.get("timeoutSeconds") or 1),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers of one probe so far; `verdict` turns after enough equal answers in a row."""

    verdict: bool | None = None
    last: bool | None = None
    in_a_row: int = 0

    def add(self, is_good: bool, settings: Settings) -> Tally:
        in_a_row = self.in_a_row + 1 if is_good == self.last else 1
        needed = settings.success_threshold if is_good else settings.failure_threshold
        verdict = is_good if in_a_row >= needed else self.verdict
        return replace(self, verdict=verdict, last=is_good, in_a_row=in_a_row)


class Probes:
    """One pod's probes; a task each, owned by `tasks`."""

    def __init__(
        self, tasks: Tasks, prober: Prober, clock: Clock, *, changed: Callable[[], None], unhealthy: Unhealthy
    ) -> None:
        self.results: dict[ProbeKey, bool] = {}
        self._tasks, self._prober, self._clock = tasks, prober, clock
        self._changed, self._unhealthy = changed, unhealthy
        self._running: dict[ProbeKey, asyncio.Task[None]] = {}

    def adopt(self, view: View) -> None:
        """After a restart of the agent: what was ready and started still is, until a probe says otherwise."""
        for _, container in view.containers:
            state, before = view.current(container["name"]), view.previous_status(container["name"])
            if state is None or before.get("containerID") != f"docker://{state.id}":
                continue
            if before.get("started"):
                self.results[state.id, ProbeKind.STARTUP] = True
            if before.get("ready"):
                self.results[state.id, ProbeKind.READINESS] = True

    def sync(self, view: View) -> None:
        """Start what is to be asked now, stop what is not."""
        wanted: dict[ProbeKey, tuple[dict[str, Any], Subject]] = {}
        alive: set[str] = set()
        for _, container in view.containers:
            state = view.current(container["name"])
            if state is None or not state.is_running:
                continue
            alive.add(state.id)
            if state.id in view.observed.stopping:
                continue
            address = view.observed.host_ip if view.spec.get("hostNetwork") else view.observed.pod_ip
            ports = {p["name"]: int(p["containerPort"]) for p in container.get("ports") or () if p.get("name")}
            has_started = view.is_started(container["name"])
            for kind in ProbeKind:
                if container.get(kind) and (kind is ProbeKind.STARTUP) != has_started:
                    wanted[state.id, kind] = (container, Subject(state.id, address, ports))
        for key in self._running.keys() - wanted.keys():
            self._running.pop(key).cancel()
        for key in [key for key in self.results if key[0] not in alive]:
            del self.results[key]
        for key, (container, subject) in wanted.items():
            if key not in self._running:
                self._running[key] = self._tasks.spawn(
                    self._ask_for_ever(key, container, subject), name=f"{container['name']}/{key[1]}"
                )

    async def _ask_for_ever(self, key: ProbeKey, container: Mapping[str, Any], subject: Subject) -> None:
        kind = key[1]
        probe = container[kind]
        settings = Settings.of(probe)
        tally = Tally(verdict=self.results.get(key), last=self.results.get(key))
        await self._clock.sleep(settings.initial_delay_seconds)
        eager = limits.READINESS_EAGER_SECONDS
        while True:
            reply = await self._prober.ask(probe, subject, timeout_seconds=settings.timeout_seconds)
            if not reply.is_good:
                self._unhealthy(container["name"], kind, reply.message)
            tally = tally.add(reply.is_good, settings)
            if tally.verdict is not None and self.results.get(key) is not tally.verdict:
                self.results[key] = tally.verdict
                self._changed()
            if kind is ProbeKind.READINESS and tally.verdict is not True:
                # Asking often costs nothing here, and a container that has just started is soon ready.
                await self._clock.sleep(min(eager, settings.period_seconds))
                eager *= 2
            else:
                await self._clock.sleep(settings.period_seconds)
