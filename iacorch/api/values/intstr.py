"""IntOrString: a number, or a name or percentage as text (`maxSurge: 25%`, `targetPort: http`).

In: the JSON value. Out: numbers. Deployments, services and probes use it.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

IntOrString: TypeAlias = int | str

_PERCENT: Final = re.compile(r"[0-9]{1,9}%", re.ASCII)


def is_percent(value: IntOrString) -> bool:
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def scaled(value: IntOrString, total: int, *, round_up: bool) -> int:
    """The number, or the percentage of `total` rounded as asked. Raises ValueError on any other text."""
    if isinstance(value, int):
        return value
    if not is_percent(value):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100
