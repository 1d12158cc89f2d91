"""The small files that a daemon needs on its machine: its unit, its settings, who put it there. Pure.

In: a `Plan` and the bundle's ID. Out: path -> `File`, and all of them as the collection's module `files` takes them, in
one step. The units are in `units/`. Called by `runner`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from string import Template

from iacorch.infra.bootstrap.plan import Plan


@dataclass(frozen=True, slots=True)
class File:
    """What it holds, and who may read it (it is root's)."""

    content: str = field(repr=False)
    mode: int = 0o600


def files_of(plan: Plan, bundle_id: str) -> dict[str, File]:
    """Every file, by its absolute path."""
    return {
        **{f"/etc/iacorch/{name}": File(content) for name, content in plan.files.items()},
        f"/etc/iacorch/{plan.unit}.owner": File(f"{plan.owner}\n"),
        f"/etc/systemd/system/{plan.unit}.service": File(unit_of(plan, bundle_id), 0o644),
    }


def unit_of(plan: Plan, bundle_id: str) -> str:
    """The unit's text."""
    template = resources.files(__package__).joinpath("units", f"{plan.unit}.service").read_text(encoding="utf-8")
    start = [plan.python.path, "-sP", f"/opt/iacorch/{bundle_id}/bin/{plan.unit}", *plan.arguments]
    # In a unit, % and $ stand for something else unless they are doubled.
    words = " ".join(shlex.quote(word).replace("%", "%%").replace("$", "$$") for word in start)
    return Template(template).substitute(start=words)


def listed(files: Mapping[str, File]) -> str:
    """What the module `iacorch.nodes.files` is given, in order of the paths. What only root may read is a secret."""
    return json.dumps(
        [
            {"path": path, "content" if file.mode & 0o044 else "secret": file.content, "mode": f"{file.mode:o}"}
            for path, file in sorted(files.items())
        ]
    )
