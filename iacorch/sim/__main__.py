"""`python -m iacorch.sim`: run seeds, or replay one with its trace."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import structlog

from iacorch.sim.checks import Violation
from iacorch.sim.script import write_script
from iacorch.sim.world import simulate


@click.command()
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--count", type=int, default=1, show_default=True, help="How many seeds.")
@click.option("--nodes", type=int, default=50, show_default=True)
@click.option("--events", type=int, default=30, show_default=True, help="Things that happen in a run.")
@click.option("--trace", is_flag=True, help="Print the script and every write.")
def main(seed: int, count: int, nodes: int, events: int, trace: bool) -> None:
    """Run clusters on virtual time under seeded faults. A failing seed fails the same way each time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    failed = 0
    for number in range(seed, seed + count):
        script = write_script(number, nodes=nodes, events=events)
        with tempfile.TemporaryDirectory(prefix="iacorch-sim-") as folder:
            try:
                outcome = simulate(script, Path(folder), print_to=click.echo if trace else None)
            except Violation as violation:
                failed += 1
                click.echo(f"seed {number}: {violation}")
                continue
        click.echo(
            f"seed {number}: {outcome.writes} writes in {outcome.virtual_seconds:.0f} s,"
            f" converged after {outcome.converged_after_seconds:.0f} s, trace {outcome.digest[:16]}"
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
