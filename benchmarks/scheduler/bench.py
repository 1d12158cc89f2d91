"""How many placement decisions a second, and how long does one take?

    python benchmarks/scheduler/bench.py [--json]

Pure decisions at 1,000 and 5,000 nodes: parse the pod, plan, count it on the snapshot. Three mixes: pods of few
workloads, each pod a workload of its own with other requests and node selectors, and pods that fit nowhere.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

from iacorch.scheduler.plan import Placement, plan
from iacorch.scheduler.pod import pod_info
from iacorch.scheduler.snapshot import Snapshot

Row = tuple[str, float, str, float | None]
DECISIONS = 10_000
GOAL_PER_SECOND = 5_000.0


def cluster(nodes: int) -> Snapshot:
    """Nodes of three sizes in three zones, one in ten tainted."""
    made = Snapshot()
    for number in range(nodes):
        size = (8, 16, 32)[number % 3]
        taints = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}] if number % 10 == 0 else []
        made.set_node(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": f"node-{number}",
                    "labels": {"kubernetes.io/hostname": f"node-{number}", "zone": f"z{number % 3}"},
                },
                "spec": {"taints": taints},
                "status": {
                    "allocatable": {"cpu": str(size), "memory": f"{size * 4}Gi", "pods": "250"},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }
        )
    return made


def pod(number: int, mix: str) -> dict[str, Any]:
    """A pod of one of ten workloads (`few`), of its own (`own`), or too large for any node (`huge`)."""
    workload = number if mix == "own" else number % 10
    cpu = {"few": "100m", "own": f"{50 + workload % 200}m", "huge": "64"}[mix]
    spec: dict[str, Any] = {
        "containers": [{"name": "main", "image": "image", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]
    }
    if mix == "own" and workload % 2:
        spec["nodeSelector"] = {"zone": f"z{workload % 3}"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"w{workload}", "uid": f"w{workload}"}
    return {
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "default",
            "uid": f"uid-{number}",
            "ownerReferences": [owner | {"controller": True}],
        },
        "spec": spec,
    }


def decide(nodes: int, mix: str, decisions: int) -> list[float]:
    """Seconds of each decision, with parsing and counting."""
    snapshot = cluster(nodes)
    pods = [pod(number, mix) for number in range(decisions)]
    took: list[float] = []
    for obj in pods:
        began = time.perf_counter()
        info = pod_info(obj)
        verdict = plan(info, snapshot)
        if isinstance(verdict, Placement):
            snapshot.place(info, verdict.node)
        took.append(time.perf_counter() - began)
    return took


def rows() -> Iterator[Row]:
    for nodes, mix, goal in (
        (1_000, "few", GOAL_PER_SECOND),
        (1_000, "own", GOAL_PER_SECOND),
        (5_000, "few", None),
        (1_000, "huge", None),
    ):
        took = decide(nodes, mix, DECISIONS if mix != "huge" else 200)
        what = {"few": "ten workloads", "own": "each pod its own workload", "huge": "fits nowhere"}[mix]
        yield f"placement decisions, {nodes:,} nodes, {what}", len(took) / sum(took), "1/s", goal
        yield f"median of one, {nodes:,} nodes, {what}", statistics.median(took) * 1e6, "us", None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    for name, value, unit, goal in rows():
        if asked.json:
            print(json.dumps({"name": name, "value": round(value, 1), "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:<62} {value:>12,.1f} {unit:<6} {f'goal {goal:g}' if goal else ''}", flush=True)


if __name__ == "__main__":
    main()
