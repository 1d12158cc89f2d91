"""What may be said about a Docker resource: property names, kinds, defaults, and which force a replacement.

The tables follow pulumi-docker 5.2 (itself bridged from the Terraform provider): for a network and a volume every
input replaces, for a container all but the few that Docker changes in place. `failures` checks one resource's inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from iacorch.infra.machines.docker_provider.wire import UNKNOWN

DEFAULTS_KEY: Final = "__defaults"
"""Where pulumi's bridged providers note which inputs the provider chose itself (here: the name)."""


class Kind(StrEnum):
    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "true or false"
    STRINGS = "a list of strings"
    MAP = "a map of strings"
    OBJECT = "an object"
    OBJECTS = "a list of objects"


@dataclass(frozen=True, slots=True)
class Property:
    """One input.

    `unordered`: a list whose order means nothing. `observed`: reading may find another value. `sticky`: Docker can set
    it in place but not take it back to its default.
    """

    kind: Kind
    replaces: bool = True
    sticky: bool = False
    required: bool = False
    default: Any = None
    unordered: bool = False
    observed: bool = False
    pattern: str = ""
    fields: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schema:
    """One resource type. `known_by_name`: its name is the provider's to choose and must be unique in the engine."""

    token: str
    inputs: Mapping[str, Property]
    computed: tuple[str, ...]
    known_by_name: bool


def string(**options: Any) -> Property:
    return Property(Kind.STRING, **options)


def integer(**options: Any) -> Property:
    return Property(Kind.INTEGER, **options)


def boolean(**options: Any) -> Property:
    return Property(Kind.BOOLEAN, **options)


def strings(**options: Any) -> Property:
    return Property(Kind.STRINGS, **{"unordered": True, **options})


def mapping(**options: Any) -> Property:
    return Property(Kind.MAP, **options)


def struct(fields: Mapping[str, Property], **options: Any) -> Property:
    return Property(Kind.OBJECT, fields=fields, **options)


def structs(fields: Mapping[str, Property], **options: Any) -> Property:
    return Property(Kind.OBJECTS, fields=fields, **{"unordered": True, **options})


LABELS: Final = structs({"label": string(required=True), "value": string(required=True)})

NETWORK: Final = Schema(
    token="docker:index/network:Network",
    inputs={
        "name": string(),
        "attachable": boolean(default=False),
        "driver": string(default="bridge"),
        "ingress": boolean(default=False),
        "internal": boolean(default=False),
        "ipamConfigs": structs({"auxAddress": mapping(), "gateway": string(), "ipRange": string(), "subnet": string()}),
        "ipamDriver": string(default="default"),
        "ipamOptions": mapping(),
        "ipv6": boolean(default=False),
        "labels": LABELS,
        "options": mapping(),
    },
    computed=("scope",),
    known_by_name=True,
)

VOLUME: Final = Schema(
    token="docker:index/volume:Volume",
    inputs={"name": string(), "driver": string(default="local"), "driverOpts": mapping(), "labels": LABELS},
    computed=("mountpoint",),
    known_by_name=True,
)

REMOTE_IMAGE: Final = Schema(
    token="docker:index/remoteImage:RemoteImage",
    inputs={
        "name": string(required=True),
        "build": struct(
            {
                "context": string(required=True),
                "dockerfile": string(),
                "buildArgs": mapping(),
                "labels": mapping(),
                "noCache": boolean(),
                "platform": string(),
                "forceRemove": boolean(),
                "remove": boolean(),
            }
        ),
        "forceRemove": boolean(replaces=False),
        "keepLocally": boolean(replaces=False),
        "platform": string(),
        "pullTriggers": strings(),
        "triggers": mapping(),
    },
    computed=("imageId", "repoDigest"),
    known_by_name=False,
)

IMAGE: Final = Schema(
    token="docker:index/image:Image",
    inputs={
        "imageName": string(required=True),
        "build": struct(
            {
                "context": string(default="."),
                "dockerfile": string(),
                "args": mapping(),
                "platform": string(),
            },
            replaces=False,
        ),
        "buildOnPreview": boolean(replaces=False),
        "skipPush": boolean(replaces=False),
    },
    computed=("baseImageName", "registryServer", "repoDigest"),
    known_by_name=False,
)


def failures(schema: Schema, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every (property path, reason) for which `inputs` cannot be used."""
    yield from _object_failures(schema.inputs, inputs, "")


def _object_failures(known: Mapping[str, Property], value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, prop in known.items():
        if prop.required and value.get(name) is None:
            yield path + name, "is required"
    for name, item in value.items():
        if name == DEFAULTS_KEY or item is None:
            continue
        if name not in known:
            yield (
                path + name,
                "is not a property that the built-in docker provider knows; use the Pulumi CLI with the docker plugin",
            )
        else:
            yield from _value_failures(known[name], item, path + name)


def _value_failures(prop: Property, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if value == UNKNOWN:
        return
    match prop.kind:
        case Kind.STRING:
            if not isinstance(value, str):
                yield path, f"must be {prop.kind}, found {value!r}"
            elif prop.pattern and not re.fullmatch(prop.pattern, value):
                yield path, f"must match {prop.pattern}, found {value!r}"
        case Kind.INTEGER:
            if isinstance(value, bool) or not isinstance(value, int):
                yield path, f"must be {prop.kind}, found {value!r}"
        case Kind.BOOLEAN:
            if not isinstance(value, bool):
                yield path, f"must be {prop.kind}, found {value!r}"
        case Kind.STRINGS:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                yield path, f"must be {prop.kind}, found {value!r}"
        case Kind.MAP:
            if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
                yield path, f"must be {prop.kind}, found {value!r}"
        case Kind.OBJECT:
            if isinstance(value, dict):
                yield from _object_failures(prop.fields, value, f"{path}.")
            else:
                yield path, f"must be {prop.kind}, found {value!r}"
        case Kind.OBJECTS:
            if not isinstance(value, list):
                yield path, f"must be {prop.kind}, found {value!r}"
                return
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _object_failures(prop.fields, item, f"{path}[{index}].")
                elif item != UNKNOWN:
                    yield f"{path}[{index}]", f"must be {Kind.OBJECT}, found {item!r}"
