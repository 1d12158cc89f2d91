"""ansible-runner in a process of its own: a job on standard input, events on standard output, one JSON object a line.

ansible-runner forks, and a fork of a process that speaks gRPC (the provider) is broken before it becomes Ansible.
Started by `runner.run_playbook`, which also reads the lines; SIGTERM cancels, and it comes when who started it is gone.
The job carries secrets, so it comes by a pipe and not by the arguments. The last line is `{"status", "words"}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ansible_runner

_FIELDS = ("host", "task", "duration", "res", "ignore_errors", "changed", "failures", "dark")


_PR_SET_PDEATHSIG: Final = 1


def end_with(parent: int) -> None:
    """Have SIGTERM sent to this process when `parent` is gone: nobody is left who wants its machines configured."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # gone before the kernel could be asked
        sys.exit("whoever started this is gone")


def main() -> None:
    """Run one job."""
    end_with(int(sys.argv[1]))
    job = json.load(sys.stdin)
    # Whatever else prints must not stand between the events.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)

        def tell(value: Mapping[str, Any]) -> None:
            lines.write(json.dumps(value) + "\n")
            lines.flush()

        def heard(event: Mapping[str, Any]) -> bool:
            data = event.get("event_data") or {}
            shown = {name: data[name] for name in _FIELDS if name in data}
            words = event.get("stdout", "") if event.get("event") in ("error", "verbose") else ""
            tell({"event": event.get("event", ""), "event_data": shown, "stdout": words})
            return False  # nothing is written to disk

        done = ansible_runner.run(**job, event_handler=heard, quiet=True, suppress_env_files=True)
        tell({"status": str(done.status), "words": _tail(Path(job["private_data_dir"]))})


def _tail(directory: Path) -> str:
    """The end of what ansible-playbook printed, for errors that are no events."""
    for path in directory.glob("artifacts/*/stdout"):
        return path.read_text(encoding="utf-8", errors="replace").strip()[-2_000:]
    return ""


if __name__ == "__main__":
    main()
