"""Where the files are that bootstrap carries to machines: playbooks, locked requirements, our own package.

In a checkout they lie beside the package; in a wheel they are inside it (`_files/`, put there by pyproject's
force-include). Called by `bundle` and `runner`.
"""

from __future__ import annotations

from pathlib import Path

import iacorch
from iacorch.infra.bootstrap.errors import BundleFailed

PACKAGE = Path(iacorch.__file__).parent
_IN_WHEEL = Path(__file__).parent / "_files"


def collections() -> Path:
    """The folder above `ansible_collections`, beside the package in a checkout and in a wheel. Raises BundleFailed."""
    if not (PACKAGE.parent / "ansible_collections" / "iacorch" / "nodes").is_dir():
        raise BundleFailed("the Ansible collection is missing from this installation", hint="install iacorch again")
    return PACKAGE.parent


def directory(name: str) -> Path:
    """`playbooks` or `requirements`, wherever this installation has it. Raises BundleFailed."""
    for parent in (_IN_WHEEL, PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise BundleFailed(f"the directory {name} is missing from this installation", hint="install iacorch again")
