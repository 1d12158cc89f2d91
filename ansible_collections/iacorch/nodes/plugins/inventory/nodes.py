"""The inventory plugin `iacorch.nodes.nodes`: in Ansible's process, thin over `cli.commands.inventory`.

In: a YAML file of a user. Out: hosts with their variables; keys and pinned host keys lie in a private folder for as
long as Ansible runs.
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

DOCUMENTATION = """
name: nodes
short_description: Machines of an iacorch cluster
description:
  - Reads the states of a project's stacks and the Node objects of its cluster.
  - Groups are C(control_plane), C(nodes), C(ready), C(not_ready), C(zone_*), C(pool_*), C(role_*) and C(stack_*).
  - Its file is named C(iacorch.yml) or ends in C(.iacorch.yml).
  - A stack's passphrase is taken from E(PULUMI_CONFIG_PASSPHRASE), as everywhere.
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: Says that the file is meant for this plugin.
    required: true
    choices: [iacorch.nodes.nodes]
  project:
    description: The folder with C(Pulumi.yaml), from the file's own folder.
    type: path
    default: "."
  stack:
    description: Only the machines of this stack; by default those of all.
    type: str
    default: ""
  backend:
    description: Where states are kept, as C(file://DIR).
    type: str
    default: ""
    env:
      - name: PULUMI_BACKEND_URL
  kubeconfig:
    description: How the API is reached; by default what the stacks say.
    type: path
"""
EXAMPLES = """
plugin: iacorch.nodes.nodes
project: ../fleet
keyed_groups:
  - key: iacorch_labels['example.com/rack']
    prefix: rack
"""


class InventoryModule(BaseInventoryPlugin, Constructable):
    """What Ansible makes and calls."""

    NAME = "iacorch.nodes.nodes"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("iacorch.yml", "iacorch.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            from iacorch.cli.commands.inventory import load
            from iacorch.cli.target import target_in
            from iacorch.errors import IacorchError
        except ImportError as error:
            raise AnsibleParserError(
                f"iacorch is not installed for the Python that runs Ansible ({error}): "
                "install it there, or use `iacorch inventory` as an inventory script"
            ) from error
        folder = Path(path).resolve().parent
        target = target_in(folder / self.get_option("project"), self.get_option("stack"), self.get_option("backend"))
        kubeconfig = self.get_option("kubeconfig")
        try:
            found = load(target, folder / kubeconfig if kubeconfig else None, self.display.warning)
        except IacorchError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise AnsibleParserError(f"{path}: {error.message}{hint}") from error
        room = _private_folder()
        for number, entry in enumerate(found):
            for group in entry.groups:
                self.inventory.add_group(group)
                self.inventory.add_host(entry.name, group)
            for name, value in {**entry.variables, **_way_in(entry.target, room, number)}.items():
                self.inventory.set_variable(entry.name, name, value)
            variables, strict = dict(entry.variables), self.get_option("strict")
            self._set_composite_vars(self.get_option("compose"), variables, entry.name, strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, entry.name, strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, entry.name, strict)


def _private_folder() -> Path:
    """Gone when Ansible is, or when the next one comes after one that was killed."""
    from iacorch.infra.bootstrap import private

    stack, owner = ExitStack(), os.getpid()
    room = stack.enter_context(private.folder())
    atexit.register(lambda: stack.close() if os.getpid() == owner else None)  # forks end without cleaning up for others
    return room


def _way_in(target: Any, room: Path, number: int) -> dict[str, str]:
    """The key of a machine, and the host keys that were pinned when it was first reached."""
    from iacorch.infra.bootstrap.private import write_private

    found: dict[str, str] = {}
    if target is not None and target.private_key:
        key = room / f"key-{number}"
        write_private(key, target.private_key.rstrip("\n") + "\n")
        found["ansible_ssh_private_key_file"] = str(key)
    if target is not None and target.host_keys:
        known = room / f"known-{number}"
        write_private(known, target.host_keys.strip() + "\n")
        found["ansible_ssh_common_args"] = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
    return found
