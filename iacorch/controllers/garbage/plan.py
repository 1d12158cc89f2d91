"""Garbage: objects whose owners are gone, and owners that wait for their dependents.

In: one object, the state of each of its owners, its dependents. Out: a `Plan`. Called by `controller.py`. Writes:
`metadata.ownerReferences` (removes dead ones), finalizers `orphan` and `foregroundDeletion`; deletes dependents.

    the object                                       verdict
    is being deleted with `orphan`                   take it out of its dependents' owners; then drop the finalizer
    is being deleted with `foregroundDeletion`       wait for dependents that block it; then drop the finalizer
    is being deleted otherwise                       nothing: whoever holds it will let go
    has a living owner                               drop references to owners that are gone or waiting
    all owners gone, or waiting for it               delete it
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from iacorch.api import objects
from iacorch.api.catalogue import Kind
from iacorch.api.objects import Object
from iacorch.client.contract import Propagation
from iacorch.controllers.actions import NOTHING, Delete, Patch, Plan

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Owner(StrEnum):
    """What became of an owner."""

    LIVING = "living"
    WAITING = "waiting"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Dependent:
    kind: Kind
    obj: Object


@dataclass(frozen=True, slots=True)
class Observed:
    """`owners` are in the order of the object's ownerReferences."""

    kind: Kind
    obj: Object
    owners: tuple[Owner, ...]
    dependents: tuple[Dependent, ...] = ()


def plan(observed: Observed) -> Plan:
    """See the table in the module docstring."""
    obj = observed.obj
    if objects.is_deleting(obj):
        return _leaving(observed)
    references = objects.owner_references(obj)
    if not references:
        return NOTHING
    if Owner.LIVING in observed.owners:
        kept = [entry for entry, state in zip(references, observed.owners, strict=True) if state is Owner.LIVING]
        if len(kept) == len(references):
            return NOTHING
        return Plan((_patch(observed.kind, obj, ownerReferences=kept),), why="some owners are gone")
    waited_for = Owner.WAITING in observed.owners
    propagation = Propagation.FOREGROUND if waited_for and observed.dependents else Propagation.BACKGROUND
    action = Delete(observed.kind, objects.namespace(obj), objects.name(obj), objects.uid(obj), propagation=propagation)
    return Plan((action,), why="its owner waits for it" if waited_for else "its owners are gone")


def _leaving(observed: Observed) -> Plan:
    obj, finalizers = observed.obj, objects.finalizers(observed.obj)
    if ORPHAN in finalizers:
        if observed.dependents:
            actions = tuple(
                _patch(
                    entry.kind,
                    entry.obj,
                    ownerReferences=[
                        reference
                        for reference in objects.owner_references(entry.obj)
                        if reference.get("uid") != objects.uid(obj)
                    ],
                )
                for entry in observed.dependents
            )
            return Plan(actions, why="its dependents are to stay")
        return _without(observed, ORPHAN)
    if FOREGROUND in finalizers and not any(_blocks(entry.obj, obj) for entry in observed.dependents):
        return _without(observed, FOREGROUND)
    return NOTHING


def _blocks(dependent: Object, owner: Object) -> bool:
    return any(
        reference.get("uid") == objects.uid(owner) and reference.get("blockOwnerDeletion")
        for reference in objects.owner_references(dependent)
    )


def _without(observed: Observed, finalizer: str) -> Plan:
    kept = [entry for entry in objects.finalizers(observed.obj) if entry != finalizer]
    return Plan((_patch(observed.kind, observed.obj, finalizers=kept),), why=f"{finalizer} is done")


def _patch(kind: Kind, obj: Object, **metadata: Any) -> Patch:
    versioned = {"metadata": metadata | {"resourceVersion": objects.resource_version(obj)}}
    return Patch(kind, objects.namespace(obj), objects.name(obj), objects.uid(obj), versioned)
