"""What `pulumi up` and `iacorch up` run: picks the program of the chosen stack.

The stack `local` runs local.py. Any other stack runs the file of its own name, or the one that its configuration names:
`iacorch config set program local`.
"""

import importlib
from pathlib import Path

import pulumi

from iacorch.errors import ConfigError

here = Path(__file__).parent
programs = sorted(path.stem for path in here.glob("*.py") if not path.stem.startswith("_"))
program = pulumi.Config().get("program") or pulumi.get_stack()
if program not in programs:
    raise ConfigError(
        f"there is no program {program!r}",
        where=f"stack {pulumi.get_stack()}",
        hint=f"`iacorch config set program NAME`, where NAME is one of: {', '.join(programs)}",
    )
importlib.import_module(program)
