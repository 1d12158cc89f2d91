"""`iacorch.nodes.files`: several small files of root's in one task. Runs on the machine, with any Python from 3.8 on.

Ansible spends most of its time on starting modules: ten files by `copy` are twenty starts, here they are one.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: files
short_description: Write several small files of root's
description:
  - Each file is replaced as a whole, so nobody ever reads half of one, and only where content, mode or owner differ.
  - Directories that are missing are made with mode 0755.
  - The diff shows what is given as O(files[].content), never what is given as O(files[].secret).
author: iacorch
options:
  files:
    description: What is to be there.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where, as an absolute path.
        type: path
        required: true
      content:
        description: The whole text. This or O(files[].secret) is required.
        type: str
      secret:
        description: The whole text, which no result, difference or log shows.
        type: str
      mode:
        description: Permissions in octal digits.
        type: str
        default: "600"
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = """
- name: Write the settings
  iacorch.nodes.files:
    files:
      - path: /etc/example/settings
        content: "verbose: true"
        mode: "644"
"""

RETURN = """
written:
  description: The paths that differed.
  returned: always
  type: list
  elements: str
"""


def main() -> None:
    file = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "secret": {"type": "str", "no_log": True},
        "mode": {"type": "str", "default": "600"},
    }
    either = {"required_one_of": [("content", "secret")], "mutually_exclusive": [("content", "secret")]}
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": file, **either}},
        supports_check_mode=True,
    )
    written: list[str] = []
    diff: list[dict[str, str]] = []
    try:
        for one in module.params["files"]:
            path, mode = one["path"], int(one["mode"], 8)
            content = (one["secret"] if one["content"] is None else one["content"]).encode()
            before = _read(path)
            if before == (content, mode, 0, 0):
                continue
            written.append(path)
            if one["content"] is not None:
                diff.append(_difference(path, before, content))
            if not module.check_mode:
                _write(path, content, mode)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{path}: {error}", written=written)
    module.exit_json(changed=bool(written), written=written, diff=diff)


def _read(path: str) -> tuple[bytes, int, int, int] | None:
    """Content, mode, owner and group of a file; None where there is none."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            return file.read(), found.st_mode & 0o7777, found.st_uid, found.st_gid
    except FileNotFoundError:
        return None


def _write(path: str, content: bytes, mode: int) -> None:
    """Replace the file by a new one beside it."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), 0, 0)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _difference(path: str, before: Any, content: bytes) -> dict[str, str]:
    old = "" if before is None else before[0].decode("utf-8", "replace")
    return {
        "before_header": path,
        "after_header": path,
        "before": old + ("" if before is None else f"mode {before[1]:o}, owner {before[2]}:{before[3]}\n"),
        "after": content.decode("utf-8", "replace"),
    }


if __name__ == "__main__":
    main()
