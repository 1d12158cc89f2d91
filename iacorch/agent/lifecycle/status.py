"""The status of a pod as Kubernetes words it: pure.

In: a `View`. Out: `Wording`: the body of `status`, whether the pod is over, and when the words change by themselves.
`machine.step` calls it. Sources: Kubernetes API reference (PodStatus, ContainerStatus, PodCondition) and the pod
lifecycle page of its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from iacorch.agent.lifecycle.observed import MAYBE_ATTACHED, Place, View
from iacorch.agent.runtime.contract import SANDBOX, ContainerState, Phase
from iacorch.api import objects
from iacorch.api.objects import set_condition
from iacorch.api.qos import qos_class
from iacorch.kit.clock import rfc3339

OWN_CONDITIONS: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
"""The conditions that the agent writes; others' (readiness gates) are only read."""
_FRESH_SECONDS: Final = 2.0
"""For how long a failed pull is called ErrImagePull before it is called ImagePullBackOff."""
_LATER_WORDS: Final = {"ErrImagePull": "ImagePullBackOff"}
_SIGNAL_BASE: Final = 128
_UNKNOWN_EXIT: Final = 137


@dataclass(frozen=True, slots=True)
class Wording:
    body: dict[str, Any]
    is_over: bool
    """Succeeded or Failed: nothing of it runs again."""
    again_at: datetime | None


def pod_status(view: View) -> Wording:
    previous = view.previous
    if view.is_ending and not view.observed.containers and previous.get("phase") is not None:
        return Wording(previous, previous.get("phase") in ("Succeeded", "Failed"), None)
    inits = [_container_status(view, place, c) for place, c in view.containers if place is not Place.APP]
    apps = [_container_status(view, place, c) for place, c in view.containers if place is Place.APP]
    phase, reason, message = _phase(view, inits, apps)
    is_over = phase in ("Succeeded", "Failed")
    body: dict[str, Any] = {
        "phase": phase,
        "conditions": _conditions(view, inits, apps, phase),
        "startTime": previous.get("startTime") or rfc3339(view.now),
        "qosClass": previous.get("qosClass") or qos_class(view.spec),
    }
    if reason:
        body |= {"reason": reason, "message": message}
    if view.observed.host_ip:
        body |= {"hostIP": view.observed.host_ip, "hostIPs": [{"ip": view.observed.host_ip}]}
    address = view.observed.host_ip if view.spec.get("hostNetwork") and view.sandboxes else view.observed.pod_ip
    if address := address or previous.get("podIP", ""):
        body |= {"podIP": address, "podIPs": [{"ip": address}]}
    if inits:
        body["initContainerStatuses"] = inits
    body["containerStatuses"] = apps
    return Wording(body, is_over, _again_at(view))


def _again_at(view: View) -> datetime | None:
    """When a fresh setback becomes an old one, or the pod's time is over."""
    moments = [
        setback.at + timedelta(seconds=_FRESH_SECONDS)
        for setback in view.observed.setbacks.values()
        if setback.reason in _LATER_WORDS
    ]
    if view.active_deadline is not None:
        moments.append(view.active_deadline)
    return min((moment for moment in moments if moment > view.now), default=None)


# Containers


def _container_status(view: View, place: Place, container: dict[str, Any]) -> dict[str, Any]:
    name = container["name"]
    attempts = view.attempts(name)
    latest = attempts[-1] if attempts else None
    before = view.previous_status(name)
    if latest is None and view.is_ending and before:
        return _lost(before, view.now)
    lost = latest is None and bool(before.get("containerID"))
    state = _state(view, place, container, latest)
    last = _last_state(view, attempts, before, shows_end="terminated" in state)
    status: dict[str, Any] = {
        "name": name,
        "state": state,
        "lastState": last,
        "ready": view.is_ready(name),
        "restartCount": latest.owner.attempt if latest else int(before.get("restartCount") or 0),
        "image": (latest.image if latest else "") or container.get("image", ""),
        "imageID": f"docker://{latest.image_id}" if latest and latest.image_id else before.get("imageID", ""),
        "started": view.is_started(name),
    }
    if place is Place.INIT:
        # An init container is ready when it has done its work.
        status["ready"] = state.get("terminated", {}).get("exitCode") == 0
    if latest is not None:
        status["containerID"] = f"docker://{latest.id}"
    elif lost:
        status["containerID"] = before["containerID"]
        status["lastState"] = last or _lost(before, view.now)["state"]
    return status


def _state(view: View, place: Place, container: dict[str, Any], latest: ContainerState | None) -> dict[str, Any]:
    name = container["name"]
    if latest is not None and latest.is_running:
        return {"running": {"startedAt": rfc3339(latest.started_at or view.now)}}
    setback = view.observed.setbacks.get(name)
    if setback is not None:
        reason, message = setback.reason, setback.message
        if reason in _LATER_WORDS and view.now >= setback.at + timedelta(seconds=_FRESH_SECONDS):
            message = f'Back-off pulling image "{container.get("image", "")}": {reason}: {message}'
            reason = _LATER_WORDS[reason]
        return {"waiting": {"reason": reason, "message": message}}
    if latest is not None and latest.phase is Phase.EXITED:
        restart = view.restart(name)
        done = place is Place.INIT and latest.exit_code == 0
        if restart is None or done or restart.pause_seconds == 0:
            return {"terminated": _terminated(view, latest)}
        message = (
            f"back-off {_duration(restart.pause_seconds)} restarting failed container={name} "
            f"pod={latest.owner.pod_name}_{latest.owner.pod_namespace}({latest.owner.pod_uid})"
        )
        return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    initializing = place is Place.APP and any(p is not Place.APP for p, _ in view.containers)
    if initializing and not view.has_begun_apps:
        return {"waiting": {"reason": "PodInitializing"}}
    waiting: dict[str, Any] = {"reason": "ContainerCreating"}
    if (pod_setback := view.observed.setbacks.get(SANDBOX)) is not None:
        waiting["message"] = pod_setback.message
    return {"waiting": waiting}


def _last_state(
    view: View, attempts: tuple[ContainerState, ...], before: dict[str, Any], *, shows_end: bool
) -> dict[str, Any]:
    """How the attempt before the one that `state` is about ended."""
    if not attempts:
        return dict(before.get("lastState") or {})
    ended = [c for c in attempts if c.phase is Phase.EXITED]
    if shows_end:
        ended = ended[:-1]
    if ended:
        return {"terminated": _terminated(view, ended[-1])}
    if "running" in (before.get("state") or {}) and before.get("containerID") != f"docker://{attempts[-1].id}":
        return dict(_lost(before, view.now)["state"])
    return dict(before.get("lastState") or {})


def _terminated(view: View, state: ContainerState) -> dict[str, Any]:
    if state.oom_killed:
        reason = "OOMKilled"
    elif state.started_at is None:
        reason = "StartError"
    else:
        reason = "Completed" if state.exit_code == 0 else "Error"
    body: dict[str, Any] = {"exitCode": state.exit_code, "reason": reason}
    if state.exit_code > _SIGNAL_BASE and state.started_at is not None:
        body["signal"] = state.exit_code - _SIGNAL_BASE
    if message := view.observed.messages.get(state.id) or state.message:
        body["message"] = message
    finished = state.finished_at or view.now
    body["startedAt"] = rfc3339(state.started_at or finished)
    body["finishedAt"] = rfc3339(finished)
    body["containerID"] = f"docker://{state.id}"
    return body


def _lost(before: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A container that was reported and that the runtime has no more."""
    if "running" not in (before.get("state") or {}):
        return before
    ended = {
        "exitCode": _UNKNOWN_EXIT,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": before["state"]["running"].get("startedAt"),
        "finishedAt": rfc3339(now),
        "containerID": before.get("containerID", ""),
    }
    return {**before, "state": {"terminated": ended}, "ready": False, "started": False}


def _duration(seconds: float) -> str:
    """As Go prints it: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def new_backoffs(pod: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What Events say of containers that began to wait for another attempt."""
    for section in ("initContainerStatuses", "containerStatuses"):
        waited = {entry["name"] for entry in before.get(section) or () if _backoff(entry)}
        for entry in after.get(section) or ():
            if entry["name"] not in waited and (reason := _backoff(entry)):
                if reason == "ImagePullBackOff":
                    yield f'Back-off pulling image "{entry.get("image", "")}"'
                else:
                    whose = f"{objects.name(pod)}_{objects.namespace(pod)}({objects.uid(pod)})"
                    yield f"Back-off restarting failed container {entry['name']} in pod {whose}"


def own_truth(status: Mapping[str, Any]) -> tuple[object, ...]:
    """What others may have said in the agent's place: the phase, and the values of the conditions that are its own."""
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
    return (status.get("phase"), *(conditions.get(name) for name in OWN_CONDITIONS))


def _backoff(entry: Mapping[str, Any]) -> str:
    waiting = (entry.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    return reason if reason.endswith("BackOff") else ""


# The pod


def _phase(view: View, inits: list[dict[str, Any]], apps: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Phase, and reason and message where the phase alone does not say."""
    before = view.previous.get("phase")
    if before in ("Succeeded", "Failed"):
        return str(before), view.previous.get("reason", ""), view.previous.get("message", "")
    if view.is_over_time:
        return "Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    policy = "Never" if view.is_ending else view.restart_policy
    sidecars = {c["name"] for place, c in view.containers if place is Place.SIDECAR}
    if not view.has_begun_apps and not (view.is_ending and all("terminated" in s["state"] for s in apps)):
        for status in inits:
            ended = status["state"].get("terminated")
            if ended and ended["exitCode"] != 0 and policy == "Never" and status["name"] not in sidecars:
                return "Failed", "", ""
    running = waiting = failed = succeeded = 0
    for status in apps:
        state, last = status["state"], status["lastState"]
        if "running" in state:
            running += 1
        elif ended := state.get("terminated"):
            failed, succeeded = (failed + 1, succeeded) if ended["exitCode"] else (failed, succeeded + 1)
        elif last.get("terminated"):
            failed += 1  # it waits to run again
        else:
            waiting += 1
    if waiting:
        return "Pending", "", ""
    if running or policy == "Always" or (failed and policy == "OnFailure"):
        return "Running", "", ""
    return ("Failed" if failed else "Succeeded"), "", ""


def _conditions(
    view: View, inits: list[dict[str, Any]], apps: list[dict[str, Any]], phase: str
) -> list[dict[str, Any]]:
    done = phase == "Succeeded"
    unready = [s["name"] for s in apps if not s["ready"]]
    uninitialized = [s["name"] for s in inits if not s["ready"]] if not view.has_begun_apps else []
    attached = view.observed.attached_sandbox
    has_sandbox = view.sandbox is not None and (
        bool(view.spec.get("hostNetwork"))
        or attached == view.sandbox.id
        # taken over from an agent that was here before, with the address it had: nothing has changed for the pod
        or (attached == MAYBE_ATTACHED and bool(view.observed.pod_ip))
    )
    entries = [dict(entry) for entry in view.previous.get("conditions") or ()]

    def put(type_: str, missing: list[str], reason: str, words: str) -> None:
        nonlocal entries
        if done:
            state, why, message = ("True" if type_ == "Initialized" else "False"), "PodCompleted", ""
        elif missing:
            state, why, message = "False", reason, f"{words}: [{' '.join(missing)}]"
        else:
            state, why, message = "True", "", ""
        entries = set_condition(entries, type_, state, reason=why, message=message, now=view.now)

    ready_to_start = "True" if has_sandbox else "False"
    entries = set_condition(entries, "PodReadyToStartContainers", ready_to_start, now=view.now)
    put("Initialized", uninitialized, "ContainersNotInitialized", "containers with incomplete status")
    if phase == "Failed" and not done:
        for type_ in ("Ready", "ContainersReady"):
            entries = set_condition(entries, type_, "False", reason="PodFailed", now=view.now)
    else:
        gates = [
            gate["conditionType"]
            for gate in view.spec.get("readinessGates") or ()
            if not any(e["type"] == gate["conditionType"] and e["status"] == "True" for e in entries)
        ]
        put("ContainersReady", unready, "ContainersNotReady", "containers with unready status")
        if gates and not unready:
            put("Ready", gates, "ReadinessGatesNotReady", "conditions that are not True")
        else:
            put("Ready", unready, "ContainersNotReady", "containers with unready status")
    return set_condition(entries, "PodScheduled", "True", now=view.now)
