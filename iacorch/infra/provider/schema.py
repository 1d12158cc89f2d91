"""The package's schema as Pulumi reads it (`pulumi schema`, language bindings, docs). Pure.

In: the `ResourceSpec`s. Out: JSON text. Source: Pulumi's package schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from iacorch.infra.provider.properties import Property, ResourceSpec

_TREE: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "strings": {"type": "array", "items": {"type": "string"}},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "integers": {"type": "array", "items": {"type": "integer"}},
    "tree": _TREE,
    "trees": {"type": "array", "items": _TREE},
}

# A generated SDK names the version that it was generated from, so that it asks for a plugin which knows its properties.
_LANGUAGES: Final[Mapping[str, dict[str, Any]]] = {
    "csharp": {"respectSchemaVersion": True},
    "go": {"respectSchemaVersion": True, "generateResourceContainerTypes": True},
    "nodejs": {"respectSchemaVersion": True},
    "python": {"respectSchemaVersion": True, "pyproject": {"enabled": True}},
}


def package_schema(version: str, specs: Iterable[ResourceSpec]) -> str:
    """The whole schema."""
    types: dict[str, Any] = {}
    resources = {spec.token: _resource(spec, types) for spec in specs}
    document = {
        "name": "iacorch",
        "displayName": "iacorch",
        "version": version,
        "description": "Machines as nodes, and what runs on them.",
        "keywords": ["pulumi", "iacorch", "category/infrastructure"],
        "license": "Apache-2.0",
        "config": {},
        "types": types,
        "provider": {"description": "The iacorch provider; it needs no configuration."},
        "resources": resources,
        "functions": {},
        "language": _LANGUAGES,
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def _resource(spec: ResourceSpec, types: dict[str, Any]) -> dict[str, Any]:
    inputs = {p.name: _property(p, types) for p in spec.inputs}
    outputs = {p.name: _property(p, types) for p in spec.outputs}
    return {
        "description": spec.description,
        "inputProperties": inputs,
        "requiredInputs": [p.name for p in spec.inputs if p.required],
        # What is given comes back: every input is an output too.
        "properties": {**{name: _without_default(p) for name, p in inputs.items()}, **outputs},
        "required": [*(p.name for p in spec.inputs if p.required), *outputs],
    }


def _property(prop: Property, types: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": prop.description}
    if prop.kind == "object":
        token = f"iacorch:index:{prop.type_name}"
        types[token] = {
            "type": "object",
            "properties": {field.name: _property(field, types) for field in prop.fields},
            "required": [field.name for field in prop.fields if field.required],
        }
        described["$ref"] = f"#/types/{token}"
    else:
        described |= _TYPES[prop.kind]
    if prop.default is not None and prop.kind in ("string", "integer", "boolean"):
        described["default"] = prop.default
    if prop.secret:
        described["secret"] = True
    if prop.replaces:
        described["willReplaceOnChanges"] = True
    return described


def _without_default(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in ("default", "willReplaceOnChanges")}
