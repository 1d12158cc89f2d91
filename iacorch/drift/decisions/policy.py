"""What is to be done about which drift: `DriftPolicy` objects as rules, asked in order. Pure.

In: objects of the kind DriftPolicy. Out: `Policies`, which answers with a `Chosen` for each observation. Policies are
asked by falling priority, then by name; within one the first rule that matches decides, then the policy's own action.
Where no policy says anything, drift is observed. A rule that names fields speaks for those fields only.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.drift.compare import matches as path_matches
from iacorch.drift.decisions.windows import Window
from iacorch.drift.model import Action, Field, Layer, Observation, Verdict
from iacorch.errors import ConfigError
from iacorch.kit.schedule import Schedule

Replacement = Literal["never", "approved", "window"]

_STRENGTH: Final = (Action.IGNORE, Action.OBSERVE, Action.ADOPT, Action.PROPOSE, Action.CORRECT)


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches when everything it names matches; globs in all but labels and verdicts. Empty: anything."""

    action: Action
    name: str = ""
    layers: tuple[str, ...] = ()
    stacks: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urns: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    verdicts: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    only_in_window: bool = False
    replacement: Replacement = "approved"

    def covers(self, seen: Observation) -> bool:
        place = seen.place
        return (
            _any(seen.key.layer, self.layers)
            and _any(place.stack, self.stacks)
            and _any(place.node, self.nodes)
            and _any(place.namespace, self.namespaces)
            and _any(seen.key.kind, self.kinds)
            and _any(seen.key.name, self.names)
            and _any(place.urn, self.urns)
            and (not self.verdicts or seen.verdict in self.verdicts)
            and all(place.labels.get(key) == value for key, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """One DriftPolicy. `schedule` is None where checks are only asked for by hand."""

    name: str
    rules: tuple[Rule, ...] = ()
    action: Action = Action.OBSERVE
    layers: tuple[Layer, ...] = tuple(Layer)
    stacks: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    schedule: Schedule | None = None
    suspended: bool = False
    priority: int = 0
    max_corrections: int | None = None

    def speaks_for(self, seen: Observation) -> bool:
        return seen.key.layer in self.layers and (not seen.place.stack or _any(seen.place.stack, self.stacks))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a policy says about one observation, and which one it was (`policy/rule`)."""

    action: Action
    by: str = ""
    windows: tuple[Window, ...] = ()
    only_in_window: bool = False
    replacement: Replacement = "approved"
    max_corrections: int | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies, in the order in which they are asked."""

    policies: tuple[Policy, ...] = ()

    def narrowed(self, seen: Observation) -> Observation:
        """Without the fields that are ignored; in sync when none is left."""
        if seen.verdict is not Verdict.DRIFTED or not seen.fields:
            return seen
        kept = tuple(f for f in seen.fields if self._of_field(seen, f) is not Action.IGNORE)
        if kept == seen.fields:
            return seen
        return replace(seen, fields=kept, verdict=Verdict.DRIFTED if kept else Verdict.IN_SYNC)

    def choose(self, seen: Observation) -> Chosen:
        """For a narrowed observation. With rules for single fields the weakest of their actions counts: setting one
        field right sets the whole resource right."""
        found = self._first(seen, fields=False)
        actions = [found.action, *(a for f in seen.fields if (a := self._of_field(seen, f)) is not None)]
        return replace(found, action=min(actions, key=_STRENGTH.index))

    def _of_field(self, seen: Observation, differs: Field) -> Action | None:
        for policy in self.policies:
            if policy.speaks_for(seen):
                for rule in policy.rules:
                    if rule.fields and rule.covers(seen) and path_matches(differs.path, rule.fields):
                        return rule.action
        return None

    def _first(self, seen: Observation, *, fields: bool) -> Chosen:
        for policy in self.policies:
            if not policy.speaks_for(seen):
                continue
            for number, rule in enumerate(policy.rules, start=1):
                if bool(rule.fields) is fields and rule.covers(seen):
                    return _chosen(policy, rule, f"{policy.name}/{rule.name or number}")
            return _chosen(policy, Rule(policy.action), policy.name)
        return Chosen(Action.OBSERVE)


def _chosen(policy: Policy, rule: Rule, by: str) -> Chosen:
    return Chosen(rule.action, by, policy.windows, rule.only_in_window, rule.replacement, policy.max_corrections)


def _any(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


def always(action: Action) -> Policies:
    """One policy for everything: what `--correct` asks for."""
    return Policies((Policy("command line", action=action),))


def policies_of(found: Iterable[Object]) -> Policies:
    """Raises ConfigError naming the object and the field."""
    parsed = [policy_of(obj) for obj in found if not objects.is_deleting(obj)]
    return Policies(tuple(sorted(parsed, key=lambda policy: (-policy.priority, policy.name))))


def policy_of(obj: Object) -> Policy:
    """One object. Raises ConfigError."""
    spec, name = objects.spec(obj), objects.name(obj)
    where = f"DriftPolicy {name}"
    layers = tuple(Layer(layer) for layer in spec.get("layers") or ()) or tuple(Layer)
    return Policy(
        name=name,
        rules=tuple(_rule(rule) for rule in spec.get("rules") or ()),
        action=Action(spec.get("action") or Action.OBSERVE),
        layers=layers,
        stacks=tuple(spec.get("stacks") or ()),
        windows=tuple(
            _window(window, spec, f"{where}: spec.windows[{at}]") for at, window in enumerate(spec.get("windows") or ())
        ),
        schedule=_schedule(spec, spec, f"{where}: spec") if spec.get("schedule") else None,
        suspended=bool(spec.get("suspend")),
        priority=int(spec.get("priority") or 0),
        max_corrections=spec.get("maxCorrections"),
    )


def _rule(given: Mapping[str, Any]) -> Rule:
    names = ("layers", "stacks", "nodes", "namespaces", "kinds", "names", "urns", "verdicts", "fields")
    lists = {name: tuple(given.get(name) or ()) for name in names}
    return Rule(
        Action(given["action"]),
        name=str(given.get("name") or ""),
        labels=dict(given.get("labels") or {}),
        only_in_window=bool(given.get("onlyInWindow")),
        replacement=given.get("replacement") or "approved",
        **lists,
    )


def _window(given: Mapping[str, Any], spec: Mapping[str, Any], where: str) -> Window:
    schedule = _schedule(given, spec, where)
    return Window(schedule, int(given["durationSeconds"]), str(given.get("name") or ""), bool(given.get("deny")))


def _schedule(given: Mapping[str, Any], spec: Mapping[str, Any], where: str) -> Schedule:
    try:
        return Schedule(str(given["schedule"]), str(given.get("timeZone") or spec.get("timeZone") or "UTC"))
    except ConfigError as error:
        raise ConfigError(error.message, where=f"{where}.schedule", hint=error.hint) from error
