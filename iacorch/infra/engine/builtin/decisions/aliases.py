"""Under which names a resource may be in the state: its aliases, and those that follow from its parent's. Pure.

In: what a registration says about itself and its aliases. Out: URNs, in the order in which they are tried. An alias
names only what was different; the rest is as it is now. A child of a resource that was found under another name is
looked for under that name too. Source: Pulumi's `pkg/resource/deploy/step_generator` and its documentation of aliases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iacorch.infra.engine.builtin.values import urn as urns


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias: a whole URN, or the parts that were different. `orphan`: it had no parent."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    orphan: bool = False


def candidates(
    urn: str, parent: str, aliases: Sequence[Alias], *, stack: str, project: str, parent_was: str
) -> tuple[str, ...]:
    """Every former URN of the resource `urn` under `parent`, which was found as `parent_was` (empty: as itself)."""

    def all_of_them() -> Iterator[str]:
        own = [_collapse(alias, urn, parent, stack, project) for alias in aliases]
        yield from own
        if parent_was:
            for former in (urn, *own):
                yield _inherited(urns.name_of(former), urns.type_of(former), parent, parent_was, stack, project)

    return tuple(dict.fromkeys(former for former in all_of_them() if former != urn))


def _collapse(alias: Alias, urn: str, parent: str, stack: str, project: str) -> str:
    if alias.urn:
        return alias.urn
    above = "" if alias.orphan else alias.parent or parent
    return urns.make(
        alias.stack or stack, alias.project or project, above, alias.type or urns.type_of(urn),
        alias.name or urns.name_of(urn),
    )  # fmt: skip


def _inherited(name: str, type_: str, parent: str, parent_was: str, stack: str, project: str) -> str:
    """Children are often called after their parent, so a name that begins with its name is renamed with it."""
    now, was = urns.name_of(parent), urns.name_of(parent_was)
    if urns.type_of(parent) != urns.STACK_TYPE and name.startswith(now):
        name = was + name[len(now) :]
    return urns.make(stack, project, parent_was, type_, name)
