"""The words of drift as values: layers, verdicts, actions, and what was observed about one resource. Pure.

Every layer ends in `Observation`s; from there on nothing knows layers apart. Read next: `compare`, then `decide`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

HIDDEN: Final = "[secret]"


class Layer(StrEnum):
    MACHINE = "machine"
    NODE = "node"
    WORKLOAD = "workload"


class Verdict(StrEnum):
    IN_SYNC = "in sync"
    DRIFTED = "drifted"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    UNKNOWN = "unknown"
    """It could not be looked at, or somebody is changing it right now. Never acted on."""


class Action(StrEnum):
    IGNORE = "ignore"
    OBSERVE = "observe"
    PROPOSE = "propose"
    CORRECT = "correct"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which resource: `scope` is the stack, the node or the namespace it lives in ("" for none)."""

    layer: Layer
    scope: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.layer}/{self.scope}/{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Field:
    """One field that differs. `mark` names the seen value without showing it; `writer` is who set it, if that is known.

    Of a secret value neither side is kept: `wanted` and `seen` are `HIDDEN`.
    """

    path: str
    wanted: Any
    seen: Any
    mark: str = ""
    secret: bool = False
    replaces: bool = False
    writer: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {shown(self.wanted)} -> {shown(self.seen)}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is, for selectors and for people. Empty where it does not apply."""

    stack: str = ""
    node: str = ""
    namespace: str = ""
    urn: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """One resource at one moment. `reason` says why it is unknown, or what is special about it.

    `protected`: the program or its owner forbids to replace or delete it. `loses_data`: setting it right destroys
    something that is not made again, so that it needs a window or a person's consent. `settles` is who sets it right
    without us (an agent, a controller): then a correction is to wait for it.
    """

    key: Key
    verdict: Verdict
    fields: tuple[Field, ...] = ()
    reason: str = ""
    place: Place = Place()
    protected: bool = False
    loses_data: bool = False
    settles: str = ""

    @property
    def is_drift(self) -> bool:
        return self.verdict not in (Verdict.IN_SYNC, Verdict.UNKNOWN)

    @property
    def replaces(self) -> bool:
        """Setting it right makes another one in its place, or takes it away."""
        return self.loses_data or any(f.replaces for f in self.fields)

    @property
    def id(self) -> str:
        """Names this drift of this resource: another difference of the same resource has another one."""
        parts = (str(self.key), self.verdict, *(f"{f.path}={f.mark}" for f in self.fields))
        return digest("\0".join(parts))[:12]


def in_sync(key: Key, place: Place = Place()) -> Observation:
    return Observation(key, Verdict.IN_SYNC, place=place)


def unknown(key: Key, reason: str, place: Place = Place()) -> Observation:
    return Observation(key, Verdict.UNKNOWN, reason=reason, place=place)


def mark_of(value: Any, *, salt: str = "") -> str:
    """A short name for a value. Those of secrets are salted, so that a short secret cannot be found by trying."""
    return digest(f"{salt}\0{shown(value, whole=True)}")[:12]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def shown(value: Any, *, whole: bool = False) -> str:
    """A value on one line, cut where it is long."""
    if value is None:
        return "(none)"
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{k}: {shown(v, whole=True)}" for k, v in sorted(value.items())) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(v, whole=True) for v in value) + "]"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = str(value)
    text = text if whole else " ".join(text.split())
    return text if whole or len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


_SHOWN: Final = 120
