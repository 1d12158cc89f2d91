"""The documentation of `iacorch.nodes.unpack`, which is done by the action plugin of that name."""

DOCUMENTATION = """
module: unpack
short_description: Unpack an archive of the controller at the machine's root
description:
  - Streams a tar.gz through the connection; nothing is copied to a file first and no Python runs on the machine.
  - Is done once. Whether it was is told by a file that the archive brings as its last member.
author: iacorch
options:
  archive:
    description: The tar.gz on the controller.
    type: path
    required: true
  creates:
    description: The archive's last member, as an absolute path. Where it exists nothing is done.
    type: path
    required: true
  finish:
    description: A command for the machine's shell, run after unpacking.
    type: str
attributes:
  check_mode:
    support: full
"""

EXAMPLES = """
- name: Bring a program
  iacorch.nodes.unpack:
    archive: program.tar.gz
    creates: /opt/program/complete
"""

RETURN = """
"""
