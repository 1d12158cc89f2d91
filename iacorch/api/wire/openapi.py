"""OpenAPI v3 documents, one for each group and version.

In: a catalogue and the structure bundle. Out: the index of /openapi/v3 and each document, with the `x-kubernetes-*`
extensions that `kubectl explain`, client-side validation and typed clients read. Descriptions are absent, unless
`data/descriptions.json` (type -> field -> words; made at wheel build time, never committed) stands beside the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

from iacorch.api.catalogue import Catalogue, Kind
from iacorch.api.objects import Object
from iacorch.api.wire.structure import Field, Type, type_for, type_named, type_of

_INT_OR_STRING: Final = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
_SCALARS: Final[Mapping[str, Mapping[str, Any]]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "byte": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "intstr": _INT_OR_STRING,
    "any": {"type": "object"},
}
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
"""A type with a name, which is how `kubectl explain` shows it."""
_DELETE_OPTIONS: Final = "meta.v1.DeleteOptions"


def path_of(group: str, version: str) -> str:
    """`api/v1`, `apis/apps/v1`: below /openapi/v3/."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(catalogue: Catalogue, hash_of: Mapping[str, str]) -> Object:
    """/openapi/v3. `hash_of` gives each path the hash of its document, which makes its URL cacheable for ever."""
    paths = [path_of(group, version) for group, version in catalogue.group_versions()]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={hash_of[path]}"} for path in paths}}


def document(catalogue: Catalogue, group: str, version: str) -> Object:
    """The document of one group and version, empty of paths if there is none such."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in catalogue.in_group_version(group, version):
        name = _add_kind(schemas, kind)
        _add_paths(paths, schemas, kind, name)
    return {
        "openapi": "3.0.0",
        "info": {"title": "iacorch", "version": "v1.37.0"},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _add_kind(schemas: dict[str, Any], kind: Kind) -> str:
    """Puts the kind's schema, its list's and whatever they need into `schemas`; returns its name there."""
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    type_ = type_of(kind)
    if type_ is None:
        name = ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
        schemas[name] = {**(kind.schema_json or {"type": "object"}), "x-kubernetes-group-version-kind": [gvk]}
    else:
        name = type_.full_name
        _add_type(schemas, type_)
        schemas[name]["x-kubernetes-group-version-kind"] = [gvk]
    if "list" in kind.verbs:
        _add_type(schemas, type_named("meta.v1.ListMeta"))
        schemas[f"{name}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": _reference("meta.v1.ListMeta"),
                "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            },
            "x-kubernetes-group-version-kind": [gvk | {"kind": kind.list_kind}],
        }
    return name


def _add_type(schemas: dict[str, Any], type_: Type) -> None:
    if type_.full_name in schemas:
        return
    words = _descriptions().get(type_.name, {})
    properties: dict[str, Any] = {}
    schemas[type_.full_name] = schema = {"type": "object", "properties": properties}
    required = sorted(field.name for field in type_.fields.values() if field.required)
    if required:
        schema["required"] = required
    if description := words.get(""):
        schema["description"] = description
    for field in type_.fields.values():
        properties[field.name] = _property(field)
        if description := words.get(field.name):
            properties[field.name]["description"] = description
        if field.type == "quantity":
            schemas[_QUANTITY] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
        elif not field.is_scalar:
            _add_type(schemas, type_named(field.type))


def _property(field: Field) -> dict[str, Any]:
    if field.type == "quantity":
        inner: dict[str, Any] = {"allOf": [{"$ref": f"#/components/schemas/{_QUANTITY}"}]}
    else:
        inner = dict(_SCALARS[field.type]) if field.is_scalar else {"allOf": [_reference(field.type)]}
    match field.shape:
        case "[]":
            found: dict[str, Any] = {"type": "array", "items": inner}
        case "{}":
            found = {"type": "object", "additionalProperties": inner}
        case "{}[]":
            found = {"type": "object", "additionalProperties": {"type": "array", "items": inner}}
        case _:
            found = inner
    if field.list_type:
        found["x-kubernetes-list-type"] = field.list_type
    if field.map_keys:
        found["x-kubernetes-list-map-keys"] = list(field.map_keys)
    if field.map_type:
        found["x-kubernetes-map-type"] = field.map_type
    strategy = [word for word, is_set in (("merge", field.merges), ("retainKeys", field.retain_keys)) if is_set]
    if strategy:
        found["x-kubernetes-patch-strategy"] = ",".join(strategy)
    if field.merge_key:
        found["x-kubernetes-patch-merge-key"] = field.merge_key
    return found


def _reference(type_name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{type_named(type_name).full_name}"}


_QUERY: Final = {
    "POST": ("dryRun", "fieldManager", "fieldValidation"),
    "PUT": ("dryRun", "fieldManager", "fieldValidation"),
    "PATCH": ("dryRun", "fieldManager", "fieldValidation", "force"),
}
_ITEM_VERBS: Final = (("get", "GET"), ("update", "PUT"), ("patch", "PATCH"), ("delete", "DELETE"))
_COLLECTION_VERBS: Final = (("list", "GET"), ("create", "POST"), ("deletecollection", "DELETE"))
_ACTIONS: Final = {"update": "put", "create": "post"}


def _add_paths(paths: dict[str, Any], schemas: dict[str, Any], kind: Kind, name: str) -> None:
    space = "{namespace}" if kind.namespaced else ""
    collection, item = kind.path(space), kind.path(space, "{name}")
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    for path, verbs in ((collection, _COLLECTION_VERBS), (item, _ITEM_VERBS)):
        operations = {}
        for verb, method in verbs:
            if verb in kind.verbs:
                shown = f"{name}List" if verb == "list" else name
                operations[method.lower()] = _operation(method, verb, shown, gvk)
        if operations:
            paths[path] = operations
    if "delete" in kind.verbs:
        _add_type(schemas, type_named(_DELETE_OPTIONS))
    for sub in kind.subresources:
        type_ = type_for(f"{sub.group}/{sub.version}" if sub.group else sub.version, sub.kind)
        if type_ is None:
            continue
        _add_type(schemas, type_)
        sub_gvk = {"group": sub.group, "version": sub.version, "kind": sub.kind}
        methods = {"get": "GET", "update": "PUT", "patch": "PATCH", "create": "POST"}
        paths[f"{item}/{sub.name}"] = {
            methods[verb].lower(): _operation(methods[verb], verb, type_.full_name, sub_gvk) for verb in sub.verbs
        }


def _operation(method: str, verb: str, schema: str, gvk: Mapping[str, str]) -> dict[str, Any]:
    """`kubectl` looks for `fieldValidation` and `dryRun` among the parameters, under the kind it is about to send."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    found: dict[str, Any] = {
        "x-kubernetes-action": _ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": dict(gvk),
        "parameters": [
            {"name": query, "in": "query", "schema": {"type": "boolean" if query == "force" else "string"}}
            for query in _QUERY.get(method, ())
        ],
        "responses": {"200": {"description": "OK", "content": content}},
    }
    if method in ("POST", "PUT"):
        found["requestBody"] = {"content": content, "required": True}
    if method == "PATCH":
        found["requestBody"] = {"content": {"application/merge-patch+json": {"schema": {"type": "object"}}}}
    return found


@cache
def _descriptions() -> dict[str, dict[str, str]]:
    file = resources.files("iacorch.api").joinpath("data/descriptions.json")
    if not file.is_file():
        return {}
    found: dict[str, dict[str, str]] = orjson.loads(file.read_bytes())
    return found
