"""The step generator: what to do about one resource. Pure.

In: the resource as last seen, what the program registers, the provider's check and diff. Out: one step, a value. The
executor (`execution/deployment.py`) asks the provider first and runs the step afterwards; nothing here waits.

    registered  seen before  diff                          step
    no          yes          -                             Delete (in reverse order, after the program ended)
    yes         no           -                             Create
    yes         yes          none                          Same
    yes         yes          none, but half made           Update
    yes         yes          some                          Update
    yes         yes          replaces, default             Replace: create, later delete the old one
    yes         yes          replaces, delete first        Replace: delete (with dependents that must go too), create
    yes         replaces     protected before and after    Refuse
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iacorch.infra.engine.builtin.decisions import paths
from iacorch.infra.engine.builtin.decisions.aliases import Alias
from iacorch.infra.engine.builtin.values import assets, wire
from iacorch.infra.engine.builtin.values.state import Resource
from iacorch.infra.engine.builtin.values.wire import Props
from iacorch.infra.engine.contract import Change
from iacorch.infra.engine.errors import ResourceFailed


@dataclass(frozen=True, slots=True)
class Registration:
    """What the program wants of one resource. `inputs` are lowered; `provider` is a reference or empty."""

    urn: str
    type: str
    custom: bool
    inputs: Props
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    retain_on_delete: bool = False
    delete_before_replace: bool | None = None
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[Alias, ...] = ()
    deleted_with: str = ""
    import_id: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """A provider's answer, with DIFF_UNKNOWN already settled by comparing inputs."""

    changed: bool
    replaces: tuple[str, ...] = ()
    delete_first: bool = False
    changes: tuple[Change, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Create:
    pass


@dataclass(frozen=True, slots=True)
class Same:
    pass


@dataclass(frozen=True, slots=True)
class Update:
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Replace:
    """`delete_first`: the old one goes before the new one comes, with the dependents that must be replaced too."""

    delete_first: bool
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: str


Step = Create | Same | Update | Replace | Refuse


def next_step(old: Resource | None, registration: Registration, inputs: Props, diff: Diff | None) -> Step:
    """The step for one registration.

    `inputs` are the checked ones. `diff` is None where there is nothing to compare (nothing was there before) and for
    components, which have no provider and are never more than the same.
    """
    if old is None:
        return Create()
    if old.custom != registration.custom:
        return _replace(old, registration, delete_first=False, changes=())
    if diff is None:
        return Same()
    diff = with_replace_on_changes(diff, registration.replace_on_changes)
    if old.pending_replacement or (diff.changed and diff.replaces):
        wanted = registration.delete_before_replace
        first = diff.delete_first if wanted is None else wanted
        return _replace(old, registration, delete_first=first or old.pending_replacement, changes=diff.changes)
    if diff.changed or old.init_errors:
        return Update(diff.changes)
    return Same()


def check_paths(registration: Registration) -> None:
    """ResourceFailed names the first property path among its options that is none."""
    for option in ("ignore_changes", "replace_on_changes"):
        for path in getattr(registration, option):
            try:
                paths.parse(path)
            except ValueError as error:
                raise ResourceFailed(str(error), urn=registration.urn, hint=f"correct `{option}`") from error


def _replace(
    old: Resource, registration: Registration, *, delete_first: bool, changes: tuple[Change, ...]
) -> Replace | Refuse:
    if old.protect and registration.protect:
        return Refuse("it must be replaced, and it is protected")
    return Replace(delete_first, changes)


def with_replace_on_changes(diff: Diff, wanted: Sequence[str]) -> Diff:
    """`diff` with every changed property that `wanted` covers turned into one that replaces."""
    if not diff.changed or not wanted:
        return diff
    changed = [change.path for change in diff.changes] or list(diff.keys)
    forced = tuple(path for path in changed if any(paths.covers(want, path) for want in wanted))
    changes = tuple(
        Change(c.path, c.old, c.new, replaces=True) if c.path in forced else c for c in diff.changes
    )  # fmt: skip
    return Diff(diff.changed, (*diff.replaces, *forced), diff.delete_first, changes, diff.keys)


def keep_ignored(inputs: Props, old: Props, ignore: Iterable[str]) -> Props:
    """`inputs` with the ignored paths put back to what they were."""
    for path in ignore:
        inputs = paths.reset(inputs, old, path)
    return inputs


def compare(old: Any, new: Any, path: str = "") -> tuple[Change, ...]:
    """Where two values differ, secrets hidden; the order is that of sorted keys."""
    if {wire.mark(old), wire.mark(new)} & {wire.ASSET, wire.ARCHIVE}:
        # Where the contents come from does not matter; without a hash nobody knows them.
        same = wire.mark(old) == wire.mark(new) and bool(old.get("hash")) and old["hash"] == new.get("hash")
        return () if same else (Change(path, show(old), show(new)),)
    if wire.mark(old) or wire.mark(new):
        same = wire.reveal(old) == wire.reveal(new) and not wire.has_unknown(new)
        return () if same else (Change(path, show(old), show(new)),)
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[Change] = []
        for key in sorted({*old, *new}):
            inner = paths.join(path, key)
            found += compare(old.get(key), new.get(key), inner)
        return tuple(found)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return tuple(c for i, pair in enumerate(zip(old, new, strict=True)) for c in compare(*pair, f"{path}[{i}]"))
    return () if old == new and new != wire.UNKNOWN else (Change(path, show(old), show(new)),)


def show(value: Any) -> Any:
    """`value` for people: secrets and unknowns named, not shown."""
    if isinstance(value, list):
        return [show(item) for item in value]
    if isinstance(value, dict):
        if value.get(wire.SIGNATURE) == wire.SECRET:
            return "[secret]"
        if value.get(wire.SIGNATURE) in (wire.ASSET, wire.ARCHIVE):
            return assets.show(value)
        return {key: show(item) for key, item in value.items()}
    return "[unknown]" if isinstance(value, str) and value == wire.UNKNOWN else value


def deletion_order(doomed: Sequence[Resource]) -> list[tuple[Resource, frozenset[int]]]:
    """Each doomed resource with the positions (in the answer) of those that must be gone before it.

    In: resources in dependency order. Out: reverse order; whatever needs a resource goes before it.
    """
    ordered = list(reversed(doomed))
    needs = [resource.needs() for resource in ordered]
    return [
        (resource, frozenset(i for i in range(at) if resource.urn in needs[i] and ordered[i].urn != resource.urn))
        for at, resource in enumerate(ordered)
    ]


def in_dependency_order(resources: Sequence[Resource]) -> list[Resource]:
    """The same resources, each after what it needs, else in the order given."""
    by_urn: dict[str, list[int]] = {}
    for at, resource in enumerate(resources):
        by_urn.setdefault(resource.urn, []).append(at)
    ordered: dict[int, Resource] = {}
    for first in range(len(resources)):
        waiting = [first]
        while waiting:
            at = waiting[-1]
            earlier = (i for urn in sorted(resources[at].needs()) for i in by_urn.get(urn, ()))
            missing = [i for i in earlier if i not in ordered and i not in waiting]
            if at in ordered or not missing:
                ordered.setdefault(at, resources[at])
                waiting.pop()
            else:
                waiting.append(missing[0])
    return list(ordered.values())


def dependents(resources: Sequence[Resource], roots: Iterable[str]) -> list[Resource]:
    """Everything that needs one of `roots`, directly or not, in the given (dependency) order."""
    reached = set(roots)
    found: list[Resource] = []
    for resource in resources:
        if resource.urn not in reached and resource.needs() & reached:
            reached.add(resource.urn)
            found.append(resource)
    return found
