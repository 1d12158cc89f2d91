"""What a person reads while a deployment goes on."""

from __future__ import annotations

import pytest

from iacorch.cli.progress import PlainProgress
from iacorch.infra.engine.contract import Event, Op, Progress, ResourceDone, ResourcePre

URN = "urn:pulumi:local::iacorch::iacorch:index:Node::worker-1"


def test_a_log_tells_of_phases_and_of_the_work_on_each_resource(capsys: pytest.CaptureFixture[str]) -> None:
    events: tuple[Event, ...] = (
        Progress("running the program"),
        ResourcePre(URN, "iacorch:index:Node", Op.CREATE),
        Progress("worker-1: Install Docker", URN),
        ResourceDone(URN, "iacorch:index:Node", Op.CREATE, seconds=2.0),
    )
    with PlainProgress("up", "local", debug=False) as shown:
        for event in events:
            shown.hear(event)
    assert capsys.readouterr().out.splitlines() == [
        "up local",
        "  running the program ...",
        "  . create Node worker-1",
        "    Node worker-1: Install Docker",
        "  + Node worker-1  created 2.0 s",
    ]
