"""Is anything lost that the server acknowledged, when it is killed under load?

    python benchmarks/crash/bench.py [--json] [--kills N]

Kills `iacorchd` with SIGKILL while 16 clients create, update and delete config maps, each time after another random
number of acknowledged writes, and starts it again on the same directory, so many times. Rows: kills, writes
acknowledged, writes lost (what was acknowledged as created or updated is missing or old, or what was acknowledged as
deleted is there), time from start to serving.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from iacorch.api.catalogue import CONFIG_MAP
from iacorch.client.config import read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.errors import ApiError

CLIENTS = 16
MOST_WRITES = 400
"""Acknowledged before a kill."""

Row = tuple[str, float, str, float | None]
Wanted = dict[str, int | None]
"""Name -> the last acknowledged generation of its data, None for deleted. What is in flight has no entry."""


def start(folder: Path) -> tuple[subprocess.Popen[bytes], float]:
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as out:
        command = [sys.executable, "-m", "iacorch.daemons.controlplane", "--data-dir", str(folder / "data")]
        process = subprocess.Popen([*command, "--listen", "127.0.0.1:0", "--no-controllers"], stdout=out, stderr=out)
    while b"event=serving" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() - began > 60:
            process.kill()
            sys.exit(f"iacorchd did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return process, time.monotonic() - began


def config_map(name: str, generation: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"n": str(generation), "k": "v" * 300}}


async def work(client: HttpClient, round_: int, number: int, acknowledged: Wanted, count: Callable[[], None]) -> None:
    """Create, update and delete until nobody answers; `count` what is acknowledged."""
    index = 0
    while True:
        name = f"m-{round_}-{number}-{index}"
        index += 1
        try:
            for generation in range(3):
                acknowledged.pop(name, None)
                if generation == 0:
                    await client.create(CONFIG_MAP, config_map(name, 0))
                else:
                    await client.update(CONFIG_MAP, config_map(name, generation))
                acknowledged[name] = generation
                count()
            if index % 2:
                del acknowledged[name]
                await client.delete(CONFIG_MAP, "default", name)
                acknowledged[name] = None
                count()
        except ApiError:
            return


async def load_and_kill(folder: Path, process: subprocess.Popen[bytes], round_: int, after: int) -> tuple[Wanted, int]:
    acknowledged: Wanted = {}
    writes = 0

    def count() -> None:
        nonlocal writes
        writes += 1
        if writes == after:
            process.kill()

    async with HttpClient(read_kubeconfig(folder / "data" / "admin.kubeconfig")) as client:
        workers = (work(client, round_, number, acknowledged, count) for number in range(CLIENTS))
        await asyncio.gather(*workers)
    process.kill()
    process.wait()
    return acknowledged, writes


async def lost(folder: Path, acknowledged: Wanted) -> list[str]:
    async with HttpClient(read_kubeconfig(folder / "data" / "admin.kubeconfig")) as client:
        listed = await client.list(CONFIG_MAP, "default")
    found = {obj["metadata"]["name"]: int(obj["data"]["n"]) for obj in listed.items}
    return [name for name, generation in acknowledged.items() if found.get(name) != generation]


def measure(kills: int, seed: int) -> Iterator[Row]:
    moments = random.Random(seed)
    started: list[float] = []
    writes, missing = 0, []
    with tempfile.TemporaryDirectory() as temporary:
        folder, everything = Path(temporary), {}
        process, _ = start(folder)
        try:
            for round_ in range(kills):
                after = moments.randint(1, MOST_WRITES)
                acknowledged, count = asyncio.run(load_and_kill(folder, process, round_, after))
                everything |= acknowledged
                writes += count
                process, seconds = start(folder)
                started.append(seconds)
                missing = asyncio.run(lost(folder, everything))
                if missing:
                    print(f"lost after kill {round_} (seed {seed}): {missing[:5]}", file=sys.stderr)
                    break
        finally:
            process.kill()
            process.wait()
    yield ("kills -9 under load", len(started), "kills", None)
    yield ("writes acknowledged in between", writes, "writes", None)
    yield ("acknowledged writes that were lost", len(missing), "writes", 0)
    yield ("from start to serving after a kill, median", statistics.median(started) * 1000, "ms", None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    for name, value, unit, goal in measure(arguments.kills, arguments.seed):
        if arguments.json:
            print(json.dumps({"name": name, "value": round(value, 1), "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:55} {value:10.0f} {unit}" + (f" goal {goal:g}" if goal is not None else ""), flush=True)


if __name__ == "__main__":
    main()
