"""What the server fills in: the hand table of defaults, a pure function for each kind.

In: an object that passed `schema.decode`. Out: a new object with Kubernetes' documented defaults set and quantities in
canonical form; the argument is left alone. Applying twice changes nothing more. The server applies it to every create,
update and patch before validation; allocated values (cluster IPs, node ports) are the server's, not defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from iacorch.api.catalogue import POD, Kind
from iacorch.api.defaults import core, pod, workload
from iacorch.api.objects import Object

_TABLE: Final[Mapping[tuple[str, str], Callable[[dict[str, Any]], None]]] = {
    ("", "Service"): core.service,
    ("", "Secret"): core.secret,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("discovery.k8s.io", "EndpointSlice"): core.endpoint_slice,
    ("apps", "Deployment"): workload.deployment,
    ("apps", "ReplicaSet"): workload.replica_set,
}


def with_defaults(kind: Kind, obj: Object) -> Object:
    """`obj` with defaults; kinds without a row come back as they are."""
    if kind == POD:
        return pod.with_defaults(obj)
    fill = _TABLE.get((kind.group, kind.kind))
    if fill is None:
        return obj
    result: Object = orjson.loads(orjson.dumps(obj))  # what the schema let in is JSON: three times as fast as a walk
    fill(result)
    return result


__all__ = ["with_defaults"]
