"""`iacorch.nodes.unpack`: an archive of this side, unpacked on the other one through the connection itself.

Two commands over SSH and no Python on the machine, where `unarchive` takes seven and a module that lists, compares and
touches every file: for thousands of files it took most of bootstrap's time. Documented in `modules/unpack.py`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """What is there (`creates`) stays as it is; check mode says whether it would be unpacked."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("archive", "creates", "finish"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        for name in ("archive", "creates"):
            if not arguments.get(name):
                raise AnsibleActionFail(f"{name} is missing")
        if self._low_level_execute_command(f"test -e {shlex.quote(arguments['creates'])}")["rc"] == 0:
            return {**result, "changed": False}
        if self._task.check_mode:
            return {**result, "changed": True}
        try:
            archive = Path(arguments["archive"]).read_bytes()
        except OSError as error:
            raise AnsibleActionFail(f"the archive cannot be read: {error}") from error
        command = "tar --extract --gzip --preserve-permissions --directory=/"
        if finish := arguments.get("finish"):
            command += f" && {{ {finish}; }}"
        done = self._low_level_execute_command(command, in_data=archive)
        if done["rc"] != 0:
            said = (done.get("stderr") or done.get("stdout") or "").strip()
            return {**result, "failed": True, "msg": f"unpacking ended with status {done['rc']}: {said[-1_000:]}"}
        return {**result, "changed": True}
