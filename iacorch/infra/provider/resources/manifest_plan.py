"""What a Manifest asks for, and how objects get there. Pure.

In: YAML text or objects, and what the API has. Out: documents in the order of applying, patches, and what is still
missing until a rollout is done. Called by `manifest`, which acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from iacorch.api import catalogue, defaults, objects, strategy
from iacorch.api.objects import Object
from iacorch.api.patch.merge import merge_patch
from iacorch.errors import ConfigError, NotFound
from iacorch.infra.machines.docker_provider.wire import has_unknown

OWNER: Final = "iacorch.dev/manifest"
"""The annotation that holds the token of the Manifest an object belongs to."""
_FIRST: Final = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap", "Service")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One object, as it is kept in a Manifest's state."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.api_version} {self.kind} {place}"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """What `str` made."""
        api_version, kind, place = text.split(" ")
        namespace, _, name = place.rpartition("/")
        return cls(api_version, kind, namespace, name)


def documents(text: str, given: Sequence[Any], *, namespace: str = "default") -> list[Object]:
    """Every object, namespaced ones with their namespace, in the order of applying. Raises ConfigError naming which."""
    found: list[Any] = list(given)
    if text:
        try:
            found += [document for document in yaml.safe_load_all(text) if document is not None]
        except yaml.YAMLError as error:
            raise ConfigError(f"is not YAML: {error}", where="yaml") from error
    wanted = [_checked(obj, number, namespace) for number, obj in enumerate(_flattened(found), start=1)]
    seen: set[Reference] = set()
    for obj in wanted:
        if (ref := reference(obj)) in seen:
            raise ConfigError(f"{ref} is there twice")
        seen.add(ref)
    return sorted(wanted, key=lambda obj: _FIRST.index(obj["kind"]) if obj["kind"] in _FIRST else len(_FIRST))


def _flattened(found: Iterable[Any]) -> Iterable[Any]:
    """`kind: List` is its items."""
    for obj in found:
        if isinstance(obj, dict) and obj.get("kind") == "List" and isinstance(obj.get("items"), list):
            yield from obj["items"]
        else:
            yield obj


def _checked(obj: Any, number: int, namespace: str) -> Object:
    where = f"object {number}"
    if not isinstance(obj, dict):
        raise ConfigError(f"expected an object, found {type(obj).__name__}", where=where)
    metadata = obj.get("metadata")
    if not obj.get("apiVersion") or not obj.get("kind") or not isinstance(metadata, dict) or not metadata.get("name"):
        raise ConfigError("expected apiVersion, kind and metadata.name", where=where)
    try:
        kind = catalogue.kind(obj["kind"], obj["apiVersion"])
    except NotFound as error:
        raise ConfigError(error.message, where=f"{where}, {metadata['name']}") from error
    if kind.namespaced:
        return {**obj, "metadata": {"namespace": namespace, **metadata}}
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "namespace"}}


def reference(obj: Object) -> Reference:
    metadata = obj["metadata"]
    return Reference(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"])


def left_over(state: Mapping[str, Any], wanted: Iterable[Object]) -> list[Reference]:
    """What a Manifest had applied by its state, and does not ask for any more."""
    asked = {reference(obj) for obj in wanted}
    known = (Reference.parse(text) for text in state.get("applied") or ())
    return [ref for ref in known if ref not in asked]


def owned(obj: Object, token: str) -> Object:
    """The object with the mark of its Manifest."""
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), OWNER: token}}}


def patch(before: Object | None, wanted: Object, live: Object) -> dict[str, Any]:
    """The JSON merge patch that makes `live` what is `wanted`; empty when it is already.

    What `before` (the manifest applied last) had and `wanted` has not is taken away; what neither names stays as the
    server or a controller set it.
    """
    difference: dict[str, Any] = {}
    old = before or {}
    for name, value in wanted.items():
        now = live.get(name)
        if isinstance(value, dict) and isinstance(now, dict):
            was = old.get(name)
            if inner := patch(was if isinstance(was, dict) else None, value, now):
                difference[name] = inner
        elif not _same(merged := _merged(old.get(name), value, now), now):
            difference[name] = merged
    for name in old:
        if name not in wanted and live.get(name) is not None:
            difference[name] = None
    return difference


def is_settled(wanted: Object, live: Object) -> bool:
    """Whether applying would leave the live object as it is.

    The server has its own spelling: `stringData` lands in `data`, `1000m` is kept as `1`. What it would write counts.
    """
    difference = patch(None, wanted, live)
    if not difference:
        return True
    kind = catalogue.kind(wanted["kind"], wanted["apiVersion"])
    known = {**live, "apiVersion": kind.api_version, "kind": kind.kind}
    try:
        after = defaults.with_defaults(kind, merge_patch(known, difference))
        return strategy.prepare_update(kind, known, after) == known
    except (ValueError, TypeError, AttributeError):
        return False  # what the server would refuse


def _merged(before: Any, wanted: Any, live: Any) -> Any:
    """A whole value: objects by field, lists of named objects by name, everything else as wanted."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        old = before if isinstance(before, dict) else {}
        kept = {name: value for name, value in live.items() if name in wanted or name not in old}
        return {**kept, **{name: _merged(old.get(name), value, live.get(name)) for name, value in wanted.items()}}
    if isinstance(wanted, list) and isinstance(live, list) and wanted and all(map(_named, [*wanted, *live])):
        # Server-set fields of the entries (a Service port's nodePort) live on.
        olds = {entry["name"]: entry for entry in before or () if _named(entry)} if isinstance(before, list) else {}
        lives = {entry["name"]: entry for entry in live}
        return [_merged(olds.get(entry["name"]), entry, lives.get(entry["name"])) for entry in wanted]
    return wanted


def _named(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _same(wanted: Any, live: Any) -> bool:
    """Whether `live` has all that is wanted; absent and empty are the same."""
    if isinstance(wanted, dict):
        have = live if isinstance(live, dict) else {}
        return all(_same(value, have.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return all(_same(a, b) for a, b in zip(wanted, live, strict=True))
    return bool(wanted == live) or (not wanted and live is None)


def missing(obj: Object) -> str:
    """What a rollout still waits for; empty when it is done. Kinds without a rollout are done when they exist."""
    status, spec = objects.status(obj), objects.spec(obj)
    match obj.get("kind"):
        case "Deployment":
            wanted = int(spec.get("replicas", 1))
            if int(status.get("observedGeneration", 0)) < objects.generation(obj):
                return "its change has not been seen yet"
            updated, available = int(status.get("updatedReplicas", 0)), int(status.get("availableReplicas", 0))
            total = int(status.get("replicas", 0))
            if updated < wanted or total > updated or available < updated:
                return f"{updated} of {wanted} updated, {available} available, {max(0, total - updated)} old ones left"
            return ""
        case "ReplicaSet":
            wanted, available = int(spec.get("replicas", 1)), int(status.get("availableReplicas", 0))
            return "" if available >= wanted else f"{available} of {wanted} available"
        case "Pod":
            done = status.get("phase") == "Succeeded" or objects.condition_is(obj, "Ready")
            return "" if done else f"is {status.get('phase', 'not scheduled')}"
        case _:
            return ""


def hopeless(obj: Object) -> str:
    """Why a rollout will not be done, where its controller says so."""
    condition = objects.condition(obj, "Progressing") or {}
    if condition.get("status") == "False" and condition.get("reason") == "ProgressDeadlineExceeded":
        return str(condition.get("message") or "its progress deadline was exceeded")
    return ""


def is_known(inputs: Mapping[str, Any]) -> bool:
    """Whether a preview knows everything that would be sent."""
    return not has_unknown(inputs)
