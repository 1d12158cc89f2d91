"""Objects live in namespaces that exist and are not going away."""

from __future__ import annotations

from typing import Final

import orjson

from iacorch.api import objects
from iacorch.api.catalogue import NAMESPACE
from iacorch.errors import Cause, Forbidden
from iacorch.server.objects.storage import ObjectStore
from iacorch.server.request import Target

SYSTEM_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Made at the first start."""
IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})


async def check_namespace(storage: ObjectStore, target: Target) -> None:
    """Raises NotFound for a namespace that is not there, Forbidden for one that is being deleted."""
    if not target.kind.namespaced:
        return
    place = Target(NAMESPACE, "", target.namespace)
    found = await storage.raw(place)
    if found is None:
        raise place.not_found()
    if b'"deletionTimestamp"' in found and objects.is_deleting(orjson.loads(found)):
        group, plural = target.kind.group_resource
        words = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        raise Forbidden(
            f'{target.kind.group_resource} "{target.name}" is forbidden: {words}',
            group=group,
            kind=plural,
            name=target.name,
            causes=[
                Cause("metadata.namespace", f"namespace {target.namespace} is being terminated", "NamespaceTerminating")
            ],
        )


def check_not_immortal(target: Target) -> None:
    if (target.kind.group, target.kind.kind) == ("", "Namespace") and target.name in IMMORTAL:
        raise Forbidden(
            f'namespaces "{target.name}" is forbidden: this namespace may not be deleted',
            kind="namespaces",
            name=target.name,
        )
