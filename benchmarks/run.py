"""Runs every benchmark, prints one table and writes `.iacorch/bench.json`: a list of {name, value, unit, goal}.

    python benchmarks/run.py [QUESTION...]

A question is a folder here with a `bench.py` that understands `--json`: one JSON object a line as it measures.
`make up` leaves its own times in `.iacorch/up.*.json`, which are taken over. A question that cannot be asked here
(nothing is running to be measured, say) exits with another code than 0: its last words stand in the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        said = process.stderr.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)


def show(row: Row) -> None:
    goal = "" if row.get("goal") is None else f"goal {row['goal']:g}"
    print(f"  {row['name']:<62} {row['value']:>12,.1f} {row['unit']:<12} {goal}", flush=True)


def main() -> None:
    rows: list[Row] = []
    for kept in sorted(KEPT.glob("up.*.json")):
        rows.append(json.loads(kept.read_text()))
        show(rows[-1])
    for question in questions(sys.argv[1:]):
        print(question, flush=True)
        try:
            for row in measure(question):
                rows.append(row)
                show(row)
        except subprocess.CalledProcessError as error:
            words = (error.stderr or "no reason given").strip().splitlines()
            print(f"  not measured: {words[-1] if words else 'no reason given'}")
    KEPT.mkdir(exist_ok=True)
    (KEPT / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{len(rows)} rows in .iacorch/bench.json")


if __name__ == "__main__":
    main()
