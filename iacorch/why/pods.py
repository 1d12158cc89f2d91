"""Why a pod does not run, or is not ready: one finding a pod, the first thing that is wrong with it. Pure.

In: a `World`. Out: findings. Called by `explain`.

| observed                                             | it says                                        |
|------------------------------------------------------|------------------------------------------------|
| its node is gone, silent, without a runtime          | nothing: the node's finding does               |
| deleted, and still there long after its grace        | which finalizers, or that its agent is silent  |
| no node                                              | the scheduler's reasons (`scheduling`)         |
| a container waits for its image                      | `images`                                       |
| ... for a ConfigMap, Secret, volume, sandbox         | which is missing; near names                   |
| ... after a crash                                    | how it ended, its last lines, its probes       |
| runs, and a probe fails                              | what the probe said                            |
| failed for good                                      | how                                            |
| fine now, and has crashed lately                     | a remark                                       |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339
from iacorch.kit.text import listed
from iacorch.why import images, scheduling
from iacorch.why.model import Finding, Rank, Step, World, in_namespace, is_over, is_ready, label, statuses
from iacorch.why.nodes import is_lost

_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_STARTING: Final = ("", "ContainerCreating", "PodInitializing")
_NO_COMMAND: Final = re.compile(r'exec: "([^"]+)": (?:executable file not found|stat|no such file)')
_NO_KEY: Final = re.compile(r"find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) \S+/(?P<name>[^\s;]+)")
_ENDS: Final = {
    126: "its command is there and cannot be executed",
    127: "its command is not there: see command and args, and what the image has",
    134: "it aborted",
    137: "it was killed (SIGKILL), by hand, or for too much memory",
    139: "it crashed: it used memory that is not its own",
    143: "it was asked to end (SIGTERM)",
}


def findings(world: World) -> Iterator[Finding]:
    running = {c.get("image", "") for pod in world.pods if is_ready(pod) for c, _, _ in statuses(pod)}
    for pod in world.pods:
        found = _one(pod, world, running)
        if found is not None:
            yield found


def _one(pod: Object, world: World, running: set[str]) -> Finding | None:
    spec, status = objects.spec(pod), objects.status(pod)
    node = str(spec.get("nodeName") or "")
    if objects.is_deleting(pod):
        return _stuck(pod, world)
    if status.get("phase") == "Succeeded":
        return None
    if not node:
        if not world.nodes:
            return None  # said once, of the cluster
        cause, evidence, steps = scheduling.cause(pod, world)
        return _finding(pod, world, cause, evidence, steps)
    if world.nodes and is_lost(world.node(node)):
        return None
    if status.get("phase") == "Failed":
        return _failed(pod, world)
    for container, told, is_init in statuses(pod):
        state = told.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason in _IMAGE:
            image, message = str(container.get("image", "")), str(waiting.get("message") or "")
            cause, steps = images.cause(image, reason, message, running)
            return _finding(pod, world, cause, (message,), (*steps, *_undo(pod, world)))
        if reason == "CrashLoopBackOff" or (is_init and (state.get("terminated") or {}).get("exitCode")):
            return _crashing(pod, world, container, told, is_init=is_init)
        if reason not in _STARTING or (reason and waiting.get("message")):
            return _held(pod, world, str(container.get("name")), reason, str(waiting.get("message") or ""))
        if is_init and "terminated" not in state:
            break  # the others wait for this one
    if is_ready(pod):
        return _remark(pod, world)
    return _unready(pod, world)


def _finding(
    pod: Object, world: World, cause: str, evidence: tuple[str, ...] = (), steps: tuple[Step, ...] = (),
    rank: Rank = Rank.POD,
) -> Finding:  # fmt: skip
    kind, name = world.owner_of(pod)
    group = f"{kind} {objects.join_key(objects.namespace(pod), name)}" if name else label(pod, "Pod")
    told = tuple(words for words in evidence if words and words.removeprefix("Error: ") not in cause)
    return Finding(rank, cause, (label(pod, "Pod"),), told, steps, group=group)


def _stuck(pod: Object, world: World) -> Finding | None:
    """Deleted, and past its grace for longer than an agent needs."""
    asked = objects.deletion_timestamp(pod)
    if asked is None or world.now < asked + timedelta(seconds=limits.WHY_PATIENCE_SECONDS):
        return None
    name = objects.name(pod)
    if finalizers := objects.finalizers(pod):
        words = f"it is deleted and does not go: its finalizers {listed(finalizers)} are for somebody else to take away"
        return _finding(pod, world, words, steps=(Step(f"kubectl {in_namespace(pod)}get pod {name} -o yaml"),))
    node = str(objects.spec(pod).get("nodeName") or "")
    if node and is_lost(world.node(node)):
        return None
    return _finding(
        pod, world, "it is deleted, and its containers do not end",
        tuple(str(e.get("message")) for e in world.warnings(pod)[:2]),
        (Step(f"kubectl {in_namespace(pod)}describe pod {name}", "its events"),
         Step("iacorch drift --layer node", "is its node's Docker well?")),
    )  # fmt: skip


def _failed(pod: Object, world: World) -> Finding:
    status = objects.status(pod)
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    ended = next(
        ((c, t["state"]["terminated"]) for c, t, _ in statuses(pod)
         if (t.get("state") or {}).get("terminated", {}).get("exitCode")), None,
    )  # fmt: skip
    if ended is not None and not reason:
        container, how = ended
        name = str(container["name"])
        return _finding(
            pod, world, f"container {name} ended, and its restartPolicy starts it no more: {_how(container, how)}",
            _last_lines(pod, world, name), (Step(_logs(pod, name)),),
        )  # fmt: skip
    return _finding(pod, world, f"it has failed: {message or reason or 'it gives no reason'}",
                    steps=(Step(f"kubectl {in_namespace(pod)}describe pod {objects.name(pod)}"),))  # fmt: skip


def _crashing(pod: Object, world: World, container: dict[str, Any], told: dict[str, Any], *, is_init: bool) -> Finding:
    name = str(container.get("name"))
    how = (told.get("state") or {}).get("terminated") or (told.get("lastState") or {}).get("terminated") or {}
    what = f"init container {name}" if is_init else f"container {name}"
    probes = [str(e.get("message", "")) for e in world.warnings(pod, "Unhealthy")]
    killed_by = next((words for words in probes if words.startswith(("Liveness", "Startup"))), "")
    restarts = f"restarted {told.get('restartCount', 0)} times"
    if killed_by and how.get("exitCode") in (0, 137, 143):
        kind = killed_by.partition(" ")[0].lower()
        return _finding(
            pod, world, f"{what} is restarted over and over, since its {kind} probe fails",
            (killed_by, restarts, *_last_lines(pod, world, name)),
            (Step(_logs(pod, name, previous=True)), Step(_edit(pod, world), "if the probe is wrong or too impatient"),
             *_undo(pod, world)),
        )  # fmt: skip
    if how.get("reason") == "StartError":
        return _finding(
            pod, world, f"{what} cannot be started: {_start_error(how)}", (restarts,),
            (Step(_edit(pod, world), "its command and args"), *_undo(pod, world)),
        )  # fmt: skip
    return _finding(
        pod, world, f"{what} crashes: {_how(container, how)}",
        (restarts, *_last_lines(pod, world, name)),
        (*_more_memory(pod, world, container, how),
         Step(_logs(pod, name, previous=True), "what it said before it ended"), *_undo(pod, world)),
    )  # fmt: skip


def _more_memory(pod: Object, world: World, container: dict[str, Any], how: dict[str, Any]) -> tuple[Step, ...]:
    """A higher limit, where the limit ended it and somebody's template can be changed."""
    kind, name = world.owner_of(pod)
    if how.get("reason") != "OOMKilled" or kind not in ("Deployment", "ReplicaSet"):
        return ()
    command = f"kubectl {in_namespace(pod)}set resources {kind.lower()}/{name} -c {container.get('name')}"
    return (Step(f"{command} --limits=memory=...", "if it is to have more"),)


def _how(container: dict[str, Any], how: dict[str, Any]) -> str:
    code, reason = how.get("exitCode"), str(how.get("reason") or "")
    if reason == "OOMKilled":
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        return f"it needs more memory than its limit{f' of {limit}' if limit else ''} (OOMKilled)"
    if reason == "StartError":
        return f"it cannot be started: {_start_error(how)}"
    if code is None:
        return "how it ended is not known"
    meaning = f", {_ENDS[code]}" if code in _ENDS else ""
    if code == 0:
        meaning = ", as if it were done: a container of a service must not end"
    said = f" ({how['message'].strip()})" if how.get("message") else ""
    return f"exit code {code}{meaning}{said}"


def _start_error(how: dict[str, Any]) -> str:
    """What the runtime said, without the names of all that it went through."""
    message = str(how.get("message") or "the runtime gives no reason")
    match = _NO_COMMAND.search(message)
    return f"its image has no command {match[1]!r}" if match is not None else message


def _held(pod: Object, world: World, container: str, reason: str, message: str) -> Finding:
    """It waits for something that is not there, or that the runtime refuses."""
    words = message or reason
    steps = [Step(f"kubectl {in_namespace(pod)}describe pod {objects.name(pod)}", "its events")]
    for kind in ("configmap", "secret"):
        if kind in words.lower() and "not found" in words.lower():
            steps.insert(0, Step(f"kubectl {in_namespace(pod)}get {kind}s", "make the one that is missing"))
    if key := _NO_KEY.search(words):
        command = f"kubectl {in_namespace(pod)}edit {key['kind'].lower()} {key['name']}"
        steps.insert(0, Step(command, f"give it the key {key['key']}, or let the pod ask for one that it has"))
    return _finding(pod, world, f"container {container} cannot start: {words}",
                    tuple(said for e in world.warnings(pod)[:1] if (said := str(e.get("message"))) not in words),
                    tuple(steps))  # fmt: skip


def _unready(pod: Object, world: World) -> Finding | None:
    """Everything runs, or is about to."""
    name, space = objects.name(pod), in_namespace(pod)
    for gate in objects.spec(pod).get("readinessGates") or ():
        if not objects.condition_is(pod, str(gate.get("conditionType"))):
            words = f"its readiness gate {gate.get('conditionType')} is not met; whoever sets that condition has not"
            return _finding(pod, world, words, steps=(Step(f"kubectl {space}get pod {name} -o yaml"),))
    unready = [(c, t) for c, t, is_init in statuses(pod) if not is_init and not t.get("ready")]
    failing = world.warnings(pod, "Unhealthy")
    if failing and any("running" in (t.get("state") or {}) for _, t in unready):
        said = str(failing[0].get("message", ""))
        container = str(unready[0][0].get("name"))
        return _finding(
            pod, world, f"{container} runs and is not ready: its {said.partition(' ')[0].lower()} probe fails",
            (said,), (Step(_logs(pod, container), "what it says itself"),
                      Step(_edit(pod, world), "if the probe asks the wrong port or path")),
        )  # fmt: skip
    began = objects.moment((objects.condition(pod, "PodScheduled") or {}).get("lastTransitionTime"))
    if began is not None and world.now < began + timedelta(seconds=limits.WHY_PATIENCE_SECONDS):
        return None  # it is on its way
    where = str(objects.spec(pod).get("nodeName"))
    waits = [str(c.get("name")) for c, t in unready if "running" not in (t.get("state") or {})]
    if waits:
        return _finding(pod, world, f"{listed(waits)} does not start, and its agent gives no reason",
                        (f"on {where} since {began}",) if began else (),
                        (Step(f"kubectl {space}describe pod {name}"), Step(f"iacorch why node/{where}")))  # fmt: skip
    return _finding(pod, world, "it runs and is not ready, and no probe has said why",
                    steps=(Step(f"kubectl {space}describe pod {name}"),))  # fmt: skip


def _remark(pod: Object, world: World) -> Finding | None:
    """Ready now, after crashes that are not long ago."""
    for container, told, is_init in statuses(pod):
        how = (told.get("lastState") or {}).get("terminated") or {}
        ended = how.get("finishedAt")
        if is_init or int(told.get("restartCount") or 0) < limits.WHY_RESTARTS or not ended or not how.get("exitCode"):
            continue
        if world.now - parse_rfc3339(str(ended)) < timedelta(seconds=limits.WHY_LATELY_SECONDS):
            name = str(container.get("name"))
            return _finding(
                pod, world, f"container {name} runs, and has crashed before: {_how(container, how)}",
                (f"restarted {told['restartCount']} times, last at {ended}",),
                (Step(_logs(pod, name, previous=True)),), Rank.REMARK,
            )  # fmt: skip
    return None


def _last_lines(pod: Object, world: World, container: str) -> tuple[str, ...]:
    text = world.logs.get(f"{objects.key(pod)}/{container}", "")
    return tuple(f"log: {line}" for line in text.splitlines() if line.strip())[-limits.WHY_LOG_LINES :]


def _logs(pod: Object, container: str, *, previous: bool = False) -> str:
    many = f" -c {container}" if len(objects.spec(pod).get("containers") or ()) > 1 else ""
    return f"kubectl {in_namespace(pod)}logs {objects.name(pod)}{many}{' --previous' if previous else ''}"


def _edit(pod: Object, world: World) -> str:
    kind, name = world.owner_of(pod)
    if kind:
        return f"kubectl {in_namespace(pod)}edit {kind.lower()}/{name}"
    # the containers of a pod without an owner cannot be changed: it is made anew
    return f"kubectl {in_namespace(pod)}get pod {objects.name(pod)} -o yaml > pod.yaml"


def _undo(pod: Object, world: World) -> tuple[Step, ...]:
    """Going back, where another revision of its Deployment has pods that are ready."""
    kind, name = world.owner_of(pod)
    mine = (objects.controller_of(pod) or {}).get("uid")
    if kind != "Deployment":
        return ()
    for other in world.pods:
        above = objects.controller_of(other) or {}
        if (
            world.owner_of(other) == (kind, name)
            and above.get("uid") != mine
            and is_ready(other)
            and not is_over(other)
        ):
            command = f"kubectl {in_namespace(pod)}rollout undo deployment/{name}"
            return (Step(command, "back to what still runs"),)
    return ()
