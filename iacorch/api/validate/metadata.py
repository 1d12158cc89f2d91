"""Metadata of every kind: names by the kind's own rule, labels, annotations, owners, finalizers, what never changes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from iacorch.api import names
from iacorch.api.catalogue import Kind
from iacorch.api.validate.problems import Problems

_NAME_RULES: Final[Mapping[tuple[str, str], Callable[[str], list[str]]]] = {
    ("", "Namespace"): names.dns_label,
    ("", "Service"): names.dns_1035_label,
}
_NEVER_CHANGE: Final = ("name", "namespace", "uid", "creationTimestamp")
_FINALIZERS_WITHOUT_PREFIX: Final = frozenset({"orphan", "foregroundDeletion", "kubernetes"})


def check(problems: Problems, kind: Kind, metadata: Mapping[str, Any]) -> None:
    """The object's own metadata."""
    rule = _NAME_RULES.get((kind.group, kind.kind), names.dns_subdomain)
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if prefix:
        # A trailing dash is usual, and the name made from the prefix will not end in it.
        problems.each("metadata.generateName", prefix, rule(f"{prefix[:-1]}a" if prefix.endswith("-") else prefix))
    if not name:
        problems.required("metadata.name", "name or generateName is required")
    else:
        problems.each("metadata.name", name, rule(name))
    if kind.namespaced:
        if not metadata.get("namespace"):
            problems.required("metadata.namespace")
        else:
            problems.each("metadata.namespace", metadata["namespace"], names.dns_label(metadata["namespace"]))
    if named := metadata.get("labels"):
        labels(problems, "metadata.labels", named)
    if noted := metadata.get("annotations"):
        annotations(problems, "metadata.annotations", noted)
    if owners := metadata.get("ownerReferences"):
        _owners(problems, owners)
    for index, finalizer in enumerate(metadata.get("finalizers") or []):
        path = f"metadata.finalizers[{index}]"
        problems.each("metadata.finalizers", finalizer, names.qualified_name(finalizer))
        if "/" not in finalizer and finalizer not in _FINALIZERS_WITHOUT_PREFIX and not names.qualified_name(finalizer):
            problems.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def check_change(problems: Problems, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """What never changes, and finalizers, which a dying object does not gain."""
    for field in _NEVER_CHANGE:
        if old.get(field):
            problems.immutable(f"metadata.{field}", new.get(field), old.get(field))
    if old.get("deletionTimestamp"):
        gained = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if gained:
            problems.forbidden(
                "metadata.finalizers",
                f"no new finalizers can be added if the object is being deleted, found new finalizers {gained}",
            )


def labels(problems: Problems, path: str, found: Mapping[str, str] | None) -> None:
    for key, value in (found or {}).items():
        problems.each(path, key, names.qualified_name(key))
        problems.each(path, value, names.label_value(value))


def annotations(problems: Problems, path: str, found: Mapping[str, str] | None) -> None:
    for key in found or ():
        problems.each(path, key, names.qualified_name(key.lower()))
    if found and names.annotations_bytes(found) > names.ANNOTATIONS_BYTES:
        problems.too_long(path, names.ANNOTATIONS_BYTES)


def _owners(problems: Problems, owners: list[dict[str, Any]]) -> None:
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        problems.invalid(
            "metadata.ownerReferences",
            owners,
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {" and ".join(_named(owner) for owner in controllers[:2])}',
        )
    for index, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                problems.invalid(
                    f"metadata.ownerReferences[{index}].{field}", owner.get(field, ""), "must not be empty"
                )


def _named(owner: Mapping[str, Any]) -> str:
    return f"{owner.get('kind', '')}/{owner.get('name', '')}"
