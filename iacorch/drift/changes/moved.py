"""What moved between making a plan and applying it. Pure.

In: the inputs then and now. Out: one `Moved` for each that is another one, is gone, or is new, named so that a person
knows what to look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iacorch.drift.changes.model import Input


@dataclass(frozen=True, slots=True)
class Moved:
    """`name` of an input, and what was found instead of what was expected."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


def moved(then: Iterable[Input], now: Iterable[Input]) -> tuple[Moved, ...]:
    """In the order of the plan, then what is new."""
    before, after = {i.name: i for i in then}, {i.name: i for i in now}
    found = []
    for name, was in before.items():
        found_now = after.get(name)
        if found_now is None:
            found.append(Moved(name, "is gone"))
        elif found_now.fingerprint != was.fingerprint:
            words = f": {was.words} -> {found_now.words}" if was.words != found_now.words else ""
            found.append(Moved(name, f"has changed{words}"))
    found += [Moved(name, "is new") for name in after if name not in before]
    return tuple(found)
