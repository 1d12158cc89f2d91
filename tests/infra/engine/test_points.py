"""Kill -9 of the built-in engine at its points, each in a run of its own; then the same command again, and a count.

A run passes about a hundred points (`killable` says what they are). IACORCH_KILLS=N kills at up to N of them in each
story, evenly spread, instead of one that is enough to notice a mistake; -rP shows what became of each.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.infra.engine.conftest import World
from tests.infra.engine.killable import Kill
from tests.infra.engine.processes import start
from tests.infra.engine.test_crashes import plugins_ended

KILLS = int(os.environ.get("IACORCH_KILLS", "1"))
BEFORE = """
key = pulumi.Output.secret("hunter2")
group = Group("group")
a = Thing("a", Opts(parent=group), value="1", token=key)
b = Thing("b", value=a.address)
c = Thing("c", key="1", value=b.address)
Thing("d", value="1")
Thing("e", single=True, key="1")
"""
AFTER = """
key = pulumi.Output.secret("hunter3")
group = Group("group")
a = Thing("a", Opts(parent=group), value="2", token=key)
b = Thing("b", value=a.address)
c = Thing("c", key="2", value=b.address)
Thing("e", single=True, key="2")
Thing("f", value="1")
"""


@dataclass(frozen=True)
class Story:
    """`before` is made in peace; then the program is `after` and the command is killed. `left` is there in the end."""

    before: str
    after: str
    command: Literal["up", "destroy", "refresh"]
    left: tuple[str, ...]


STORIES = {
    "create": Story("", BEFORE, "up", ("a-0", "b-0", "c-1", "d-0", "e-1")),
    "change": Story(BEFORE, AFTER, "up", ("a-0", "b-0", "c-2", "e-2", "f-0")),
    "destroy": Story(BEFORE, BEFORE, "destroy", ()),
    "refresh": Story(BEFORE, BEFORE, "refresh", ("a-0", "b-0", "c-1", "d-0", "e-1")),
}


def killed(world: World, story: Story, kill: Kill) -> int:
    """The exit code of a process that does what the story says."""
    module = "tests.infra.engine.killable"
    process = start(world, story.command, "--yes", module=module, environment=kill.environment())
    process.communicate()
    return process.returncode


async def told(world: World, story: Story) -> None:
    """The same in peace."""
    engine = world.builtin()
    await {"up": engine.up, "destroy": engine.destroy, "refresh": engine.refresh}[story.command](
        world.ref, world.options()
    )


def copied(world: World, to: Path) -> World:
    shutil.copytree(world.root, to, symlinks=True)
    return World(to)


def spread(points: int, kills: int) -> list[int]:
    """Numbers of points, evenly over all of them. Pure."""
    kills = min(points, kills)
    return sorted({1 + int((at + 0.5) * points / kills) for at in range(kills)})


@pytest.mark.parametrize("name", STORIES)
async def test_killed_at_any_point_the_next_run_ends_as_if_nothing_had_been(
    world: World, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copies = tmp_path_factory.mktemp(name)
    story = STORIES[name]
    world.program(story.before)
    await world.builtin().create_stack(world.ref)
    if story.before:
        await world.builtin().up(world.ref, world.options())
    world.program(story.after)
    world.forget_calls()
    first = copied(world, copies / "first")
    kill = Kill(first.root / "points", first.root)
    assert killed(first, story, kill) == 0
    points = kill.points()
    outcomes: Counter[str] = Counter()
    for at in spread(len(points), KILLS):
        tried = copied(world, copies / str(at))
        kill = Kill(tried.root / "points", tried.root, at)
        code = killed(tried, story, kill)
        where = kill.points()[-1]
        await plugins_ended(tried)
        await told(tried, story)
        assert tried.there() == sorted(story.left), where
        assert tried.calls("MadeAgain") == [], where
        assert "pending_operations" not in tried.latest(), where
        ids = sorted(r["id"] for r in tried.latest().get("resources", []) if r["type"] == "loop:index:Thing")
        assert ids == sorted(story.left), where
        outcomes["killed" if code < 0 else "over before"] += 1
        print(f"{name:8} {at:4}/{len(points)} {where:60} {'killed, then right' if code < 0 else 'was over'}")  # noqa: T201  # the table
        shutil.rmtree(tried.root)
    print(f"{name:8} {dict(outcomes)} of {len(points)} points, {len(set(points))} kinds")  # noqa: T201  # as above


def test_points_are_spread_evenly() -> None:
    assert spread(100, 4) == [13, 38, 63, 88]
    assert spread(2, 5) == [1, 2]
    assert spread(5, 1) == [3]
