"""How fast are the deployment engines with 200 and 1,000 trivial resources? The Pulumi CLI beside the built-in one.

    python benchmarks/engine/bench.py [--json] [--resources N]...

Each engine runs preview, up, preview again, refresh and destroy as processes of their own (`iacorch` for the built-in
one, `pulumi` itself for the other), on a stack of its own in a temporary folder, against the test suite's provider.
Rows: seconds of each on the wall and of the processor (of the engine and of what it waited for), and the most memory of
the engine's process. Every step of `up` is on disk before the program hears of it. The CLI is measured where it is.

iacorch is compiled before it is measured, as it is where it was installed: where PYTHONDONTWRITEBYTECODE is set, each
process would compile it anew, which is a tenth of a preview of 200.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROVIDER = ROOT / "tests" / "infra" / "engine" / "loop_provider.py"
PROGRAM = """
import pulumi


class Thing(pulumi.CustomResource):
    def __init__(self, name, **props):
        super().__init__("loop:index:Thing", name, {"address": None, **props})


for i in range(%d):
    Thing(f"t{i}", value=str(i))
"""
GOALS = {
    200: {"preview": 2.0, "up": 3.0, "preview again": 2.0},
    1000: {"up": 12.0, "preview again": 5.0, "refresh": 20.0},
}

Row = tuple[str, float, str, float | None]


def measure(resources: int) -> Iterator[Row]:
    for engine in ("builtin", "pulumi"):
        if engine == "pulumi" and shutil.which("pulumi") is None:
            continue
        with tempfile.TemporaryDirectory() as name:
            yield from _measure(engine, Path(name), resources)


def _measure(engine: str, folder: Path, resources: int) -> Iterator[Row]:
    for part in ("project", "state", "things", "bin"):
        (folder / part).mkdir()
    (folder / "project" / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
    (folder / "project" / "__main__.py").write_text(PROGRAM % resources)
    plugin = folder / "bin" / "pulumi-resource-loop"
    plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROVIDER}" "$@"\n')
    plugin.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "LOOP_WORLD": str(folder / "things"),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "bench",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def run(*words: str) -> tuple[float, float, float]:
        """Seconds on the wall, seconds of processor that it and its children used, most memory in MB."""
        began = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [*words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder / "project"
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{engine}: {' '.join(words)} failed:\n{said.decode()}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.monotonic() - began, used, usage.ru_maxrss / 1024

    if engine == "builtin":
        command, options = [sys.executable, "-m", "iacorch.cli.main"], ["--yes", "--engine", engine]
    else:
        command, options = ["pulumi"], ["--non-interactive", "--skip-preview"]
    run(*command, "stack", "init", "dev")
    memory = 0.0
    goals = GOALS.get(resources, {}) if engine == "builtin" else {}
    for what in ("preview", "up", "preview again", "refresh", "destroy"):
        word = what.split()[0]
        given = options
        if engine == "pulumi":
            given = options[:1] if word == "preview" else [*options, "--yes"]
        seconds, used, most = run(*command, word, *given)
        memory = max(memory, most)
        name = f"{engine}: {what} of {resources} resources"
        yield name, seconds, "s", goals.get(what)
        yield f"{name}, processor", used, "s", None
    if engine == "builtin":
        yield f"{engine}: memory of the engine, {resources} resources", memory, "MB", None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--resources", type=int, action="append", help="how many; more than once: one after the other")
    arguments = parser.parse_args()
    compileall.compile_dir(ROOT / "iacorch", quiet=1)
    for name, value, unit, goal in (row for number in arguments.resources or GOALS for row in measure(number)):
        if arguments.json:
            print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, "goal": goal}), flush=True)
        else:
            print(f"{name:55} {value:10.1f} {unit:12}" + (f" goal {goal:g}" if goal else ""), flush=True)


if __name__ == "__main__":
    main()
