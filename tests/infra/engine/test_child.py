"""Processes of a deployment: what they say last is heard, and nothing of them stays open."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from iacorch.infra.engine.builtin import child
from iacorch.kit.tasks import Tasks
from tests.infra.engine.processes import until


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_what_a_process_leaves_running_keeps_nothing_of_ours_open(tmp_path: Path) -> None:
    await (await child.start(["true"], name="first", cwd=tmp_path, environment=os.environ)).stop()
    before = open_files()
    script = "setsid sleep 600 & echo $!; echo last words"
    async with Tasks("test") as tasks:
        process = await child.start(["sh", "-c", script], name="leaver", cwd=tmp_path, environment=os.environ)
        left = int(await process.first_line())
        heard: list[str] = []
        try:
            process.follow(tasks, heard.append)
            await process.ended.wait()
            await process.stop()
        finally:
            os.kill(left, signal.SIGKILL)
    assert heard == ["last words"]
    await until(lambda: open_files() <= before, "all is closed")


async def test_one_that_is_stopped_before_anybody_listened_leaves_nothing_open(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(3):
        process = await child.start(["sleep", "600"], name="unheard", cwd=tmp_path, environment=os.environ)
        await process.stop()
    await until(lambda: open_files() <= before + 1, "all is closed but the loop's own, for children")
