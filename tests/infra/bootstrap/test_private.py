"""Folders of secrets go with their process; Ansible goes with whoever started it."""

import os
import subprocess
import sys
from pathlib import Path

from iacorch.infra.bootstrap import private

HOLD = """
import os, signal, sys
from pathlib import Path
from iacorch.infra.bootstrap import private
with private.folder(Path(sys.argv[1])) as directory:
    private.write_private(directory / "key", "secret")
    os.kill(os.getpid(), signal.SIGKILL)
"""
CHILD = """
import signal, sys
from iacorch.infra.bootstrap.ansible.process import end_with
end_with(int(sys.argv[1]))
print("ready", flush=True)
signal.pause()
"""
PARENT = """
import os, signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], start_new_session=True, close_fds=False)
sys.stdin.read(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    assert (left / "key").read_text() == "secret"
    with private.folder(tmp_path) as first, private.folder(tmp_path) as second:
        assert sorted(tmp_path.iterdir()) == sorted((first, second))
        assert first.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / "iac-notes").mkdir()
    with private.folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["iac-notes"]


def test_ansible_ends_with_whoever_started_it_and_holds_what_they_held() -> None:
    reading, held = os.pipe()
    os.set_inheritable(held, True)
    arguments, pipe = [sys.executable, "-c", PARENT, CHILD], subprocess.PIPE
    with (
        os.fdopen(reading) as lock,
        subprocess.Popen(arguments, stdin=pipe, stdout=pipe, close_fds=False, text=True) as parent,
    ):
        os.close(held)
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.stdin.write("x")
        parent.stdin.close()
        # Only the two processes hold the pipe: its end is the end of both.
        assert lock.read() == ""
