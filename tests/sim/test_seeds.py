"""A hundred clusters under faults; and the same seed always tells the same story."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from iacorch.sim.checks import Checks, Violation, Write
from iacorch.sim.script import Do, Event, Script, write_script
from iacorch.sim.world import simulate

SEEDS = range(100)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults make components log what is expected here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds(seed: int, tmp_path: Path) -> None:
    simulate(write_script(seed), tmp_path)


def test_a_seed_replays_byte_for_byte_in_another_process() -> None:
    """Also where Python hashes strings differently."""

    def digest(hash_seed: str) -> str:
        command = [sys.executable, "-m", "iacorch.sim", "--seed", "7", "--nodes", "12", "--trace"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert digest("1") == digest("2")


def test_no_pod_moves_in_a_hundred_pauses_of_the_control_plane(tmp_path: Path) -> None:
    pauses = [Event(20.0 + 40.0 * n, Do.STOP_CONTROL_PLANE, "", 1 + n % 30) for n in range(100)]
    script = Script(1, 3, 20.0 + 40.0 * 101, (Event(1.0, Do.CREATE, "ant", 6), *pauses))
    lines: list[str] = []
    simulate(script, tmp_path, print_to=lines.append)
    made = [line for line in lines if "create /core/pods/" in line]
    assert len(made) == 6
    assert not [line for line in lines if "delete /core/pods/" in line]


def test_a_dead_machines_pods_move_and_its_return_disturbs_nobody(tmp_path: Path) -> None:
    deaths = [Event(30.0 + 60.0 * n, Do.KILL_MACHINE, f"node-{n % 3:02}", 29) for n in range(6)]
    script = Script(2, 4, 420.0, (Event(1.0, Do.CREATE, "ant", 8), *deaths))
    simulate(script, tmp_path)


def write(writer: str, plural: str, old: dict[str, object] | None, new: dict[str, object] | None) -> Write:
    return Write(writer, f"/core/{plural}/default/x", 1, old, new)


def pod(node: str = "", cpu: str = "1", uid: str = "u", **status: object) -> dict[str, object]:
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    spec = {"containers": containers} | ({"nodeName": node} if node else {})
    return {"metadata": {"uid": uid}, "spec": spec, "status": status}


def test_the_checker_sees_a_second_binding() -> None:
    checks = Checks()
    checks.observe(write("scheduler", "pods", pod(), pod("node-1")))
    with pytest.raises(Violation, match="bound once"):
        checks.observe(write("scheduler", "pods", pod("node-1"), pod("node-2")))


def test_the_checker_sees_an_overfull_node() -> None:
    checks = Checks()
    checks.capacity["node-1"] = {"cpu": "2"}
    checks.observe(write("scheduler", "pods", pod(uid="a"), pod("node-1", uid="a")))
    checks.observe(write("scheduler", "pods", pod(uid="b"), pod("node-1", uid="b")))
    with pytest.raises(Violation, match="capacity"):
        checks.observe(write("scheduler", "pods", pod(uid="c", cpu="1m"), pod("node-1", uid="c", cpu="1m")))


@pytest.mark.parametrize(
    ("writer", "new"),
    [
        pytest.param("controllers", pod("node-1"), id="controllers bind"),
        pytest.param("agent/node-2", pod(phase="Running"), id="an agent reports another node's pod"),
        pytest.param("user", pod(phase="Running"), id="a user writes status"),
    ],
)
def test_the_checker_sees_a_foreign_hand(writer: str, new: dict[str, object]) -> None:
    with pytest.raises(Violation, match="one writer"):
        Checks().observe(write(writer, "pods", pod(), new))


def test_the_checker_sees_a_lost_write() -> None:
    key = b"/core/pods/default/x"
    checks = Checks(acknowledged={key: 7})
    checks.check_kept({key: 7}, {})
    checks.check_kept({}, {key: 8})
    with pytest.raises(Violation, match="kept"):
        checks.check_kept({key: 6}, {})
    with pytest.raises(Violation, match="kept"):
        checks.check_kept({}, {})


def test_a_script_is_the_same_for_the_same_seed() -> None:
    assert str(write_script(3)) == str(write_script(3))
    assert write_script(3) != write_script(4)
