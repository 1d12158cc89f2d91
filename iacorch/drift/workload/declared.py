"""Objects against what the stacks declared. Pure.

In: `Declared` objects (from Manifest and Node resources of the stacks), the live ones, and every live object that says
a Manifest made it. Out: one `Observation` an object. A field that a controller owns by its manager's name is that
controller's; the annotation `iacorch.dev/drift-ignore` names further paths.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.drift.compare import Rules, differences, join, matches
from iacorch.drift.model import Field, Key, Layer, Observation, Place, Verdict, unknown
from iacorch.infra.provider.resources.manifest_plan import OWNER, Reference, reference

IGNORE: Final = "iacorch.dev/drift-ignore"
CONTROLLERS: Final = (
    "kube-controller-manager",
    "horizontal-pod-autoscaler",
    "vpa-*",
    "iacorch-controllers",
    "cert-manager-cainjector",
)
"""Managers whose fields are theirs, whatever a manifest said at first."""
_OPEN: Final = ("spec.taints",)
"""Lists to which others add: here only what is wanted is looked for."""
_SERVERS: Final = (
    "apiVersion",
    "kind",
    "status",
    "metadata.namespace",
    "metadata.resourceVersion",
    "metadata.uid",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.managedFields",
)
_MARK: Final = f"metadata.annotations[{OWNER}]"
_SECRET: Final = ("data", "stringData")


@dataclass(frozen=True, slots=True)
class Declared:
    """One object as a stack wants it. `token` is its Manifest's, "" for what is not of one."""

    obj: Object
    stack: str
    urn: str
    token: str = ""

    @property
    def reference(self) -> Reference:
        return reference(self.obj)


def observe(
    declared: Sequence[Declared],
    live: Mapping[Reference, Object | None],
    marked: Iterable[Object] = (),
    *,
    salt: str = "",
    unseen: Mapping[Reference, str] | None = None,
) -> tuple[Observation, ...]:
    """`live` has every declared reference (None: not there) but the `unseen`, with why. `marked` are all objects that
    carry the annotation of a Manifest."""
    found = []
    for wanted in declared:
        why = (unseen or {}).get(wanted.reference)
        if why is not None:
            found.append(unknown(key_of(wanted.reference), why, _place(wanted, None)))
        else:
            found.append(_one(wanted, live.get(wanted.reference), salt))
    tokens = {wanted.token: wanted for wanted in declared if wanted.token}
    named = {wanted.reference for wanted in declared}
    for obj in marked:
        ref, token = reference(obj), objects.annotations(obj).get(OWNER, "")
        if ref in named or not token or objects.is_deleting(obj):
            continue
        of = tokens.get(token)
        if of is None:
            continue  # another project's, perhaps: only what our stacks have made is ours to call surplus
        place = Place(stack=of.stack, namespace=ref.namespace, urn=of.urn, labels=objects.labels(obj))
        why = "says that a Manifest of this stack made it, which does not declare it"
        found.append(Observation(key_of(ref), Verdict.UNEXPECTED, reason=why, place=place, loses_data=True))
    return tuple(found)


def key_of(ref: Reference) -> Key:
    return Key(Layer.WORKLOAD, ref.namespace, ref.kind, ref.name)


def _one(wanted: Declared, live: Object | None, salt: str) -> Observation:
    key, place = key_of(wanted.reference), _place(wanted, live)
    if live is None:
        return Observation(key, Verdict.MISSING, reason="it was declared and is not there", place=place)
    if objects.is_deleting(live):
        return Observation(key, Verdict.MISSING, reason="it is being deleted", place=place, settles="its finalizers")
    rules = Rules(
        ignore=(*_SERVERS, *_ignored(wanted.obj), *_ignored(live)),
        secret=_SECRET if wanted.obj.get("kind") == "Secret" else (),
        closed=("data", "binaryData", "spec.selector"),
        open=_OPEN if wanted.obj.get("kind") == "Node" else (),
        writers=writers(live),
        others=CONTROLLERS,
        salt=salt,
    )
    fields = differences(stored(wanted.obj), live, rules) + _unmarked(wanted, live)
    return Observation(key, Verdict.DRIFTED if fields else Verdict.IN_SYNC, fields, place=place)


def _unmarked(wanted: Declared, live: Object) -> tuple[Field, ...]:
    """Without its Manifest's mark an object would be left behind when that goes. Another's mark is another's."""
    if not wanted.token or OWNER in objects.annotations(live) or matches(_MARK, _ignored(live)):
        return ()
    return (Field(_MARK, wanted.token, None, mark="unmarked"),)


def stored(obj: Object) -> Object:
    """As the server keeps it: `stringData` becomes `data`."""
    if "stringData" not in obj:
        return obj
    data = {name: base64.b64encode(str(text).encode()).decode() for name, text in (obj["stringData"] or {}).items()}
    return {**{k: v for k, v in obj.items() if k != "stringData"}, "data": {**(obj.get("data") or {}), **data}}


def _ignored(obj: Object) -> tuple[str, ...]:
    text = objects.annotations(obj).get(IGNORE, "")
    return tuple(path.strip() for path in text.split(",") if path.strip())


def writers(obj: Object) -> dict[str, str]:
    """Path -> the manager that set it last, from the object's managedFields. Empty where the server keeps none."""
    found: dict[str, str] = {}
    entries = objects.metadata(obj).get("managedFields") or ()
    for entry in sorted(entries, key=lambda e: str(e.get("time", ""))):
        manager = str(entry.get("manager", ""))
        for path in _paths(entry.get("fieldsV1") or {}, ""):
            found[path] = manager
    return found


def _paths(fields: Mapping[str, Any], path: str) -> Iterable[str]:
    """The leaves of a set of fields: `f:name` is a field, `k:{"name":"x"}` an entry of a list."""
    inner = {name: value for name, value in fields.items() if name.startswith(("f:", "k:"))}
    if not inner:
        yield path
        return
    for name, value in inner.items():
        kind, _, rest = name.partition(":")
        below = join(path, rest) if kind == "f" else f"{path}[{_entry(rest)}]"
        yield from _paths(value or {}, below)


def _entry(key: str) -> str:
    """The first value of a list entry's key: `{"name":"web"}` -> `web`."""
    return key.partition(":")[2].split(",")[0].strip('"{} ')


def _place(wanted: Declared, live: Object | None) -> Place:
    ref = wanted.reference
    labels = objects.labels(live if live is not None else wanted.obj)
    return Place(stack=wanted.stack, namespace=ref.namespace, urn=wanted.urn, labels=labels)


def with_others(wanted: Object, live: Object) -> Object:
    """What is wanted, with what others have added to its open lists."""
    if wanted.get("kind") != "Node" or "taints" not in objects.spec(wanted):
        return wanted
    there = objects.spec(live).get("taints") or []
    missing = [
        taint for taint in objects.spec(wanted)["taints"] if not any(taint.items() <= have.items() for have in there)
    ]
    return {**wanted, "spec": {**objects.spec(wanted), "taints": [*there, *missing]}}


def gone(wanted: Field) -> bool:
    """The field was taken away, not changed."""
    return wanted.seen is None
