"""The machine's table, row by row: given what is observed, which step comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iacorch.agent.lifecycle import machine
from iacorch.agent.lifecycle.observed import (
    AttachNetwork,
    CleanUp,
    CreateSandbox,
    DetachNetwork,
    EnsureImage,
    KillContainer,
    Observed,
    PrepareVolumes,
    ProbeKind,
    RemoveContainer,
    Setback,
    StartContainer,
    StopContainer,
    Stopping,
)
from iacorch.agent.runtime.contract import ContainerState, Owner, Phase
from iacorch.api.objects import Object

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SANDBOX_ID = "sandbox-0"
SANDBOX = ContainerState(SANDBOX_ID, Owner("uid", "default", "web"), Phase.RUNNING, pid=7)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def pod(*, deleted: bool = False, status: dict[str, Any] | None = None, **spec: Any) -> Object:
    metadata: dict[str, Any] = {"name": "web", "namespace": "default", "uid": "uid"}
    if deleted:
        metadata |= {"deletionTimestamp": "2026-01-01T12:00:30Z", "deletionGracePeriodSeconds": 30}
    containers = [{"name": "app", "image": "app:1"}]
    return {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": status or {}}


def running(name: str = "app", attempt: int = 0, **fields: Any) -> ContainerState:
    owner = Owner("uid", "default", "web", name, attempt, fields.pop("crashes", attempt), "app:1")
    state = ContainerState(f"{name}-{attempt}", owner, Phase.RUNNING, sandbox_id=SANDBOX_ID, started_at=ago(60))
    return replace(state, **fields)


def exited(
    name: str = "app", attempt: int = 0, *, code: int = 1, seconds_ago: float = 0, **fields: Any
) -> ContainerState:
    fields = {"started_at": ago(seconds_ago + 5), "finished_at": ago(seconds_ago), **fields}
    return running(name, attempt, phase=Phase.EXITED, exit_code=code, **fields)


def seen(*containers: ContainerState, **fields: Any) -> Observed:
    defaults: dict[str, Any] = {
        "containers": (SANDBOX, *containers),
        "attached_sandbox": SANDBOX_ID,
        "pod_ip": "10.244.0.2",
        "host_ip": "192.0.2.1",
        "volumes_ready": True,
        "images_ready": frozenset({"app", "init"}),
    }
    return Observed(**{**defaults, **fields})


KILLED = Stopping(NOW + timedelta(seconds=5), is_killed=True)
BARE = Observed(host_ip="192.0.2.1")
INIT: dict[str, Any] = {"initContainers": [{"name": "init", "image": "app:1"}]}
SIDECAR: dict[str, Any] = {"initContainers": [{"name": "init", "image": "app:1", "restartPolicy": "Always"}]}
LATE = Setback("ErrImagePull", "no such image", 1, ago(20), ago(10))
EARLY = Setback("ErrImagePull", "no such image", 1, ago(5), NOW + timedelta(seconds=5))
PROBED: dict[str, Any] = {
    "containers": [{"name": "app", "image": "app:1", "livenessProbe": {}, "terminationGracePeriodSeconds": 5}]
}


@pytest.mark.parametrize(
    ("given", "observed", "operation"),
    [
        pytest.param(pod(), BARE, PrepareVolumes(), id="volumes first"),
        pytest.param(pod(), replace(BARE, volumes_ready=True), CreateSandbox(0), id="then the sandbox"),
        pytest.param(
            pod(),
            seen(attached_sandbox="", containers=(replace(SANDBOX, phase=Phase.EXITED),)),
            CreateSandbox(1),
            id="a dead sandbox is replaced by the next attempt",
        ),
        pytest.param(
            pod(),
            seen(containers=(replace(SANDBOX, phase=Phase.EXITED), running())),
            KillContainer("app-0"),
            id="what runs in a dead sandbox is killed first",
        ),
        pytest.param(pod(), seen(attached_sandbox=""), AttachNetwork(SANDBOX_ID, 7), id="then the network"),
        pytest.param(
            pod(hostNetwork=True),
            seen(attached_sandbox=""),
            StartContainer("app", 0, 0, SANDBOX_ID),
            id="not on the host's network",
        ),
        pytest.param(pod(), seen(images_ready=frozenset()), EnsureImage("app"), id="the image before the container"),
        pytest.param(pod(), seen(), StartContainer("app", 0, 0, SANDBOX_ID), id="then the container"),
        pytest.param(pod(), seen(running()), None, id="what runs is left alone"),
        pytest.param(pod(**INIT), seen(), StartContainer("init", 0, 0, SANDBOX_ID), id="init first"),
        pytest.param(pod(**INIT), seen(running("init")), None, id="apps wait for init"),
        pytest.param(
            pod(**INIT), seen(exited("init", code=0)), StartContainer("app", 0, 0, SANDBOX_ID), id="init is done"
        ),
        pytest.param(
            pod(**INIT), seen(exited("init")), StartContainer("init", 1, 1, SANDBOX_ID), id="init failed, again at once"
        ),
        pytest.param(
            pod(restartPolicy="Never", **INIT), seen(exited("init")), DetachNetwork(), id="init failed for good"
        ),
        pytest.param(
            pod(**SIDECAR), seen(running("init")), StartContainer("app", 0, 0, SANDBOX_ID), id="a sidecar only starts"
        ),
        pytest.param(
            pod(**SIDECAR),
            seen(exited("init", code=0), running()),
            StartContainer("init", 1, 1, SANDBOX_ID),
            id="a sidecar that ends runs again",
        ),
        pytest.param(pod(), seen(exited()), StartContainer("app", 1, 1, SANDBOX_ID), id="first crash: at once"),
        pytest.param(pod(), seen(exited(attempt=1)), None, id="second crash: wait"),
        pytest.param(
            pod(),
            seen(exited(attempt=1, seconds_ago=10)),
            StartContainer("app", 2, 2, SANDBOX_ID),
            id="second crash: after 10 s",
        ),
        pytest.param(
            pod(),
            seen(exited(attempt=9, started_at=ago(700))),
            StartContainer("app", 10, 1, SANDBOX_ID),
            id="ten minutes of running forgive",
        ),
        pytest.param(pod(restartPolicy="OnFailure"), seen(exited(code=0)), DetachNetwork(), id="success is final"),
        pytest.param(pod(restartPolicy="Never"), seen(exited()), DetachNetwork(), id="failure is final"),
        pytest.param(pod(), seen(setbacks={"app": EARLY}), None, id="a setback is waited out"),
        pytest.param(
            pod(), seen(setbacks={"app": LATE}), StartContainer("app", 0, 0, SANDBOX_ID), id="and then tried again"
        ),
        pytest.param(
            pod(**PROBED),
            seen(running(), probes={("app-0", ProbeKind.LIVENESS): False}),
            StopContainer("app-0", "app", 30),
            id="a liveness probe failed",
        ),
        pytest.param(
            pod(containers=[{"name": "app", "image": "app:2"}]),
            seen(running()),
            StopContainer("app-0", "app", 30),
            id="the image changed",
        ),
        pytest.param(
            pod(),
            seen(running(), stopping={"app-0": Stopping(NOW)}),
            KillContainer("app-0"),
            id="it did not stop in time",
        ),
        pytest.param(
            pod(),
            replace(seen(running()), containers=(running(),)),
            KillContainer("app-0"),
            id="its sandbox is gone",
        ),
        pytest.param(
            pod(),
            replace(seen(running(), stopping={"app-0": KILLED}), containers=(running(),)),
            None,
            id="killed already, and the kernel takes its time",
        ),
        pytest.param(
            pod(),
            replace(seen(running(), stopping={"app-0": Stopping(ago(1), is_killed=True)}), containers=(running(),)),
            KillContainer("app-0"),
            id="killed a while ago, and again",
        ),
        pytest.param(
            pod(), seen(exited(), exited(attempt=1), running(attempt=2)), RemoveContainer("app-0"), id="old attempts go"
        ),
        pytest.param(
            pod(deleted=True), seen(running(), ending_since=NOW), StopContainer("app-0", "app", 30), id="delete: stop"
        ),
        pytest.param(
            pod(deleted=True, **SIDECAR),
            seen(running("init"), running(), ending_since=NOW),
            StopContainer("app-0", "app", 30),
            id="delete: apps before sidecars",
        ),
        pytest.param(
            pod(deleted=True, **SIDECAR),
            seen(running("init"), exited(), ending_since=ago(10)),
            StopContainer("init-0", "init", 20),
            id="delete: sidecars with what is left of the grace period",
        ),
        pytest.param(
            pod(deleted=True),
            seen(running(), ending_since=ago(30), stopping={"app-0": Stopping(NOW + timedelta(hours=1))}),
            KillContainer("app-0"),
            id="delete: the pod's deadline counts",
        ),
        pytest.param(pod(deleted=True), seen(exited()), DetachNetwork(), id="delete: network"),
        pytest.param(
            pod(deleted=True), seen(exited(), attached_sandbox=""), RemoveContainer("app-0"), id="delete: containers"
        ),
        pytest.param(pod(deleted=True), seen(attached_sandbox=""), RemoveContainer(SANDBOX_ID), id="delete: sandbox"),
        pytest.param(pod(deleted=True), BARE, CleanUp(), id="delete: volumes"),
        pytest.param(
            pod(status={"phase": "Failed", "containerStatuses": []}),
            seen(running()),
            StopContainer("app-0", "app", 30),
            id="over: nothing may run",
        ),
        pytest.param(
            pod(activeDeadlineSeconds=60, status={"startTime": "2026-01-01T11:00:00Z"}),
            seen(running()),
            StopContainer("app-0", "app", 30),
            id="its time is over",
        ),
    ],
)
def test_the_next_operation(given: Object, observed: Observed, operation: object) -> None:
    assert machine.step(given, observed, NOW).operation == operation


def test_nothing_left_is_finished() -> None:
    assert machine.step(pod(deleted=True), replace(BARE, is_cleaned=True), NOW).is_finished


def test_waiting_says_until_when_and_why() -> None:
    step = machine.step(pod(), seen(exited(attempt=1, seconds_ago=4)), NOW)
    assert step.wake_at == NOW + timedelta(seconds=6)
    assert str(step) == "Running: wait (back-off before app runs again, again at 12:00:06)"


@pytest.mark.parametrize(
    ("crashes", "pause"), [(0, 0), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (100, 300)]
)
def test_the_backoff_doubles_to_five_minutes(crashes: int, pause: int) -> None:
    step = machine.step(pod(), seen(exited(attempt=crashes)), NOW)
    assert step.wake_at == (NOW + timedelta(seconds=pause) if pause else None)


states = st.builds(
    lambda name, attempt, phase, code, sandbox: replace(
        exited(name, attempt, code=code) if phase is Phase.EXITED else running(name, attempt, phase=phase),
        sandbox_id=sandbox,
    ),
    name=st.sampled_from(["app", "init"]),
    attempt=st.integers(0, 3),
    phase=st.sampled_from(Phase),
    code=st.sampled_from([0, 1, 137]),
    sandbox=st.sampled_from([SANDBOX_ID, "sandbox-of-old"]),
)
observations = st.builds(
    lambda containers, sandbox, attached, volumes, removed: Observed(
        containers=(*containers, *sandbox),
        attached_sandbox=attached,
        volumes_ready=volumes,
        is_removed=removed,
        images_ready=frozenset({"app", "init"}),
        host_ip="192.0.2.1",
    ),
    containers=st.lists(states, max_size=4, unique_by=lambda state: state.id).map(tuple),
    sandbox=st.sampled_from([(), (SANDBOX,), (replace(SANDBOX, phase=Phase.EXITED),)]),
    attached=st.sampled_from(["", SANDBOX_ID]),
    volumes=st.booleans(),
    removed=st.booleans(),
)
pods = st.builds(
    lambda policy, extra, deleted: pod(deleted=deleted, restartPolicy=policy, **extra),
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    extra=st.sampled_from([{}, INIT, SIDECAR]),
    deleted=st.booleans(),
)


@given(pods, observations)
def test_the_same_view_gives_the_same_step(given_pod: Object, observed: Observed) -> None:
    assert machine.step(given_pod, observed, NOW) == machine.step(given_pod, observed, NOW)


@given(pods, observations)
def test_an_ending_pod_never_starts_anything(given_pod: Object, observed: Observed) -> None:
    step = machine.step(given_pod, replace(observed, is_removed=True), NOW)
    assert not isinstance(step.operation, StartContainer | CreateSandbox | AttachNetwork | EnsureImage | PrepareVolumes)


@given(pods, observations)
def test_a_container_is_never_started_beside_a_running_attempt(given_pod: Object, observed: Observed) -> None:
    step = machine.step(given_pod, observed, NOW)
    if isinstance(step.operation, StartContainer):
        name = step.operation.name
        newest = max(
            (c for c in observed.containers if c.owner.name == name), key=lambda c: c.owner.attempt, default=None
        )
        assert newest is None or not newest.is_running
        assert newest is None or step.operation.attempt > newest.owner.attempt


@given(pods, observations)
def test_a_reported_status_is_reached_in_one_step(given_pod: Object, observed: Observed) -> None:
    first = machine.step(given_pod, observed, NOW).status
    second = machine.step({**given_pod, "status": first}, observed, NOW).status
    if first.get("phase") not in ("Succeeded", "Failed"):
        assert second == first
