"""Generate `iacorch/api/data/` from published Kubernetes models and schemas. Development only; its output is committed.

    uv pip install --target DIR 'kubernetes-validate==1.37.*' 'lightkube-models==1.37.*'
    python scripts/generate_api.py --models DIR --field-numbers FILE [--check]

`FILE` maps Kubernetes message types to {wire number: [name, type]}. Nothing of the inputs' descriptions is kept. The
output is sorted, so that the same input gives the same bytes; `--check` writes nothing and fails when they differ.
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

#: Streaming subresources, which the published models leave out.
STREAMS = {
    "Pod": [
        {"name": "attach", "verbs": ["create", "get"], "kind": "PodAttachOptions"},
        {"name": "exec", "verbs": ["create", "get"], "kind": "PodExecOptions"},
        {"name": "portforward", "verbs": ["create", "get"], "kind": "PodPortForwardOptions"},
    ]
}

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
        subresources = row["subresources"] + (STREAMS.get(row["kind"], []) if not row["group"] else [])
        row["subresources"] = sorted(subresources, key=lambda entry: str(entry["name"]))
        if not row["subresources"]:
            del row["subresources"]
        row |= {field: value for field, value in wanted.items() if field not in ("api", "kind")}
        rows.append(row)
    return b"[\n" + b",\n".join(dump(row).rstrip() for row in rows) + b"\n]\n"


def generate(models: Path, field_numbers: Path | None) -> dict[str, bytes]:
    """File name -> content."""
    return {"kinds.json": kinds(models)}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=Path, required=True)
    arguments.add_argument("--field-numbers", type=Path)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
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
