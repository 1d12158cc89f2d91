"""How long does the provisioner take to decide?

    python benchmarks/provision/bench.py [--json]

1,000 nodes that are nearly full (30 pods each) and 5,000 pods that wait, of 1, 50 and 5,000 different shapes, against
three pools with 60 offerings each; the goal is for a whole decision: the snapshot built anew from parsed pods, and
everything decided. Processor time, as a decision does nothing but compute. Then the consolidation of 1,000 machines of
which each could go, and what one more node costs fleets of two sizes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from iacorch.kit.virtual import run_virtual
from iacorch.provision.decisions import disruption
from iacorch.provision.decisions.guard import Guard
from iacorch.provision.decisions.sizing import Supply, size
from iacorch.provision.decisions.virtual import build
from iacorch.provision.pools.amounts import Amounts
from iacorch.provision.pools.claim import claim_of, held, new_claim
from iacorch.provision.pools.money import Spending
from iacorch.provision.pools.offers import Offer
from iacorch.provision.pools.pool import Pool, pool_of
from iacorch.scheduler.pod import PodInfo, pod_info
from iacorch.sim.pools import PoolWorld, opened

NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
NODES, PODS_A_NODE, WAITING = 1_000, 30, 5_000
GOAL_SECONDS = 5.0
MACHINES = (3, 60)


def pod(name: str, milli: int, mebi: int) -> PodInfo:
    container = {"name": "c", "resources": {"requests": {"cpu": f"{milli}m", "memory": f"{mebi}Mi"}}}
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": f"rs-{milli}-{mebi}", "controller": True}
    metadata = {"name": name, "namespace": "default", "uid": name, "ownerReferences": [owner]}
    return pod_info({"metadata": metadata, "spec": {"containers": [container]}})


def node(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"node-{number}", "labels": {"kubernetes.io/hostname": f"node-{number}"}},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def supplies() -> list[Supply]:
    offers = [
        Offer(
            "class",
            f"{family}{cpu}",
            {"cpu": str(cpu), "memory": f"{cpu * ratio}Gi", "pods": "110"},
            zone=zone,
            capacity_type=kind,
            price=cpu * (40_000 + ratio * 2_500) // (3 if kind == "spot" else 1),
        )
        for family, ratio in (("c", 2), ("m", 4), ("r", 8))
        for cpu in (2, 4, 8, 16, 32)
        for zone in ("a", "b")
        for kind in ("spot", "on-demand")
    ]
    spending = Spending("2026-11", 0, NOW)
    ordered = tuple(sorted(offers, key=lambda offer: offer.rank))
    return [Supply(pool(number), ordered, Amounts(), spending) for number in range(3)]


def pool(weight: int) -> Pool:
    spec = {"classRef": {"name": "class"}, "weight": weight}
    return pool_of({"metadata": {"name": f"pool{weight}", "uid": f"u{weight}"}, "spec": spec})


def rows() -> Iterator[dict[str, Any]]:
    nodes = [node(number) for number in range(NODES)]
    placed = [(pod(f"on-{n}-{p}", 250, 1000), f"node-{n}") for n in range(NODES) for p in range(PODS_A_NODE)]
    for shapes in (1, 50, WAITING):
        waiting = [
            pod(f"waits-{n}", 500 + 7 * (n % shapes) % 3_500, 512 + (13 * (n % shapes)) % 8_000) for n in range(WAITING)
        ]
        began = time.process_time()
        cluster = build(nodes, placed, [])
        sizing = size(cluster, waiting, supplies(), taken=(), now=NOW)
        seconds = time.process_time() - began
        what = f"decide {WAITING:,} pods of {shapes:,} shapes at {NODES:,} nodes"
        yield {"name": what, "value": seconds, "unit": "s", "goal": GOAL_SECONDS}
        yield {"name": f"... machines asked for ({shapes:,} shapes)", "value": len(sizing.wanted), "unit": "machines"}


def consolidation() -> dict[str, Any]:
    """1,000 machines, a third used: each could go, and most of the pods have to be shown to the scheduler again."""
    own = pool_of(
        {
            "metadata": {"name": "pool", "uid": "u"},
            "spec": {"classRef": {"name": "class"}, "disruption": {"budgets": [{"machines": "100%"}]}},
        }
    )
    offer = Offer("class", "m", {"cpu": "8", "memory": "32Gi", "pods": "110"}, price=400_000)
    claims, pods = [], {}
    since = "2026-11-16T10:00:00Z"
    for number in range(NODES):
        obj = new_claim(own, offer, f"node-{number}", hash_="", requests={})
        states = ("Launched", "Registered", "Initialized", "Ready")
        obj["metadata"] |= {"uid": f"u-{number}", "creationTimestamp": since}
        obj["status"] = {
            "nodeName": f"node-{number}",
            "conditions": [{"type": state, "status": "True", "lastTransitionTime": since} for state in states],
        }
        claims.append(claim_of(obj))
        pods[f"node-{number}"] = tuple(pod(f"on-{number}-{p}", 250, 1000) for p in range(10))
    nodes = {f"node-{number}": node(number) for number in range(NODES)}
    placed = [(info, name) for name, infos in pods.items() for info in infos]
    began = time.process_time()
    fleet = disruption.Fleet(
        tuple(claims),
        {own.name: Supply(own, (offer,), held(claims), Spending("2026-11", 0, NOW))},
        nodes,
        pods,
        build(nodes.values(), placed, claims),
        Guard(),
    )
    gone = len(disruption.plan(fleet, now=NOW))
    seconds = time.process_time() - began
    what = f"look for machines to give back among {NODES:,} ({gone} found)"
    return {"name": what, "value": seconds, "unit": "s", "goal": GOAL_SECONDS}


def one_more(machines: int) -> Iterator[dict[str, Any]]:
    """What is done for one more machine beside so many: in the simulation, everything real but the cloud."""

    async def grow() -> tuple[float, int, float]:
        async with opened(1, Path(folder)) as world:
            await world.create_class()
            zone = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["general.small"]}
            await world.create_pool(requirements=[zone], disruption={"consolidationPolicy": "Never"})
            await world.deploy("web", machines, cpu="1500m")
            await world.until(lambda: _all(world, machines), seconds=3600, what="the fleet is there")
            await world.calm(seconds=120)
            calls, began = world.line.calls, time.process_time()
            await world.scale("web", machines + 1)
            seconds = await world.until(lambda: _all(world, machines + 1), seconds=600, what="one more")
            return seconds, world.line.calls - calls, time.process_time() - began

    with tempfile.TemporaryDirectory(prefix="iacorch-provision-") as folder:
        seconds, calls, cpu = run_virtual(grow())
    yield {"name": f"one more node at {machines}: until its pod runs (virtual)", "value": seconds, "unit": "s"}
    yield {"name": f"one more node at {machines}: writes and cloud calls", "value": calls, "unit": "calls"}
    yield {"name": f"one more node at {machines}: processor time of the whole world", "value": cpu, "unit": "s"}


async def _all(world: PoolWorld, count: int) -> bool:
    return await world.running("web") == count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument(
        "--machines", type=int, nargs="*", default=MACHINES, help="Fleets to add one node to; 300 take minutes."
    )
    options = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    every = chain(rows(), [consolidation()], *(one_more(machines) for machines in options.machines))
    for row in ({"goal": None, **row} for row in every):
        print(json.dumps(row) if options.json else f"{row['name']:<60} {row['value']:>10.2f} {row['unit']}", flush=True)


if __name__ == "__main__":
    main()
