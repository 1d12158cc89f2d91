"""Whether a user may do what the request asks: a pure decision.

In: a user and the request's attributes. Out: a verdict with its reason. Masters may do everything; an agent may read
what it needs and write what is its own (what exactly is its own is looked at by `admission.node`, which sees the
object); anybody else who is known may ask who they are and what they may do; the unknown may do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from iacorch.errors import Forbidden
from iacorch.server.request import AUTHENTICATED, MASTERS, User


class Attributes(NamedTuple):
    """What is asked. `path` is set for what is not a resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    reason: str = ""


READ: Final = frozenset({"get", "list", "watch"})
_ANYBODY_KNOWN: Final = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
_NODE_MAY: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("", "pods"): READ | {"delete"},
    ("", "pods/status"): READ | {"update", "patch"},
    ("", "pods/eviction"): frozenset({"create"}),
    ("", "nodes"): READ | {"create", "update", "patch"},
    ("", "nodes/status"): READ | {"update", "patch"},
    ("", "services"): READ,
    ("", "configmaps"): frozenset({"get"}),
    ("", "secrets"): frozenset({"get"}),
    ("", "namespaces"): READ,
    ("", "serviceaccounts"): frozenset({"get"}),
    ("", "events"): frozenset({"get", "create", "update", "patch"}),  # get: to count up what it told before
    ("events.k8s.io", "events"): frozenset({"create", "update", "patch"}),
    ("discovery.k8s.io", "endpointslices"): READ,
    ("coordination.k8s.io", "leases"): READ | {"create", "update", "patch", "delete"},
}


_MASTER: Final = Verdict(True, "member of system:masters")


def decide(user: User, asked: Attributes) -> Verdict:
    """The verdict; the caller raises with `refusal` where it is no."""
    if MASTERS in user.groups:
        return _MASTER
    if AUTHENTICATED not in user.groups:
        return Verdict(False, "not authenticated")
    if asked.path:
        allowed = asked.verb == "get" and not asked.path.startswith(("/metrics", "/debug"))
        return Verdict(allowed, "" if allowed else "reserved for administrators")
    if asked.verb == "create" and (asked.group, asked.resource) in _ANYBODY_KNOWN:
        return Verdict(True, "everybody may ask about themselves")
    if user.node_name:
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        if asked.verb in _NODE_MAY.get((asked.group, resource), frozenset()):
            return Verdict(True, "node agent")
        return Verdict(False, "not something a node agent does")
    return Verdict(False, "no rule allows it")


def authorise(user: User, asked: Attributes) -> None:
    """Raises Forbidden, in Kubernetes' words."""
    verdict = decide(user, asked)
    if verdict.allowed:
        return
    if asked.path:
        raise Forbidden(f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}": {verdict.reason}')
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    name = f' "{asked.name}"' if asked.name else ""
    where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
    raise Forbidden(
        f'{qualified}{name} is forbidden: User "{user.name}" cannot {asked.verb} resource "{resource}" '
        f'in API group "{asked.group}"{where}: {verdict.reason}',
        group=asked.group,
        kind=asked.resource,
        name=asked.name,
    )
