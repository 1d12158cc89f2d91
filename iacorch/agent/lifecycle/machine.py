"""The next step of a pod on its node: pure.

In: a `View` (pod, what was observed, now). Out: a `Step`: the status to report, then at most one operation, then when
to look again without a change. The worker calls it after everything that happens and carries the step out; asking again
with the same view gives the same step. The rows are tried from the top, the first that applies is the step.

    pod                      condition                                                    operation
    any                      a container was asked to stop and its deadline has passed    KillContainer
    ending                   apps run                                                     StopContainer, each
                             sidecars run, apps have ended                                StopContainer, each
                             something still runs                                         (wait)
                             the network is attached                                      DetachNetwork
                             containers or sandboxes are left                             RemoveContainer
                             volumes are left                                             CleanUp
                             nothing is left                                              (finished)
    over (Succeeded, Failed) something runs                                               StopContainer
                             the network is attached                                      DetachNetwork
                             a sandbox is left (its containers stay, for their logs)      RemoveContainer
    to run                   the volumes are not there                                    PrepareVolumes
                             no sandbox runs, containers of a lost one do                 KillContainer
                             no sandbox runs, an old one is left                          RemoveContainer
                             no sandbox runs                                              CreateSandbox
                             the sandbox has no network (and is not on the host's)        AttachNetwork
      init, in order         not begun, or ended and due again                            EnsureImage, StartContainer
                             running, not finished (sidecar: not started)                 (wait)
      apps and sidecars      startup or liveness probe failed, or the image changed       StopContainer
                             not begun, or ended and due again                            EnsureImage, StartContainer
                             more than two attempts are kept                              RemoveContainer

What failed before (`Setback`) is not tried again before its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from iacorch.agent.lifecycle import status
from iacorch.agent.lifecycle.observed import (
    AttachNetwork,
    CleanUp,
    CreateSandbox,
    DetachNetwork,
    EnsureImage,
    KillContainer,
    Observed,
    Operation,
    Place,
    PrepareVolumes,
    ProbeKind,
    RemoveContainer,
    StartContainer,
    StopContainer,
    View,
)
from iacorch.agent.runtime.contract import SANDBOX, ContainerState, Phase
from iacorch.api.objects import Object

KEPT_ATTEMPTS: Final = 2
"""The newest, and the one before it for `kubectl logs --previous`."""


@dataclass(frozen=True, slots=True)
class Step:
    """Report `status`, then carry out `operation`, then look again at `wake_at` or when something changed."""

    status: dict[str, Any]
    operation: Operation | None = None
    wake_at: datetime | None = None
    why: str = ""
    is_finished: bool = False
    """Nothing of the pod is left on this node; it can be deleted from the API."""

    def __str__(self) -> str:
        wake = f", again at {self.wake_at:%H:%M:%S}" if self.wake_at else ""
        return f"{self.status.get('phase')}: {self.operation or 'wait'} ({self.why}{wake})"


@dataclass(frozen=True, slots=True)
class _Move:
    """One row's outcome: an operation, or waiting until `at`, or (neither) waiting for the world."""

    why: str
    operation: Operation | None = None
    at: datetime | None = None
    is_finished: bool = False


def step(pod: Object, observed: Observed, now: datetime) -> Step:
    """The next step of `pod`, whose `status` must be the one that was reported last."""
    view = View(pod, observed, now)
    wanted = status.pod_status(view)
    operation: Operation | None = None
    why, finished = "", False
    wakes = [wanted.again_at] if wanted.again_at is not None else []
    for move in _moves(view, over=wanted.is_over):
        why = why or move.why
        if move.operation is not None or move.is_finished:
            operation, why, finished = move.operation, move.why, move.is_finished
            break
        if move.at is not None:
            wakes.append(move.at)
    return Step(wanted.body, operation, None if operation or finished else min(wakes, default=None), why, finished)


def _moves(view: View, *, over: bool) -> Iterator[_Move]:
    yield from _overdue(view)
    if view.is_ending:
        yield from _end(view)
    elif over:
        yield from _wind_up(view)
    else:
        yield from _run(view)


def _overdue(view: View) -> Iterator[_Move]:
    for state in view.running:
        if (stopping := view.observed.stopping.get(state.id)) is None:
            continue
        may_hasten = view.is_ending and not stopping.is_killed
        deadline = min(stopping.deadline, view.end_deadline) if may_hasten else stopping.deadline
        if view.now >= deadline:
            yield _Move(f"{state.owner.name} did not stop in time", KillContainer(state.id))
        else:
            yield _Move(f"{state.owner.name} is stopping", at=deadline)


def _stop_running(view: View, why: str) -> Iterator[_Move]:
    """Apps first; sidecars when no app runs any more."""
    apps = [c for c in view.running if view.place(c.owner.name) is not Place.SIDECAR]
    for state in apps or view.running:
        if state.id not in view.observed.stopping:
            left = max(0, int((view.end_deadline - view.now).total_seconds())) if view.is_ending else view.grace_seconds
            yield _Move(why, StopContainer(state.id, state.owner.name, left))


def _halt(view: View, why: str) -> list[_Move]:
    """What comes before anything is removed: containers end, the network goes. Empty when that is done."""
    if view.running:
        return [*_stop_running(view, why), _Move("waiting for containers to end")]
    if view.observed.attached_sandbox:
        return list(_unless_set_back(view, SANDBOX, _Move(why, DetachNetwork())))
    return []


def _end(view: View) -> Iterator[_Move]:
    if moves := _halt(view, "the pod is ending"):
        yield from moves
        return
    for state in (*(c for c in view.observed.containers if c.owner.name != SANDBOX), *view.sandboxes):
        yield from _unless_set_back(view, SANDBOX, _Move("the pod is ending", RemoveContainer(state.id)))
        return
    if not view.observed.is_cleaned:
        yield from _unless_set_back(view, SANDBOX, _Move("the pod is ending", CleanUp()))
        return
    yield _Move("nothing is left of the pod", is_finished=True)


def _wind_up(view: View) -> Iterator[_Move]:
    if moves := _halt(view, "the pod is over"):
        yield from moves
        return
    for sandbox in view.sandboxes:
        yield from _unless_set_back(view, SANDBOX, _Move("the pod is over", RemoveContainer(sandbox.id)))
        return
    yield _Move("the pod is over")


def _run(view: View) -> Iterator[_Move]:
    if (failed := view.observed.setbacks.get(SANDBOX)) is not None and view.now < failed.retry_at:
        yield _Move(failed.message, at=failed.retry_at)
        return
    if not view.observed.volumes_ready:
        yield _Move("volumes come first", PrepareVolumes())
    sandbox = view.sandbox
    if sandbox is None:
        yield from _new_sandbox(view)
        return
    if not view.spec.get("hostNetwork") and view.observed.attached_sandbox != sandbox.id:
        yield _Move("containers need a network", AttachNetwork(sandbox.id, sandbox.pid))
    for state in view.running:
        if state.sandbox_id != sandbox.id:
            yield from _kill_once(view, state)
    may_begin_apps = True
    for place, container in view.containers:
        if place is Place.APP:
            continue
        yield from _start_or_keep(view, place, container, sandbox)
        if not view.has_begun_apps and not _is_behind(view, place, container["name"]):
            may_begin_apps = False
            break
    if may_begin_apps:
        for place, container in view.containers:
            if place is Place.APP:
                yield from _start_or_keep(view, place, container, sandbox)
    yield from _forget_old(view)


def _kill_once(view: View, state: ContainerState) -> Iterator[_Move]:
    """A process that the kernel does not let go of yet is killed again when `_overdue` says so, not at every look."""
    stopping = view.observed.stopping.get(state.id)
    if stopping is None or not stopping.is_killed:
        yield _Move("its sandbox is gone", KillContainer(state.id))


def _new_sandbox(view: View) -> Iterator[_Move]:
    if view.running:
        for state in view.running:
            yield from _kill_once(view, state)
        yield _Move("waiting for containers to end")
        return
    for old in view.sandboxes:
        # Its name and its network must be free. The attempt's number lives on in `attempt + 1`.
        if old is not view.sandboxes[-1]:
            yield _Move("an old sandbox is left", RemoveContainer(old.id))
    attempt = view.sandboxes[-1].owner.attempt + 1 if view.sandboxes else 0
    yield _Move("the pod needs a sandbox", CreateSandbox(attempt))


def _is_behind(view: View, place: Place, name: str) -> bool:
    """The next container in the order may start."""
    if place is Place.SIDECAR:
        return view.is_started(name)
    state = view.current(name)
    return state is not None and state.phase is Phase.EXITED and state.exit_code == 0


def _start_or_keep(view: View, place: Place, container: dict[str, Any], sandbox: ContainerState) -> Iterator[_Move]:
    name = container["name"]
    if place is Place.INIT and view.has_begun_apps:
        return
    state = view.latest(name)
    if state is not None and state.is_running:
        yield from _keep(view, container, state)
        return
    due, crashes = view.now, 0
    if state is not None and state.phase is Phase.EXITED:
        if place is Place.INIT and _is_behind(view, place, name):
            return
        if (restart := view.restart(name)) is None:
            return
        due, crashes = restart.due, restart.crashes
    if view.now < due:
        yield _Move(f"back-off before {name} runs again", at=due)
        return
    move = _Move(f"{name} is to run", StartContainer(name, view.next_attempt(name), crashes, sandbox.id))
    if name not in view.observed.images_ready:
        move = replace(move, operation=EnsureImage(name))
    yield from _unless_set_back(view, name, move)


def _keep(view: View, container: dict[str, Any], state: ContainerState) -> Iterator[_Move]:
    """Stop a container that runs and should not run as it does."""
    if state.id in view.observed.stopping:
        return
    name, grace = container["name"], view.grace_seconds
    if state.owner.spec_hash != spec_hash(container):
        yield _Move(f"the image of {name} has changed", StopContainer(state.id, name, grace))
        return
    for kind in (ProbeKind.STARTUP, ProbeKind.LIVENESS):
        if view.observed.probes.get((state.id, kind)) is False:
            own = (container.get(kind) or {}).get("terminationGracePeriodSeconds")
            yield _Move(f"{kind} of {name} failed", StopContainer(state.id, name, grace if own is None else int(own)))
            return


def _forget_old(view: View) -> Iterator[_Move]:
    for _, container in view.containers:
        for state in view.attempts(container["name"])[:-KEPT_ATTEMPTS]:
            yield _Move("older than the attempts that are kept", RemoveContainer(state.id))
    for sandbox in view.sandboxes[:-1]:
        yield _Move("an old sandbox is left", RemoveContainer(sandbox.id))


def _unless_set_back(view: View, name: str, move: _Move) -> Iterator[_Move]:
    setback = view.observed.setbacks.get(name)
    if setback is not None and view.now < setback.retry_at:
        yield _Move(setback.message, at=setback.retry_at)
    else:
        yield move


def spec_hash(container: dict[str, Any]) -> str:
    """What of a running container may change in the API and makes it start anew: its image."""
    return str(container.get("image", ""))
