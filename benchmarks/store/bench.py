"""How many durable writes a second does the store take, and how does the group commit grow with the load?

    python benchmarks/store/bench.py [--json]

Rows: creates a second with 1, 32 and 256 writers waiting for their acknowledgement, on a temporary directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from iacorch.store.sqlite import SqliteStore

VALUE = b"x" * 1_500
SECONDS = 2.0


async def creates_per_second(folder: Path, writers: int) -> float:
    store = await SqliteStore.open(folder / f"{writers}.db")
    end = time.perf_counter() + SECONDS

    async def write(number: int) -> int:
        index = 0
        while time.perf_counter() < end:
            await store.create(b"/%d/%d" % (number, index), VALUE)
            index += 1
        return index

    began = time.perf_counter()
    total = sum(await asyncio.gather(*(write(number) for number in range(writers))))
    seconds = time.perf_counter() - began
    await store.close()
    return total / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    as_json = parser.parse_args().json
    for writers in (1, 32, 256):
        with tempfile.TemporaryDirectory() as folder:
            value = asyncio.run(creates_per_second(Path(folder), writers))
        name = f"durable creates in the store, {writers} writer{'s' if writers > 1 else ''}"
        if as_json:
            print(json.dumps({"name": name, "value": round(value, 1), "unit": "1/s", "goal": None}), flush=True)
        else:
            print(f"{name:55} {value:10.0f} 1/s", flush=True)


if __name__ == "__main__":
    main()
