"""Runs every benchmark, prints one table and writes `.iacorch/bench.json`: a list of {name, value, unit, goal}.

    python benchmarks/run.py [QUESTION...]

A question is a folder here with a `bench.py` that understands `--json`: one JSON object a line as it measures.
`make up` and `make demo` leave their own rows in `.iacorch/measured/`, which are taken over. A question that cannot be
asked here (nothing is running to be measured, say) exits with another code than 0: its last words stand in the table.
A goal that is missed is no failure of the run: the figures of a busy machine say little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / ".iacorch"

Row = dict[str, Any]


def questions(named: Sequence[str]) -> list[str]:
    known = sorted(path.parent.name for path in HERE.glob("*/bench.py"))
    if unknown := sorted(set(named) - set(known)):
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if not named or name in named]


def measure(question: str) -> Iterator[Row]:
    """The rows of one benchmark as they come. Raises CalledProcessError when it fails."""
    command = [sys.executable, str(HERE / question / "bench.py"), "--json"]
    # a file, not a pipe that would stand full while nobody reads it
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    yield row(json.loads(line))
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())


def row(found: Row) -> Row:
    """Just what bench.json promises."""
    return {name: found.get(name) for name in ("name", "value", "unit", "goal")}


def met(found: Row) -> bool | None:
    """Whether the goal is met; None where there is none. Of rates more is better, of everything else less."""
    if found["goal"] is None:
        return None
    if str(found["unit"]).endswith("/s"):
        return bool(found["value"] >= found["goal"])
    return bool(found["value"] <= found["goal"])


def show(found: Row) -> None:
    goal = "" if found["goal"] is None else f"goal {found['goal']:>9,g}"
    word = {None: "", True: "met", False: "MISSED"}[met(found)]
    value = f"{found['value']:,.0f}" if abs(found["value"]) >= 1000 else f"{found['value']:,.2f}"
    print(f"  {found['name']:<66.66} {value:>10} {found['unit']:<9} {goal:<14} {word}".rstrip(), flush=True)


def main() -> None:
    rows: list[Row] = []
    if kept := sorted((KEPT / "measured").glob("*.json")):
        print("kept from make up and make demo", flush=True)
        for path in kept:
            rows += [row(json.loads(line)) for line in path.read_text().splitlines()]
        for each in rows:
            show(each)
    asked = questions(sys.argv[1:])
    for number, question in enumerate(asked, 1):
        began = time.monotonic()
        load = os.getloadavg()[0]
        print(f"{question}  ({number} of {len(asked)}; load of the machine {load:.1f})", flush=True)
        try:
            for each in measure(question):
                rows.append(each)
                show(each)
        except subprocess.CalledProcessError as error:
            words = (error.stderr or "").strip().splitlines()
            print(f"  not measured: {words[-1] if words else 'no reason given'}")
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    KEPT.mkdir(exist_ok=True)
    (KEPT / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    judged = [met(each) for each in rows]
    print(f"\n{judged.count(True)} goals met, {judged.count(False)} missed; {len(rows)} rows in .iacorch/bench.json")


if __name__ == "__main__":
    main()
