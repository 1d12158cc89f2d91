"""What a control plane holds before anybody wrote to it: the system's namespaces and their service accounts."""

from __future__ import annotations

from iacorch.api.catalogue import NAMESPACE, SERVICE_ACCOUNT
from iacorch.errors import AlreadyExists
from iacorch.server.admission.namespaces import SYSTEM_NAMESPACES
from iacorch.server.registry import Registry
from iacorch.server.request import SYSTEM, Target, WriteOptions


async def fill(registry: Registry) -> None:
    """Make what is missing. Any number of times."""
    for name in SYSTEM_NAMESPACES:
        for target in (Target(NAMESPACE), Target(SERVICE_ACCOUNT, name)):
            obj_name = name if target.kind is NAMESPACE else "default"
            try:
                await registry.create(SYSTEM, target, {"metadata": {"name": obj_name}}, WriteOptions())
            except AlreadyExists:
                continue
