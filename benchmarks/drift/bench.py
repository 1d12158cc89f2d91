"""Is every drift found, is nothing else touched, and how fast? On fleets in memory, through the code of the real ones.

    python benchmarks/drift/bench.py [--json] [--seeds N]

A change is one of the list in `iacorch.drift.fake.changes`; looking into a host takes 1.2 s of waiting (SSH, systemd,
docker on a busy machine) and as many are looked into at once as with real ones. `live.py` does the same by hand on the
fleet of `make up`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from datetime import UTC, datetime

from iacorch.drift.check import Scope, check, check_and_correct
from iacorch.drift.decisions.memory import Memory
from iacorch.drift.decisions.policy import Policies, Policy, Rule
from iacorch.drift.decisions.windows import Schedule, Window
from iacorch.drift.fake.changes import every_change
from iacorch.drift.fake.world import World
from iacorch.drift.model import Action, Layer
from iacorch.kit import limits
from iacorch.kit.clock import LoopClock, SystemClock
from iacorch.kit.virtual import run_virtual

START = datetime(2026, 1, 1, tzinfo=UTC)
ROUND_TRIP_SECONDS = 1.2
WINDOW = Window(Schedule("0 0 * * *"), 86_400)
POLICIES = Policies((Policy("all", (Rule(Action.CORRECT, replacement="window"),), windows=(WINDOW,)),))


def row(name: str, value: float, unit: str, goal: float | None) -> None:
    if AS_JSON:
        print(json.dumps({"name": name, "value": value, "unit": unit, "goal": goal}), flush=True)
    else:
        print(f"{name:<60} {value:>10.2f} {unit}" + ("" if goal is None else f"   (goal {goal:g})"), flush=True)


async def alone() -> tuple[int, int]:
    """(changes, those of them that were found exactly)"""
    exact = 0
    count = len(every_change(World(LoopClock(START))))
    for number in range(count):
        clock = LoopClock(START)
        world = World(clock)
        change = every_change(world)[number]
        change.apply()
        checked = await check(world, Scope(), POLICIES, Memory(), clock)
        exact += {(d.seen.key, d.seen.verdict) for d in checked.report.shown} == {(change.key, change.verdict)}
    return count, exact


async def together(seed: int) -> dict[str, int]:
    """Many changes at once, checked and corrected for ten rounds."""
    draw = random.Random(seed)
    clock = LoopClock(START)
    world = World(clock)
    changes = every_change(world)
    chosen = {c.key: c for c in draw.sample(changes, draw.randint(10, 120))}
    for change in chosen.values():
        change.apply()
    memory = Memory(salt="s")
    first = await check(world, Scope(), POLICIES, memory, clock)
    found = {d.seen.key for d in first.report.shown}
    for _ in range(10):
        checked = await check_and_correct(world, Scope(), POLICIES, memory, clock, lambda words: None)
        memory = checked.memory
        await clock.sleep(limits.DRIFT_SETTLE_SECONDS)
    return {
        "drifts": len(chosen),
        "missed": len(chosen.keys() - found),
        "too many": len(found - chosen.keys()),
        "wrong corrections": len(world.wrong_corrections),
        "corrected twice": len(world.corrections) - len(set(world.corrections)),
        "left": len(checked.report.shown),
    }


async def at_size(nodes: int, scope: Scope) -> float:
    world = World(SystemClock(), nodes=nodes, latency_seconds=ROUND_TRIP_SECONDS)
    every_change(world)[-1].apply()
    began = time.perf_counter()
    checked = await check(world, scope, Policies(), Memory(), SystemClock())
    assert checked.report.is_drift
    return time.perf_counter() - began


def main() -> None:
    count, exact = run_virtual(alone())
    row("different changes on three layers (200 asked)", count, "changes", None)
    row("found alone, and nothing else", exact, "changes", count)
    totals: dict[str, int] = {}
    for seed in range(ARGUMENTS.seeds):
        for name, value in run_virtual(together(seed)).items():
            totals[name] = totals.get(name, 0) + value
    for name, value in totals.items():
        row(f"{ARGUMENTS.seeds} seeds: {name}", value, "drifts", None if name == "drifts" else 0)
    row("check of 300 machines, all layers", asyncio.run(at_size(300, Scope())), "s", 60)
    row("workload drift of 3 machines", asyncio.run(at_size(3, Scope((Layer.WORKLOAD,)))), "s", 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=50)
    ARGUMENTS = parser.parse_args()
    AS_JSON = ARGUMENTS.json
    main()
