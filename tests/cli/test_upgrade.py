"""`iacorch upgrade --plan`: the order for the machines of a stack, against a running control plane."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from iacorch.api.catalogue import NODE
from iacorch.client.config import parse_kubeconfig
from iacorch.client.http import HttpClient
from tests.cli.test_inventory import ZONE, node, project, run
from tests.server import daemon


def test_the_order_is_shown_and_nothing_is_changed(tmp_path: Path) -> None:
    async def fill(kubeconfig: str) -> None:
        async with HttpClient(parse_kubeconfig(kubeconfig, where="kubeconfig")) as client:
            await client.create(NODE, node("n1", "192.0.2.2", **{ZONE: "a"}))
        await project(tmp_path, kubeconfig)

    command = [sys.executable, "-m", "iacorch.cli.main", "upgrade"]
    with daemon.running(tmp_path / "data", "--no-controllers") as running:
        asyncio.run(fill(running.kubeconfig.read_text()))
        planned = run(tmp_path, *command, "--plan")
        refused = run(tmp_path, *command)
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert lines[:2] == ["  1. control plane: server", "  2. zone a: n1"]
    assert lines[2].startswith("0 machines run ")
    assert refused.returncode == 1
    assert "give --yes" in refused.stderr


def test_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    done = run(tmp_path, sys.executable, "-m", "iacorch.cli.main", "upgrade")
    assert done.returncode == 1
    assert "iacorch stack init NAME" in done.stderr
