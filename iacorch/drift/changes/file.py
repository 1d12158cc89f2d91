"""A plan on disk: JSON, with a seal over all of it. Pure.

In: a `Plan`. Out: bytes, and back. The seal tells a plan that was edited by hand, or cut off, from one that was made;
it is no signature. No secret is in a plan: differences of secrets are hidden where they are made.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any, Final

import orjson

from iacorch.drift.changes.model import Input, Plan, Step, Verb
from iacorch.drift.model import Layer
from iacorch.errors import ConfigError

VERSION: Final = 1
_SORTED: Final = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2


def dump(plan: Plan) -> bytes:
    body = asdict(plan)
    return orjson.dumps({"version": VERSION, "plan": body, "seal": _seal(body)}, option=_SORTED)


def load(data: bytes, *, where: str) -> Plan:
    """Raises ConfigError naming the file."""
    again = "make it again: iacorch plan --out FILE"
    try:
        document: Any = orjson.loads(data)
        if document["version"] != VERSION:
            raise ConfigError(f"has version {document['version']}, expected {VERSION}", where=where, hint=again)
        body = document["plan"]
        if document["seal"] != _seal(body):
            raise ConfigError("was changed after it was made", where=where, hint=again)
        return Plan(
            made_at=body["made_at"],
            stacks=tuple(body["stacks"]),
            steps=tuple(_step(step) for step in body["steps"]),
            inputs=tuple(Input(**entry) for entry in body["inputs"]),
            notes=tuple(body["notes"]),
            refreshed=dict(body["refreshed"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"is no plan: {error!r}", where=where, hint=again) from error


def _step(given: dict[str, Any]) -> Step:
    layer, verb, details = Layer(given["layer"]), Verb(given["verb"]), tuple(given["details"])
    return Step(**{**given, "layer": layer, "verb": verb, "details": details})


def _seal(body: Any) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
