"""Whose a machine is, in its name: NAME--CLUSTER--TOKEN[--CLAIM]. Pure.

Not every cloud has tags, and some write them in a second call, which a crash may cut off. A name is given with the
machine itself and comes back with every list, so a half-made machine is found as surely as a whole one.
"""

from __future__ import annotations

import re
from typing import Final

from iacorch.infra.machines.contract import MachineSpec, OwnerTags
from iacorch.infra.machines.errors import InvalidSpec

_BETWEEN: Final = "--"
_PART: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?")
_LONGEST: Final = 255


def marked(spec: MachineSpec) -> str:
    """The name at the cloud. Raises InvalidSpec for what no host name can carry."""
    owner = spec.owner
    parts = [spec.name, owner.cluster, owner.token, *([owner.claim] if owner.claim not in ("", owner.token) else [])]
    for field, part in zip(("name", "owner.cluster", "owner.token", "owner.claim"), parts, strict=False):
        if not _PART.fullmatch(part) or _BETWEEN in part:
            raise InvalidSpec(field, f"{part!r} cannot be part of a host name: letters, digits, '.' and single '-'")
    name = _BETWEEN.join(parts)
    if len(name) > _LONGEST:
        raise InvalidSpec("name", f"with its owner it has {len(name)} characters, and at most {_LONGEST} are possible")
    return name


def read(name: str) -> tuple[str, OwnerTags | None]:
    """The machine's own name, and its owner; None for what is not ours."""
    parts = name.split(_BETWEEN)
    if len(parts) not in (3, 4) or not all(_PART.fullmatch(part) for part in parts):
        return name, None
    claim = parts[3] if len(parts) == 4 else ""
    return parts[0], OwnerTags(parts[1], parts[2], claim)
