"""Pools on the fleet that `make up` made: grow, mend, shrink, with real machines (containers) and a real provisioner.

    python benchmarks/provision/live.py [--json] [--keep] [--replace]

Needs a running fleet of the stack `local` and its Docker Engine. Makes a class, a pool and a deployment of its own,
runs `iacorch provisioner` beside them, and removes everything afterwards, also when it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KUBECONFIG = ROOT / ".iacorch" / "kubeconfig"
STACK = os.environ.get("STACK", "local")
IMAGE = "iacorch/pause:1"
"""Every node brings it along."""
PATIENCE_SECONDS = 1_500.0


def run(*command: str, given: str = "") -> str:
    environment = os.environ | {
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(ROOT / ".iacorch" / "passphrase"),
        "PULUMI_BACKEND_URL": f"file://{ROOT}/.iacorch/state",
        "IACORCH_ENGINE": os.environ.get("IACORCH_ENGINE", "builtin"),
        "PATH": f"{ROOT}/.tools/bin:{ROOT}/.venv/bin:{os.environ['PATH']}",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def get(kind: str, *more: str) -> list[dict[str, Any]]:
    found = json.loads(run("kubectl", "get", kind, "-o", "json", *more))
    return list(found["items"])


def is_true(obj: dict[str, Any], condition: str) -> bool:
    return any(
        c["type"] == condition and c["status"] == "True" for c in (obj.get("status") or {}).get("conditions") or ()
    )


def running() -> int:
    pods = get("pods", "-l", "app=burst-live")
    return sum(is_true(pod, "Ready") and "deletionTimestamp" not in pod["metadata"] for pod in pods)


def until(holds: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE_SECONDS:
            state = run("kubectl", "get", "nodeclaims,nodepools,nodes,pods", "-o", "wide")
            events = run("kubectl", "get", "events", "--sort-by=.lastTimestamp")
            sys.exit(f"after {PATIENCE_SECONDS:.0f} s still not: {what}\n{state}\n{events[-4000:]}")
        time.sleep(0.5)
    return time.monotonic() - began


def deployment(replicas: int) -> str:
    labels = {"app": "burst-live"}
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "1500m"}},
    }
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "burst-live"}, "spec": spec}
    return json.dumps(body)


def machine() -> str:
    """The container of the pool's one machine."""
    (claim,) = get("nodeclaims")
    return str(claim["status"]["machineID"])


def story(*, replace: bool) -> Iterator[tuple[str, float]]:
    workers = len(get("nodes"))
    network = run("iacorch", "stack", "output", "network", "--stack", STACK).strip()
    pool = (ROOT / "examples" / "pools" / "pool.yaml").read_text().replace("NETWORK", network)
    run("kubectl", "apply", "-f", "-", given=pool)
    run("kubectl", "apply", "-f", "-", given=deployment(workers))
    until(lambda: running() == workers, "the nodes that are there are full")

    run("kubectl", "scale", "deployment/burst-live", f"--replicas={workers + 1}")
    began = time.monotonic()
    yield "a pod too many to a claim", until(lambda: len(get("nodeclaims")) == 1, "a claim is made")
    until(lambda: any(is_true(claim, "Ready") for claim in get("nodeclaims")), "the claim is Ready")
    yield "a pod too many to a Ready machine", time.monotonic() - began
    until(lambda: running() == workers + 1, "every pod runs")
    yield "a pod too many to all pods running", time.monotonic() - began

    run("docker", "kill", machine())
    began = time.monotonic()
    until(lambda: any(is_true(claim, "Repairing") for claim in get("nodeclaims")), "the repair was decided")
    yield "machine killed to its repair decided", time.monotonic() - began
    until(lambda: any(is_true(claim, "Ready") for claim in get("nodeclaims")), "the machine is mended")
    until(lambda: running() == workers + 1, "every pod runs again")
    yield "machine killed to mended and all pods running", time.monotonic() - began

    if replace:
        run("docker", "rm", "-f", before := machine())
        began = time.monotonic()
        until(
            lambda: any(is_true(c, "Ready") and c["status"].get("machineID") != before for c in get("nodeclaims")),
            "another machine took its place",
        )
        until(lambda: running() == workers + 1, "every pod runs once more")
        yield "machine removed to another in its place and all pods running", time.monotonic() - began

    run("kubectl", "scale", "deployment/burst-live", f"--replicas={workers}")
    began = time.monotonic()
    until(lambda: not get("nodeclaims"), "the machine was given back")
    until(lambda: running() == workers, "the pods run on what was there")
    yield "scaled down to the machine given back", time.monotonic() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--keep", action="store_true", help="Leave the pool and its machines.")
    arguments.add_argument("--replace", action="store_true", help="Also remove the machine, and see it replaced.")
    options = arguments.parse_args()
    logs = ROOT / ".iacorch" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(ROOT / ".iacorch" / "passphrase"),
        "PULUMI_BACKEND_URL": f"file://{ROOT}/.iacorch/state",
        "IACORCH_ENGINE": os.environ.get("IACORCH_ENGINE", "builtin"),
        "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
    }
    with (logs / "provisioner.log").open("w") as log:
        command = [str(ROOT / ".venv" / "bin" / "iacorch"), "provisioner", "--stack", STACK, "--parallel", "2"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)
        try:
            for name, seconds in story(replace=options.replace):
                row = {"name": name, "value": seconds, "unit": "s", "goal": None}
                print(json.dumps(row) if options.json else f"{name:<64} {seconds:8.1f} s", flush=True)
        finally:
            if not options.keep:
                run("kubectl", "delete", "deployment/burst-live", "--ignore-not-found")
                run("kubectl", "delete", "nodepools", "--all", "--wait=false")
                run("kubectl", "delete", "nodeclaims", "--all", "--wait=false")
                until(lambda: not get("nodeclaims"), "every machine is gone")
                run("kubectl", "delete", "machineclasses", "--all")
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
