"""Names of resources: `urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME`. Pure.

The parent's qualified type is in front, except under the stack itself. Source: Pulumi's `sdk/go/common/resource/urn`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Final

STACK_TYPE: Final = "pulumi:pulumi:Stack"
PROVIDER_PREFIX: Final = "pulumi:providers:"


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource; `parent` is a URN or empty."""
    outer = qualified_type(parent) if parent else ""
    inner = type_ if outer in ("", STACK_TYPE) else f"{outer}${type_}"
    return f"urn:pulumi:{stack}::{project}::{inner}::{name}"


def qualified_type(urn: str) -> str:
    """Types from the outermost parent down, joined by `$`."""
    parts = urn.split("::", 3)
    return parts[2] if len(parts) == 4 else ""


def type_of(urn: str) -> str:
    """The resource's own type."""
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """The logical name, which may itself contain `::`."""
    parts = urn.split("::", 3)
    return parts[3] if len(parts) == 4 else urn


def package_of(type_: str) -> str:
    """The package that serves a type token: the first part, or what follows `pulumi:providers:`."""
    return type_.removeprefix(PROVIDER_PREFIX) if is_provider(type_) else type_.split(":", 1)[0]


def is_provider(type_: str) -> bool:
    return type_.startswith(PROVIDER_PREFIX)


def is_default_provider(urn: str) -> bool:
    """A provider that no program registers: the engine makes it, and people are not told of it."""
    name = name_of(urn)
    return is_provider(type_of(urn)) and (name == "default" or name.startswith("default_"))


def reference(urn: str, id_: str) -> str:
    """How a resource names its provider."""
    return f"{urn}::{id_}"


def split_reference(ref: str) -> tuple[str, str]:
    """URN and ID of a provider reference."""
    urn, _, id_ = ref.rpartition("::")
    return urn, id_


def matches(urn: str, patterns: Iterable[str]) -> bool:
    """`urn` is named by one of `patterns`, in which `*` stands for anything."""
    return any(urn == pattern or ("*" in pattern and fnmatch.fnmatchcase(urn, pattern)) for pattern in patterns)
