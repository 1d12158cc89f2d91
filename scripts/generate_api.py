"""Generate `iacorch/api/data/` from published Kubernetes models and schemas. Development only; its output is committed.

    uv pip install --target DIR 'kubernetes-validate==1.37.*' 'lightkube-models==1.37.*'
    python scripts/generate_api.py --models DIR --field-numbers FILE [--check | --descriptions]

`FILE` maps Kubernetes message types to {wire number: [name, type]}. Nothing of the inputs' descriptions is kept. The
output is sorted, so that the same input gives the same bytes; `--check` writes nothing and fails when they differ.
`--descriptions` writes what `kubectl explain` shows into `descriptions.json`, which a wheel may carry and git ignores.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from typing import Any

import orjson

DATA = Path(__file__).resolve().parent.parent / "iacorch" / "api" / "data"

#: The kinds served, in the order in which discovery lists them. Short names and categories are written by hand, as no
#: published package carries them.
KINDS: list[dict[str, Any]] = [
    {"api": "v1", "kind": "ConfigMap", "shortNames": ["cm"]},
    {"api": "v1", "kind": "Event", "shortNames": ["ev"]},
    {"api": "v1", "kind": "Namespace", "shortNames": ["ns"]},
    {"api": "v1", "kind": "Node", "shortNames": ["no"]},
    {"api": "v1", "kind": "Pod", "shortNames": ["po"], "categories": ["all"]},
    {"api": "v1", "kind": "Secret"},
    {"api": "v1", "kind": "Service", "shortNames": ["svc"], "categories": ["all"]},
    {"api": "v1", "kind": "ServiceAccount", "shortNames": ["sa"]},
    {"api": "apps/v1", "kind": "Deployment", "shortNames": ["deploy"], "categories": ["all"]},
    {"api": "apps/v1", "kind": "ReplicaSet", "shortNames": ["rs"], "categories": ["all"]},
    {"api": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    {"api": "authentication.k8s.io/v1", "kind": "TokenReview"},
    {"api": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"},
    {"api": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"},
    {"api": "coordination.k8s.io/v1", "kind": "Lease"},
    {"api": "discovery.k8s.io/v1", "kind": "EndpointSlice"},
    {"api": "events.k8s.io/v1", "kind": "Event", "shortNames": ["ev"], "storage": ["", "events"]},
]

#: Subresources that are not served, with the reason.
LEFT_OUT = {
    ("Node", "proxy"),  # the agents' tunnel serves logs and exec; proxying arbitrary requests is not needed for that
    ("Pod", "proxy"),
    ("Service", "proxy"),
    ("Pod", "ephemeralcontainers"),  # debug containers are not run yet
    ("Pod", "resize"),  # no in-place resize yet
    ("ServiceAccount", "token"),  # service accounts do not authenticate yet
}

#: Types that are reached from no kind's row: bodies of subresources and requests, and the answer to errors.
EXTRA_TYPES = [
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
]

#: Types that JSON writes as a plain value.
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}

#: Optional numbers and booleans whose zero means absent. Everywhere else an optional zero was written on purpose
#: (`replicas: 0`). No published package says which is which; the API reference's "defaults to 0/false" does.
ZERO_IS_ABSENT = frozenset(
    """
    availableReplicas count denied deprecatedCount failureThreshold fullyLabeledReplicas generation
    healthCheckNodePort hostIPC hostNetwork hostPID hostPort initialDelaySeconds minReadySeconds nodePort
    observedGeneration paused periodSeconds publishNotReadyAddresses readOnly readyReplicas signal sizeBytes stdin
    stdinOnce successThreshold timeoutSeconds tty unavailableReplicas unschedulable updatedReplicas
    """.split()  # noqa: SIM905 - a list of sixty quoted names is harder to read
)

VERBS = {
    "delete": "delete",
    "deletecollection": "deletecollection",
    "get": "get",
    "list": "list",
    "patch": "patch",
    "post": "create",
    "put": "update",
    "watch": "watch",
}


def dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) + b"\n"


def resource_rows(models: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) -> row, read from the class bodies of lightkube's resource modules without importing them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    below: list[tuple[tuple[str, str], dict[str, Any]]] = []
    for module in sorted((models / "lightkube" / "resources").glob("*.py")):
        for node in ast.parse(module.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            info = api_info(node)
            if info is None:
                continue
            group, version, kind = info["resource"]
            verbs = sorted({VERBS[verb] for verb in info["verbs"] if verb in VERBS})
            if "parent" in info:
                parent_group, parent_version, parent_kind = info["parent"]
                entry: dict[str, Any] = {"name": info["action"], "verbs": verbs}
                if (group, version, kind) != (parent_group, parent_version, parent_kind):
                    entry |= {"group": group, "version": version, "kind": kind}
                below.append(((api_version(parent_group, parent_version), parent_kind), entry))
                continue
            rows[api_version(group, version), kind] = {
                "group": group,
                "version": version,
                "kind": kind,
                "plural": info["plural"],
                "namespaced": "Global" not in ast.unparse(node.bases[0]),
                "verbs": verbs,
                "subresources": [],
            }
    for parent, entry in below:
        if parent in rows and (parent[1], entry["name"]) not in LEFT_OUT:
            rows[parent]["subresources"].append(entry)
    return rows


def api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def api_info(node: ast.ClassDef) -> dict[str, Any] | None:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_api_info":
            assert isinstance(statement.value, ast.Call)
            found: dict[str, Any] = {}
            for keyword in statement.value.keywords:
                value = keyword.value
                literal = [ast.literal_eval(arg) for arg in value.args] if isinstance(value, ast.Call) else None
                found[str(keyword.arg)] = literal if literal is not None else ast.literal_eval(value)
            return found
    return None


def kinds(models: Path) -> bytes:
    published = resource_rows(models)
    rows = []
    for wanted in KINDS:
        row = dict(published[wanted["api"], wanted["kind"]])
        row["subresources"] = sorted(row["subresources"], key=lambda entry: str(entry["name"]))
        if not row["subresources"]:
            del row["subresources"]
        row |= {field: value for field, value in wanted.items() if field not in ("api", "kind")}
        rows.append(row)
    return b"[\n" + b",\n".join(dump(row).rstrip() for row in rows) + b"\n]\n"


def short(name: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `core.v1.Pod`; `io.k8s.apimachinery.pkg.apis.meta.v1.X` -> `meta.v1.X`."""
    return ".".join(name.split(".")[-3:])


class Schemas:
    """Walks the published definitions from the served kinds and writes one line a field.

    A field's line is `[] or {} for lists and maps` + type, then words: `!` required, `#N` its wire number, `zero` when
    its zero means absent, `list=TYPE:KEYS`, `map=atomic`, `merge=KEY` (or `merge` for lists of values), `retain`.
    """

    def __init__(self, definitions: dict[str, Any], numbers: dict[str, Any]) -> None:
        self._definitions, self._numbers = definitions, numbers
        self.types: dict[str, dict[str, str]] = {}
        self.inline: dict[str, dict[str, str]] = {}
        self.kinds: dict[str, str] = {}

    def add(self, full: str) -> None:
        if short(full) in self.types:
            return
        definition = self._definitions[full]
        self.types[short(full)] = {}
        properties = definition.get("properties", {})
        wire = {name: int(number) for number, (name, _) in self._wire(full).items()}
        fields = {}
        for field, schema in properties.items():
            fields[field] = self._line(field, schema, field in definition.get("required", ()), wire.get(field))
        self.types[short(full)] = fields
        self._inline(full, fields)
        for entry in definition.get("x-kubernetes-group-version-kind", ()):
            key = f"{api_version(entry['group'], entry['version'])}/{entry['kind']}"
            if not short(full).startswith("meta."):
                self.kinds[key] = short(full)

    def _wire(self, full: str) -> dict[str, Any]:
        return self._numbers.get(full.replace("io.k8s.", "k8s.io.", 1), {})

    def _line(self, field: str, schema: dict[str, Any], required: bool, number: int | None) -> str:
        shape, item = "", schema
        if "items" in schema:
            shape, item = "[]", schema["items"]
        elif "additionalProperties" in schema:
            shape, item = "{}", schema["additionalProperties"]
            if "items" in item:  # a map of lists: string lists in user information
                shape, item = "{}[]", item["items"]
        name = self._type(item)
        words = [shape + name]
        if required:
            words.append("!")
        elif name in ("int32", "int64", "bool") and not shape and field in ZERO_IS_ABSENT:
            words.append("zero")
        if number is not None:
            words.append(f"#{number}")
        if kind := schema.get("x-kubernetes-list-type"):
            keys = ",".join(schema.get("x-kubernetes-list-map-keys", ()))
            words.append(f"list={kind}:{keys}" if keys else f"list={kind}")
        referred = self._definitions.get(item.get("$ref", "").rpartition("/")[2], {})
        if kind := schema.get("x-kubernetes-map-type") or referred.get("x-kubernetes-map-type"):
            words.append(f"map={kind}")
        strategy = schema.get("x-kubernetes-patch-strategy", "").split(",")
        if "merge" in strategy:
            key = schema.get("x-kubernetes-patch-merge-key")
            words.append(f"merge={key}" if key else "merge")
        if "retainKeys" in strategy:
            words.append("retain")
        return " ".join(words)

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            full = schema["$ref"].rpartition("/")[2]
            if full in SCALARS:
                return SCALARS[full]
            self.add(full)
            return short(full)
        kinds = schema.get("type", "object")
        kind = next(entry for entry in ([kinds] if isinstance(kinds, str) else kinds) if entry != "null")
        match kind:
            case "integer":
                return str(schema.get("format", "int64"))
            case "number":
                return "double"
            case "boolean":
                return "bool"
            case "string":
                return {"byte": "byte", "date-time": "time"}.get(schema.get("format", ""), "string")
            case _:
                return "any"

    def _inline(self, full: str, fields: dict[str, str]) -> None:
        """Messages that JSON flattens into their parent: their fields are the parent's, under numbers of their own."""
        for number, (name, type_) in self._wire(full).items():
            if name in fields or not type_.startswith("k8s.io."):
                continue
            inner = {entry: int(at) for at, (entry, _) in self._numbers[type_].items()}
            alias = short(type_)
            lines = {entry: f"{fields[entry].split(' #')[0]} #{at}" for entry, at in inner.items() if entry in fields}
            self.inline.setdefault(short(full), {})[number] = f"{short(full)}+{alias}"
            self.types[f"{short(full)}+{alias}"] = lines


def definitions_of(models: Path) -> dict[str, Any]:
    folder = models / "kubernetes_validate" / "kubernetes-json-schema" / "v1.37.0-local"
    found: dict[str, Any] = orjson.loads((folder / "_definitions.json").read_bytes())["$defs"]
    return found


def schemas(models: Path, field_numbers: Path) -> bytes:
    definitions = definitions_of(models)
    found = Schemas(definitions, orjson.loads(field_numbers.read_bytes()))
    wanted = {(entry["api"], entry["kind"]) for entry in KINDS}
    for full, definition in sorted(definitions.items()):
        for entry in definition.get("x-kubernetes-group-version-kind", ()):
            if (api_version(entry["group"], entry["version"]), entry["kind"]) in wanted:
                found.add(full)
    for full in EXTRA_TYPES:
        found.add(full)
    lines = [
        f"{orjson.dumps(name).decode()}:{dump(found.types[name]).decode().rstrip()}" for name in sorted(found.types)
    ]
    head = f'"kinds":{dump(found.kinds).decode().rstrip()},\n"inline":{dump(found.inline).decode().rstrip()}'
    return ("{" + head + ',\n"types":{\n' + ",\n".join(lines) + "\n}}\n").encode()


def generate(models: Path, field_numbers: Path) -> dict[str, bytes]:
    """File name -> content."""
    return {"kinds.json": kinds(models), "schema.json": schemas(models, field_numbers)}


def descriptions(models: Path, field_numbers: Path) -> bytes:
    """Type -> field -> words; the words of a type itself stand under the empty field."""
    wanted = orjson.loads(schemas(models, field_numbers))["types"]
    found: dict[str, dict[str, str]] = {}
    for full, definition in definitions_of(models).items():
        if short(full) in wanted:
            words = {field: entry.get("description", "") for field, entry in definition.get("properties", {}).items()}
            words[""] = definition.get("description", "")
            found[short(full)] = {field: text for field, text in words.items() if text}
    return dump(found)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=Path, required=True)
    arguments.add_argument("--field-numbers", type=Path, required=True)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--descriptions", action="store_true")
    options = arguments.parse_args()
    if options.descriptions:
        (DATA / "descriptions.json").write_bytes(descriptions(options.models, options.field_numbers))
        return 0
    different = []
    for name, content in generate(options.models, options.field_numbers).items():
        target = DATA / name
        if options.check:
            if not target.exists() or target.read_bytes() != content:
                different.append(name)
        else:
            target.write_bytes(content)
    if different:
        sys.stderr.write(f"differs from the committed data: {', '.join(different)}\n")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
