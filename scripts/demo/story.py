"""What happens in the demo, step by step. Each step does something to the fleet and waits for what iacorch promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fleet import ROOT, Fleet, NotHappened, condition, keep, wait_for
from traffic import Traffic

#: Promises, in seconds. The work of a slow machine is in them; the measured times are printed.
SCALED = 60
RESTARTED = 10
MOVED = 30
BACK = 90
ROLLED = 180
STALLED = 120
MENDED = 240


def scale(fleet: Fleet) -> None:
    fleet.kubectl("scale", "deployment/web", "--replicas=6")
    wait_for("six pods ready", lambda: len(fleet.ready_pods()) == 6, within_seconds=SCALED)
    wait_for("six endpoints", lambda: len(fleet.endpoints()) == 6, within_seconds=5)


def kill_container(fleet: Fleet) -> None:
    pod = fleet.ready_pods()[0]
    name, node, before = pod["metadata"]["name"], pod["spec"]["nodeName"], restarts(pod)
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    fleet.in_machine(node, "docker", "kill", container[:12])
    killed = time.monotonic()

    def running_again() -> bool:
        now = fleet.get("pod", name)
        return restarts(now) > before and "running" in now["status"]["containerStatuses"][0]["state"]

    wait_for(f"{name} runs again", running_again, within_seconds=RESTARTED)
    keep("killed container runs again", time.monotonic() - killed, goal=2)
    wait_for("and is ready", lambda: name in fleet.endpoints(), within_seconds=RESTARTED)


def kill_node(fleet: Fleet) -> None:
    victim = max(fleet.machines)
    lost = {pod["metadata"]["name"] for pod in fleet.web_pods() if pod["spec"].get("nodeName") == victim}
    redis = fleet.get("pods", "-l", "app.kubernetes.io/name=redis")["items"][0]
    print(f"   {victim} runs {len(lost)} of the web pods" + (" and Redis" if on(redis, victim) else ""), flush=True)
    with Traffic(fleet.address) as traffic:
        fleet.docker("kill", fleet.machine(victim))
        killed = time.monotonic()
        wait_for("its pods left the Service", lambda: not (fleet.endpoints() & lost), within_seconds=MOVED)

        def moved() -> bool:
            ready = fleet.ready_pods()
            return len(ready) == 6 and not any(on(pod, victim) for pod in ready)

        wait_for("six pods ready elsewhere", moved, within_seconds=MOVED)
        keep("pods of a killed node run elsewhere", time.monotonic() - killed, goal=15)
        before = traffic.answered
        wait_for("traffic goes on", lambda: traffic.answered > before + 50, within_seconds=10)
    print(f"   meanwhile {traffic}", flush=True)
    print(why_some_failed(traffic, killed, victim), flush=True)
    if condition(fleet.get("node", victim), "Ready") == "True":
        raise NotHappened(f"{victim} is dead and still called Ready")


def why_some_failed(traffic: Traffic, killed: float, victim: str) -> str:
    """The power of a machine was cut: what was in it is gone, and its neighbours need a moment to notice."""
    failed = len(traffic.failures)
    if not failed:
        return "   none was lost: whoever was answered by the dead pods was led to others at the next attempt"
    noticed = max(0.0, traffic.last_failure - killed)
    return (
        f"   why {failed} failed: they were being answered by pods on {victim} when its power was cut, or were led\n"
        f"   there before the other nodes noticed its silence; the last {noticed:.1f} s after the kill, none since.\n"
        "   A client that asks again is served."
    )


def bring_node_back(fleet: Fleet) -> None:
    victim = max(fleet.machines)
    fleet.docker("start", fleet.machine(victim))
    wait_for(f"{victim} is Ready", lambda: condition(fleet.get("node", victim), "Ready") == "True", within_seconds=BACK)
    wait_for("six pods ready", lambda: len(fleet.ready_pods()) == 6, within_seconds=SCALED)


def roll_out(fleet: Fleet) -> None:
    image = ("examples/visits", "iacorch/visits:v2", "--build-arg", "VERSION=v2")
    # the label by which `make down` knows what was built for this checkout
    fleet.iacorch("image", "build", *image, "--label", f"dev.iacorch.clone={ROOT}")
    fleet.iacorch("image", "load", "iacorch/visits:v2")
    with Traffic(fleet.address) as traffic:
        fleet.kubectl("set", "image", "deployment/web", "web=iacorch/visits:v2")
        print(indented(fleet.kubectl("rollout", "status", "deployment/web", timeout_seconds=ROLLED)), flush=True)
        wait_for("every answer is v2", lambda: newest(fleet), within_seconds=30)
    versions = ", ".join(f"{version} {count}" for version, count in sorted(traffic.versions.items()))
    print(f"   meanwhile {traffic}; {versions}", flush=True)
    if traffic.failures:
        raise NotHappened(f"{len(traffic.failures)} requests failed during the rollout: {traffic.failures[0]}")


def break_and_undo(fleet: Fleet) -> None:
    with Traffic(fleet.address) as traffic:
        fleet.kubectl("set", "image", "deployment/web", "web=iacorch/visits:broken")

        def stalled() -> str | None:
            for pod in fleet.web_pods():
                for status in pod["status"].get("containerStatuses") or ():
                    reason = str((status["state"].get("waiting") or {}).get("reason", ""))
                    if reason in ("ErrImagePull", "ImagePullBackOff"):
                        return reason
            return None

        reason = wait_for("the rollout stops at its first pod", stalled, within_seconds=STALLED)
        print(f"   because: {reason}; {len(fleet.ready_pods())} old pods keep serving", flush=True)
        if len(fleet.ready_pods()) != 6:
            raise NotHappened("a broken rollout took working pods away")
        fleet.kubectl("rollout", "undo", "deployment/web")
        fleet.kubectl("rollout", "status", "deployment/web", timeout_seconds=ROLLED)
        wait_for("all six are v2 again", lambda: newest(fleet), within_seconds=30)
    print(f"   meanwhile {traffic}", flush=True)
    if traffic.failures:
        raise NotHappened(f"{len(traffic.failures)} requests failed: {traffic.failures[0]}")


def lose_machine(fleet: Fleet) -> None:
    victim = max(fleet.machines)
    fleet.docker("rm", "-f", fleet.machine(victim))
    drift = fleet.iacorch("refresh", "--yes", "--stack", "local")
    if victim not in drift:
        raise NotHappened(f"the refresh does not mention {victim}:\n{drift}")
    print(indented(drift), flush=True)
    began = time.monotonic()
    fleet.iacorch("up", "--yes", "--stack", "local", timeout_seconds=MENDED)
    print(f"   mended: {time.monotonic() - began:.1f} s", flush=True)
    wait_for(f"{victim} is Ready", lambda: condition(fleet.get("node", victim), "Ready") == "True", within_seconds=BACK)


def restarts(pod: dict[str, Any]) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses") or ())


def on(pod: dict[str, Any], node: str) -> bool:
    return bool(pod["spec"].get("nodeName") == node)


def newest(fleet: Fleet) -> bool:
    ready = fleet.ready_pods()
    return len(ready) == 6 and all(pod["spec"]["containers"][0]["image"].endswith(":v2") for pod in ready)


def indented(text: str) -> str:
    """Each line once: a watch says the same again with every change."""
    return "\n".join(f"     {line}" for line in dict.fromkeys(text.splitlines()))


STEPS: Sequence[tuple[str, Callable[[Fleet], None]]] = (
    ("Scale to six", scale),
    ("Kill a container", kill_container),
    ("Kill a whole node under traffic", kill_node),
    ("Bring the node back", bring_node_back),
    ("Roll out a new version under load, with no failed request", roll_out),
    ("Roll out a broken image, see it stop, undo", break_and_undo),
    ("Delete a machine behind iacorch's back, see the drift, mend it", lose_machine),
)
