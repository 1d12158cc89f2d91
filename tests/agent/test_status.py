"""How a pod's status is worded, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from iacorch.agent.lifecycle import status
from iacorch.agent.lifecycle.observed import Observed, ProbeKind, Setback, View
from iacorch.api.objects import Object
from tests.agent.test_machine import BARE, INIT, NOW, ago, exited, pod, running, seen

PULL = Setback("ErrImagePull", 'failed to pull image "app:1"', 1, NOW, NOW + timedelta(seconds=10))
READY_PROBE: dict[str, Any] = {
    "containers": [{"name": "app", "image": "app:1", "readinessProbe": {"tcpSocket": {"port": 80}}}]
}


def worded(given: Object, observed: Observed) -> dict[str, Any]:
    return status.pod_status(View(given, observed, NOW)).body


def app(given: Object, observed: Observed) -> dict[str, Any]:
    return dict(worded(given, observed)["containerStatuses"][0])


@pytest.mark.parametrize(
    ("given", "observed", "phase"),
    [
        pytest.param(pod(), BARE, "Pending", id="nothing yet"),
        pytest.param(pod(), seen(), "Pending", id="a sandbox only"),
        pytest.param(pod(**INIT), seen(running("init")), "Pending", id="initializing"),
        pytest.param(pod(), seen(running()), "Running", id="running"),
        pytest.param(pod(), seen(exited(code=0)), "Running", id="always restarts: still running"),
        pytest.param(pod(), seen(exited(attempt=3)), "Running", id="backing off: still running"),
        pytest.param(pod(restartPolicy="OnFailure"), seen(exited(code=0)), "Succeeded", id="done"),
        pytest.param(pod(restartPolicy="OnFailure"), seen(exited(code=1)), "Running", id="tries again"),
        pytest.param(pod(restartPolicy="Never"), seen(exited(code=1)), "Failed", id="failed"),
        pytest.param(pod(restartPolicy="Never", **INIT), seen(exited("init")), "Failed", id="init failed"),
        pytest.param(pod(deleted=True), seen(exited(code=0)), "Succeeded", id="ended well when it was deleted"),
        pytest.param(pod(deleted=True), seen(exited(code=143)), "Failed", id="ended badly when it was deleted"),
        pytest.param(pod(status={"phase": "Failed"}), seen(running()), "Failed", id="over is over"),
    ],
)
def test_the_phase(given: Object, observed: Observed, phase: str) -> None:
    assert worded(given, observed)["phase"] == phase


@pytest.mark.parametrize(
    ("given", "observed", "state"),
    [
        pytest.param(pod(), BARE, {"waiting": {"reason": "ContainerCreating"}}, id="creating"),
        pytest.param(pod(**INIT), seen(), {"waiting": {"reason": "PodInitializing"}}, id="initializing"),
        pytest.param(
            pod(),
            seen(setbacks={"app": PULL}),
            {"waiting": {"reason": "ErrImagePull", "message": PULL.message}},
            id="a pull that just failed",
        ),
        pytest.param(
            pod(),
            seen(setbacks={"app": replace(PULL, at=ago(5))}),
            {
                "waiting": {
                    "reason": "ImagePullBackOff",
                    "message": f'Back-off pulling image "app:1": ErrImagePull: {PULL.message}',
                }
            },
            id="a pull that failed a while ago",
        ),
        pytest.param(pod(), seen(running()), {"running": {"startedAt": "2026-01-01T11:59:00Z"}}, id="running"),
    ],
)
def test_a_containers_state(given: Object, observed: Observed, state: dict[str, Any]) -> None:
    assert app(given, observed)["state"] == state


@pytest.mark.parametrize(
    ("container", "reason", "signal"),
    [
        (exited(code=0), "Completed", None),
        (exited(code=1), "Error", None),
        (exited(code=143), "Error", 15),
        (exited(code=137, oom_killed=True), "OOMKilled", 9),
        (exited(code=127, started_at=None, message="not found"), "StartError", None),
    ],
)
def test_how_a_container_ended(container: Any, reason: str, signal: int | None) -> None:
    ended = app(pod(restartPolicy="Never"), seen(container))["state"]["terminated"]
    assert (ended["reason"], ended.get("signal")) == (reason, signal)


def test_the_last_state_is_the_attempt_before() -> None:
    found = app(pod(), seen(exited(code=4), running(attempt=1)))
    assert found["lastState"]["terminated"]["exitCode"] == 4
    assert found["restartCount"] == 1


def test_termination_messages_are_carried() -> None:
    found = app(pod(restartPolicy="Never"), seen(exited(), messages={"app-0": "the disk is full"}))
    assert found["state"]["terminated"]["message"] == "the disk is full"


@pytest.mark.parametrize(("result", "ready"), [(None, False), (False, False), (True, True)])
def test_readiness_is_what_its_probe_says(result: bool | None, ready: bool) -> None:
    probes = {} if result is None else {("app-0", ProbeKind.READINESS): result}
    found = worded(pod(**READY_PROBE), seen(running(), probes=probes))
    assert found["containerStatuses"][0]["ready"] is ready
    conditions = {c["type"]: c for c in found["conditions"]}
    assert conditions["Ready"]["status"] == str(ready)
    if not ready:
        assert conditions["Ready"]["message"] == "containers with unready status: [app]"


def test_readiness_gates_hold_ready_back() -> None:
    gates: dict[str, Any] = {"readinessGates": [{"conditionType": "example.com/open"}]}
    conditions = {c["type"]: c["status"] for c in worded(pod(**gates), seen(running()))["conditions"]}
    assert (conditions["ContainersReady"], conditions["Ready"]) == ("True", "False")
    opened = {"conditions": [{"type": "example.com/open", "status": "True"}]}
    conditions = {c["type"]: c["status"] for c in worded(pod(status=opened, **gates), seen(running()))["conditions"]}
    assert conditions["Ready"] == "True"


def test_nothing_changes_while_nothing_changes() -> None:
    first = worded(pod(), seen(running()))
    later = View(pod(status=first), seen(running()), NOW + timedelta(hours=1))
    assert status.pod_status(later).body == first
