"""The outputs of a stack as an aligned block that fits: long values shortened, what changed marked. Pure.

In: outputs now and before, a width. Out: lines. Called when a deployment ends and by `iacorch stack output`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from iacorch.infra.engine.contract import Output
from iacorch.kit.text import listed, plural, shortened

HIDDEN: Final = "[secret]"
_GAP: Final = 2


def lines(
    outputs: Mapping[str, Output],
    before: Mapping[str, Output] | None = None,
    *,
    width: int,
    show_secrets: bool = False,
    planned: bool = False,
    stack: str = "",
) -> list[str]:
    """A sign (`+` new, `~` changed, `-` gone), the name, the value; at the end how to see what was shortened.

    Without `before` nothing is marked. A preview leaves out what is not known yet: there (`planned`) nothing is gone.
    """
    gone = {} if planned or before is None else {name: o for name, o in before.items() if name not in outputs}
    every = {**outputs, **gone}
    if not every:
        return []
    column = max(map(len, every)) + _GAP
    room = max(width - column - 4, 20)
    found, cut = [], []
    for name, output in sorted(every.items()):
        whole = text(output, show_secrets=show_secrets)
        value = short(output, room, show_secrets=show_secrets)
        if value != whole and name not in gone:
            cut.append(name)
        sign = "-" if name in gone else _sign(output, name, before)
        found.append(f"  {sign} {name:<{column}}{value}".rstrip())
    if cut:
        where = f" --stack {stack}" if stack else ""
        found.append(f"    (whole: iacorch stack output {cut[0] if len(cut) == 1 else 'NAME'}{where})")
    return found


def text(output: Output, *, show_secrets: bool) -> str:
    """The whole value on as many lines as it has."""
    if output.secret and not show_secrets:
        return HIDDEN
    return output.value if isinstance(output.value, str) else orjson.dumps(output.value, default=str).decode()


def short(output: Output, room: int, *, show_secrets: bool) -> str:
    """The value on one line of at most `room` characters; of a long map its names."""
    whole = text(output, show_secrets=show_secrets)
    if len(whole) <= room and "\n" not in whole:
        return whole
    match output.value:
        case Mapping() as entries:
            return shortened(f"{plural(len(entries), 'entry', 'entries')}: {listed(sorted(entries))}", room)
        case [*entries]:
            return shortened(f"{plural(len(entries), 'entry', 'entries')}: {whole}", room)
        case str() if "\n" in whole.strip():
            return shortened(f"{len(whole.strip().splitlines())} lines: {whole}", room)
        case _:
            return shortened(whole, room)


def _sign(output: Output, name: str, before: Mapping[str, Output] | None) -> str:
    if before is None:
        return " "
    if name not in before:
        return "+"
    return " " if _same(output.value, before[name].value) else "~"


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)
