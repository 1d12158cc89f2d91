"""What a run is about: targets, and what is left out. Pure.

In: the options. Out: whether a URN is in. Providers and the stack itself always are: nothing works without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from iacorch.infra.engine.builtin.values import urn as urns
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.contract import Options


@dataclass(frozen=True, slots=True)
class Scope:
    """The targets and the exclusions of one run."""

    targets: tuple[str, ...] = ()
    target_dependents: bool = False
    excludes: tuple[str, ...] = ()
    exclude_dependents: bool = False

    @classmethod
    def of(cls, options: Options) -> Scope:
        return cls(options.targets, options.target_dependents, options.excludes, options.exclude_dependents)

    @property
    def everything(self) -> bool:
        return not self.targets and not self.excludes

    def names(self, urn: str) -> bool:
        """`urn` is in by itself, whatever it needs."""
        if self.targets and not urns.matches(urn, self.targets):
            return False
        return not urns.matches(urn, self.excludes)

    def has(self, urn: str, type_: str, needs: Iterable[str], *, in_: set[str], out: set[str]) -> bool:
        """Whether a registration is in, when `in_` and `out` are the earlier ones that were and were not."""
        if self.everything or type_ == urns.STACK_TYPE or urns.is_provider(type_):
            return True
        if urns.matches(urn, self.excludes):
            return False
        if self.exclude_dependents and set(needs) & out:
            return False
        if not self.targets or urns.matches(urn, self.targets):
            return True
        ordinary = {u for u in in_ if urns.type_of(u) != urns.STACK_TYPE and not urns.is_provider(urns.type_of(u))}
        return self.target_dependents and bool(set(needs) & ordinary)

    def kept(self, resources: Sequence[Resource], left: Collection[str] = ()) -> set[str]:
        """URNs that may not be deleted: what is excluded or `left`, and everything that it needs."""
        kept = {r.urn for r in resources if r.urn in left or urns.matches(r.urn, self.excludes)}
        for resource in reversed(resources):
            if resource.urn in kept:
                kept |= resource.needs()
        return kept
